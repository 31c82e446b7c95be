//! TLS towards the server: only the fleet's own CA counts, no other root does.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::connection::Connection;
use crate::failure::{Context, Failure};

pub fn client_config(connection: &Connection) -> Result<ClientConfig, Failure> {
    let file = connection.ca_file.display();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&connection.ca_pem) {
        let certificate = certificate.cannot(format!("read the CA certificate {file}"))?;
        roots.add(certificate).cannot(format!("use the CA certificate {file}"))?;
    }
    if roots.is_empty() {
        return Err(Failure::new(format!("{file} holds no certificate"))
            .advice("it should begin with -----BEGIN CERTIFICATE-----; check --ca (or REMUDA_CA)"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(versions.cannot("set up TLS")?.with_root_certificates(roots).with_no_client_auth())
}
