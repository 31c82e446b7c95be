//! Who may talk to whom: the fleet's own CA, certificates of hosts, the server's certificate, secrets.
//!
//! The CA is made at first start; its key stays in the data directory (0600). The server's certificate is made anew
//! at every start and its key never leaves the process. Nothing secret is stored in the clear: of tokens and keys
//! the store holds the SHA-256 only.

pub mod token;
pub mod verifier;

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

/// The name agents expect in the server's certificate, whatever address they dial.
pub const SERVER_NAME: &str = "remuda-server";
/// Certificates of hosts; agents renew at half of it.
pub const NODE_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// An expired certificate may still renew itself this long.
pub const RENEW_WINDOW: Duration = Duration::from_secs(90 * 24 * 3600);
/// Clocks of hosts may be this far behind ours.
const BACKDATE: Duration = Duration::from_secs(3600);
const CA_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
const CA_FILE: &str = "ca.pem";
const CA_KEY_FILE: &str = "ca.key";

#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("{}: {why}", path.display())]
    File { path: PathBuf, why: String },
    #[error("the certificate signing request is refused: {0}")]
    Request(String),
    #[error("no certificate could be made: {0}")]
    Make(#[from] rcgen::Error),
}

pub struct Ca {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    path: PathBuf,
}

/// A host's new certificate.
pub struct NodeCertificate {
    pub pem: String,
    pub not_after_ms: u64,
    /// Hex SHA-256 of its public key.
    pub key: String,
}

impl Ca {
    /// The CA of this data directory, made if there is none.
    pub fn open(data_dir: &Path) -> Result<Ca, PkiError> {
        let (path, key_path) = (data_dir.join(CA_FILE), data_dir.join(CA_KEY_FILE));
        // A start that was interrupted left a key at most; a fleet's own certificate is never made anew.
        if !path.exists() && (!key_path.exists() || !data_dir.join(crate::server::STORE_FILE).exists()) {
            create(&path, &key_path)?;
        }
        let read = |path: &Path| fs::read_to_string(path).map_err(|why| file_error(path, why));
        let (pem, key) = (read(&path)?, read(&key_path)?);
        let key = KeyPair::from_pem(&key).map_err(|why| file_error(&key_path, why))?;
        let certificate = first_certificate(&pem).ok_or_else(|| file_error(&path, "holds no certificate"))?;
        let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(|why| file_error(&path, why))?;
        Ok(Ca { certificate, pem, issuer, path })
    }

    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }
    pub fn pem(&self) -> &str {
        &self.pem
    }
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// SHA-256 of the certificate: what a token carries.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.certificate).into()
    }

    /// A certificate for the server's own connections, with its key.
    pub fn server(&self, advertise: Ipv4Addr) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), PkiError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned(), "localhost".to_owned()])?;
        params.subject_alt_names.extend([advertise, Ipv4Addr::LOCALHOST].map(|ip| SanType::IpAddress(IpAddr::V4(ip))));
        params.distinguished_name.push(DnType::CommonName, SERVER_NAME);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        valid_for(&mut params, CA_LIFETIME);
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.der().clone(), PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))))
    }

    /// A certificate for host `node_id` over the key of its request; every name in it is ours.
    pub fn node(&self, node_id: u32, csr_pem: &str) -> Result<NodeCertificate, PkiError> {
        self.node_for(node_id, csr_pem, NODE_LIFETIME)
    }

    /// As [`Ca::node`], for a shorter or longer life.
    pub fn node_for(&self, node_id: u32, csr_pem: &str, life: Duration) -> Result<NodeCertificate, PkiError> {
        let mut request =
            CertificateSigningRequestParams::from_pem(csr_pem).map_err(|e| PkiError::Request(e.to_string()))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("node-{node_id}"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let not_after = valid_for(&mut params, life);
        request.params = params;
        let key = hex(&Sha256::digest(request.public_key.subject_public_key_info()));
        let certificate = request.signed_by(&self.issuer)?;
        Ok(NodeCertificate { pem: certificate.pem(), not_after_ms: unix_ms(not_after), key })
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a secret that only root may read; an existing file is replaced whole or not at all.
pub fn write_secret(path: &Path, content: &str) -> Result<(), PkiError> {
    write_file(path, content, 0o600)
}

fn write_file(path: &Path, content: &str, mode: u32) -> Result<(), PkiError> {
    let beside = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(mode).open(&beside);
    let written = file.and_then(|mut file| file.write_all(content.as_bytes()).and_then(|()| file.sync_all()));
    written.and_then(|()| fs::rename(&beside, path)).map_err(|why| {
        // What is left of it is of no use to anybody.
        let _ = fs::remove_file(&beside);
        file_error(path, why)
    })
}

fn create(path: &Path, key_path: &Path) -> Result<(), PkiError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Remuda fleet CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    valid_for(&mut params, CA_LIFETIME);
    let certificate = params.self_signed(&key)?;
    // The key first: a certificate without its key would never be replaced.
    write_secret(key_path, &key.serialize_pem())?;
    write_file(path, &certificate.pem(), 0o644)
}

fn valid_for(params: &mut CertificateParams, life: Duration) -> SystemTime {
    let now = SystemTime::now();
    let not_after = now + life;
    params.not_before = (now - BACKDATE).into();
    params.not_after = not_after.into();
    not_after
}

fn unix_ms(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn first_certificate(pem: &str) -> Option<CertificateDer<'static>> {
    use rustls_pki_types::pem::PemObject;
    CertificateDer::from_pem_slice(pem.as_bytes()).ok()
}

fn file_error(path: &Path, why: impl ToString) -> PkiError {
    PkiError::File { path: path.into(), why: why.to_string() }
}
