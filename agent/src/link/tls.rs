//! Whom the agent talks to: a server whose certificate chain leads to the fleet's own CA, and to no other.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};

use super::token::hex;

/// The name in every server certificate of a fleet; addresses change, this does not.
const SERVER_NAME: &str = "remuda-server";

/// Configuration for one connection: the server must prove the CA with this digest.
///
/// `own` is this host's certificate and key; None before it joined.
pub(super) fn config(
    ca_digest: [u8; 32],
    own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(PinnedCa { digest: ca_digest, provider: provider.clone() });
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match own {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// SHA-256 of a certificate, DER.
pub(super) fn digest(certificate: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

/// The name asked for in the handshake.
pub(super) fn server_name() -> Result<ServerName<'static>, Error> {
    ServerName::try_from(SERVER_NAME).map_err(|error| Error::General(error.to_string()))
}

/// Trusts what the CA with this digest has signed. The server sends its CA along, so the digest is enough.
#[derive(Debug)]
struct PinnedCa {
    digest: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedCa {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let ca = intermediates.iter().find(|certificate| digest(certificate) == self.digest);
        let Some(ca) = ca else { return Err(self.refusal(intermediates.last().unwrap_or(end_entity))) };
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, intermediates, &server_name()?, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl PinnedCa {
    fn refusal(&self, theirs: &CertificateDer<'_>) -> Error {
        Error::General(format!(
            "this is not the server of our fleet: its CA has digest {}, ours has {}; nothing secret was sent",
            hex(&digest(theirs)),
            hex(&self.digest)
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    struct Fleet {
        ca: CertificateDer<'static>,
        issuer: Issuer<'static, KeyPair>,
    }

    fn fleet() -> Fleet {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).expect("a CA").der().clone();
        Fleet { ca, issuer: Issuer::new(params, key) }
    }

    impl Fleet {
        /// A server certificate for that name, with its key.
        fn server(&self, name: &str) -> (CertificateDer<'static>, KeyPair) {
            let key = KeyPair::generate().expect("a key");
            let params = CertificateParams::new([name.to_owned()]).expect("a name");
            (params.signed_by(&key, &self.issuer).expect("signed").der().clone(), key)
        }
    }

    fn verify(digest: [u8; 32], leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Result<(), String> {
        let verifier = PinnedCa { digest, provider: Arc::new(ring::default_provider()) };
        let name = server_name().expect("a name");
        let verified = verifier.verify_server_cert(leaf, rest, &name, &[], UnixTime::now());
        verified.map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn a_server_of_our_fleet_is_trusted_whatever_its_address() {
        let ours = fleet();
        let (leaf, _) = ours.server(SERVER_NAME);
        assert_eq!(verify(digest(&ours.ca), &leaf, std::slice::from_ref(&ours.ca)), Ok(()));
    }

    #[test]
    fn another_fleets_server_is_refused_with_both_digests() {
        let (ours, theirs) = (fleet(), fleet());
        let (leaf, _) = theirs.server(SERVER_NAME);
        let refusal = verify(digest(&ours.ca), &leaf, std::slice::from_ref(&theirs.ca)).expect_err("another CA");
        for digest in [digest(&ours.ca), digest(&theirs.ca)] {
            assert!(refusal.contains(&hex(&digest)), "{refusal}");
        }
    }

    #[test]
    fn showing_our_ca_is_not_enough_without_a_certificate_it_signed() {
        let (ours, theirs) = (fleet(), fleet());
        let (leaf, _) = theirs.server(SERVER_NAME);
        verify(digest(&ours.ca), &leaf, std::slice::from_ref(&ours.ca)).expect_err("signed by another");
    }

    #[test]
    fn another_host_of_our_fleet_is_not_its_server() {
        let ours = fleet();
        let (leaf, _) = ours.server("node-7");
        verify(digest(&ours.ca), &leaf, std::slice::from_ref(&ours.ca)).expect_err("no server certificate");
    }

    /// The whole of it: whoever answers with another CA gets not one byte of what is inside.
    #[tokio::test]
    async fn nothing_is_sent_to_a_server_of_another_fleet() {
        let (ours, theirs) = (fleet(), fleet());
        let (leaf, key) = theirs.server(SERVER_NAME);
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let server = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![leaf, theirs.ca.clone()], key)
            .expect("a certificate");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let received = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a client");
            let mut inside = Vec::new();
            if let Ok(mut stream) = tokio_rustls::TlsAcceptor::from(Arc::new(server)).accept(stream).await {
                let _ = stream.read_to_end(&mut inside).await;
            }
            inside
        });
        let stream = TcpStream::connect(address).await.expect("connected");
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config(digest(&ours.ca), None).expect("valid")));
        let refusal = connector.connect(server_name().expect("a name"), stream).await.expect_err("refused").to_string();
        assert!(refusal.contains("not the server of our fleet"), "{refusal}");
        assert_eq!(received.await.expect("it ended"), Vec::<u8>::new());
    }
}
