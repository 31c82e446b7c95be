//! Calls of `remuda.v1.AgentLink` over TLS, by hand: no stub of the product's own.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use remuda_api::link::SERVICE;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

#[derive(Clone)]
pub struct Identity {
    pub node_id: u32,
    pub certificate: String,
    pub key: String,
}

pub fn path(method: &str) -> http::uri::PathAndQuery {
    format!("/{SERVICE}/{method}").parse().expect("a path")
}

pub async fn unary<Q, A>(client: &mut Grpc<Channel>, method: &str, request: Q) -> Result<A, Status>
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = tonic_prost::ProstCodec::<Q, A>::default();
    Ok(client.unary(Request::new(request), path(method), codec).await?.into_inner())
}

pub async fn server_stream<Q, A>(client: &mut Grpc<Channel>, method: &str, request: Q) -> Result<Streaming<A>, Status>
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let codec = tonic_prost::ProstCodec::<Q, A>::default();
    Ok(client.server_streaming(Request::new(request), path(method), codec).await?.into_inner())
}

/// A connection that trusts this CA and shows this identity.
pub async fn client(address: SocketAddr, ca: &str, own: Option<&Identity>) -> Result<Grpc<Channel>, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).expect("a CA")).expect("a CA");
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes()).expect("a certificate")];
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("a key");
            builder.with_client_auth_cert(chain, key).expect("they match")
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let connect = tower::service_fn(move |_: http::Uri| {
        let connector = connector.clone();
        async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            let name = ServerName::try_from("remuda-server").expect("a name");
            connector.connect(name, stream).await.map(TokioIo::new)
        }
    });
    let endpoint = Endpoint::from_static("http://remuda-server");
    let channel = endpoint.connect_with_connector(connect).await.map_err(|error| format!("{error:?}"))?;
    Ok(Grpc::new(channel))
}
