//! Client certificates at the TLS handshake, and what they prove.
//!
//! None is fine (people come with a key). One of our CA must be valid, or merely expired: an expired one gets as far
//! as [`Peer::Node`] with `is_expired`, and the only thing that accepts it is *renew*.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{RENEW_WINDOW, hex};

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// No certificate: a person with a key, or a host that joins.
    Anonymous,
    /// Holds the key of a certificate we issued to this host.
    Node { node_id: u32, key: String, is_expired: bool, is_renewable: bool },
}

impl Peer {
    /// What the leaf certificate of a verified chain says; `now` in seconds since 1970.
    pub fn of(leaf: Option<&CertificateDer<'_>>, now_s: i64) -> Peer {
        let Some((_, certificate)) = leaf.and_then(|der| X509Certificate::from_der(der).ok()) else {
            return Peer::Anonymous;
        };
        let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let Some(node_id) = name.and_then(|name| name.strip_prefix("node-")).and_then(|id| id.parse().ok()) else {
            return Peer::Anonymous;
        };
        let not_after = certificate.validity().not_after.timestamp();
        Peer::Node {
            node_id,
            key: hex(&Sha256::digest(certificate.public_key().raw)),
            is_expired: not_after < now_s,
            is_renewable: now_s < not_after + RENEW_WINDOW.as_secs() as i64,
        }
    }
}

#[derive(Debug)]
pub struct NodeVerifier {
    strict: Arc<dyn ClientCertVerifier>,
}

impl NodeVerifier {
    pub fn new(ca: &CertificateDer<'static>) -> Result<Arc<NodeVerifier>, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let strict = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(|why| Error::General(why.to_string()))?;
        Ok(Arc::new(NodeVerifier { strict }))
    }
}

impl ClientCertVerifier for NodeVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.strict.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match self.strict.verify_client_cert(leaf, intermediates, now) {
            Err(Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. })) => {
                // Everything but the time must hold: verify as of its own last second.
                let last = last_second(leaf).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
                self.strict.verify_client_cert(leaf, intermediates, last)
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.strict.verify_tls12_signature(message, leaf, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.strict.verify_tls13_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.strict.supported_verify_schemes()
    }
}

fn last_second(leaf: &CertificateDer<'_>) -> Option<UnixTime> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}
