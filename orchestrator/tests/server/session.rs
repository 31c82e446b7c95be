//! Logs, exec and look-ups: from a user through the server to the container's host and back.

use crate::common::{Fleet, Host, server_stream, web};
use futures::{SinkExt, StreamExt};
use remuda_api::link::*;
use remuda_api::resource::DnsAnswer;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_tungstenite::tungstenite::Message;
use tonic::Request;

/// Answers one order with these frames; input is echoed to stdout until it ends.
pub async fn answer(
    fleet: &Fleet,
    host: &Host,
    frames: Vec<FrameKind>,
    echo: bool,
) -> tokio::task::JoinHandle<OrderKind> {
    let mut client = fleet.client(&host.identity).await;
    let mut orders = server_stream::<_, Order>(&mut client, "Orders", OrdersRequest {}).await.expect("orders");
    tokio::spawn(async move {
        let order = orders.message().await.expect("an order").expect("an order");
        let (send, stream) = mpsc::channel(16);
        send.send(Frame { order_id: order.id, kind: None }).await.expect("open");
        client.ready().await.expect("ready");
        let codec = tonic_prost::ProstCodec::<Frame, Frame>::default();
        let request = Request::new(ReceiverStream::new(stream));
        let mut input =
            client.streaming(request, crate::common::path("Session"), codec).await.expect("a session").into_inner();
        let out = |kind| Frame { order_id: String::new(), kind: Some(kind) };
        let mut is_open = echo;
        while is_open {
            match input.message().await.expect("input").and_then(|frame| frame.kind) {
                Some(FrameKind::Stdin(bytes)) => send.send(out(FrameKind::Stdout(bytes))).await.expect("echo"),
                Some(FrameKind::StdinEnd(_)) | None => is_open = false,
                Some(_) => {}
            }
        }
        for kind in frames {
            send.send(out(kind)).await.expect("sent");
        }
        send.closed().await;
        order.kind.expect("a kind")
    })
}

async fn one_container() -> (Fleet, Host) {
    let fleet = Fleet::start().await;
    let host = fleet.host("h1").await;
    fleet.api.until_ready(1).await;
    fleet.api.up("shop", json!({"web": web(1)})).await;
    fleet.api.until_running(1).await;
    (fleet, host)
}

async fn text(fleet: &Fleet, path: &str) -> (u16, String) {
    let request = fleet.api.client.get(format!("{}{path}", fleet.api.base)).bearer_auth(&fleet.api.key);
    let response = request.send().await.expect("an answer");
    (response.status().as_u16(), response.text().await.expect("text"))
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_come_as_written_and_of_a_service_with_the_name_in_front() {
    let (fleet, host) = one_container().await;
    let written =
        || vec![FrameKind::Stdout(b"one\n".to_vec()), FrameKind::Stderr(b"two\n".to_vec()), FrameKind::Exit(0)];
    let told = answer(&fleet, &host, written(), false).await;
    assert_eq!(text(&fleet, "/v1/containers/shop-web-1/logs?tail=2").await, (200, "one\ntwo\n".into()));
    let wanted = LogsOrder { container: "shop-web-1".into(), follow: false, tail: 2 };
    assert_eq!(told.await.expect("answered"), OrderKind::Logs(wanted));
    let _told = answer(&fleet, &host, written(), false).await;
    let merged = text(&fleet, "/v1/services/shop/web/logs").await;
    assert_eq!(merged, (200, "shop-web-1 | one\nshop-web-1 | two\n".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_answer_says_why_and_one_that_is_not_there_is_503() {
    let (fleet, host) = one_container().await;
    assert_eq!(text(&fleet, "/v1/containers/shop-web-1/logs").await.0, 503, "no order stream yet");
    assert_eq!(text(&fleet, "/v1/containers/shop-web-9/logs").await.0, 404);
    let _told = answer(&fleet, &host, vec![FrameKind::Error("its log is gone".into())], false).await;
    let (status, body) = text(&fleet, "/v1/containers/shop-web-1/logs").await;
    assert_eq!(status, 409);
    assert!(body.contains("its log is gone"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_up_is_answered_by_the_containers_host() {
    let (fleet, host) = one_container().await;
    let answer_given =
        DnsAnswer { name: "web".into(), rcode: "NOERROR".into(), host: "h1".into(), ..DnsAnswer::default() };
    let json = serde_json::to_vec(&answer_given).expect("JSON");
    let _told = answer(&fleet, &host, vec![FrameKind::Stdout(json), FrameKind::Exit(0)], false).await;
    let got: DnsAnswer = fleet.api.get("/v1/containers/shop-web-1/dns?name=web&type=A").await;
    assert_eq!(got, answer_given);
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_carries_input_output_and_the_exit_code() {
    let (fleet, host) = one_container().await;
    let told = answer(&fleet, &host, vec![FrameKind::Stderr(b"bye".to_vec()), FrameKind::Exit(7)], true).await;
    let mut socket = exec(&fleet, "/v1/containers/shop-web-1/exec?argv=sh&argv=-c&argv=cat%20x").await;
    socket.send(Message::Binary(b"\0hello".to_vec().into())).await.expect("sent");
    let echoed = socket.next().await.expect("a message").expect("a message").into_data();
    assert_eq!(echoed, b"\x01hello".as_slice());
    socket.send(Message::Binary(b"\x06".to_vec().into())).await.expect("sent");
    let mut rest = Vec::new();
    while let Some(Ok(Message::Binary(bytes))) = socket.next().await {
        rest.push(bytes.to_vec());
    }
    assert_eq!(rest, [b"\x02bye".to_vec(), vec![3, 0, 0, 0, 7]]);
    let argv = ["sh", "-c", "cat x"].map(str::to_owned).to_vec();
    let wanted = ExecOrder { container: "shop-web-1".into(), argv, rows: 0, columns: 0 };
    assert_eq!(told.await.expect("answered"), OrderKind::Exec(wanted));
}

async fn exec(
    fleet: &Fleet,
    path: &str,
) -> tokio_tungstenite::WebSocketStream<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + use<>> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(fleet.ca().as_bytes()).expect("a CA")).expect("a CA");
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(fleet.address()).await.expect("a connection");
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let tls = connector.connect(name, stream).await.expect("TLS");
    let request = http::Request::get(format!("wss://localhost{path}"))
        .header("authorization", format!("Bearer {}", fleet.api.key))
        .header("host", "localhost")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(())
        .expect("a request");
    tokio_tungstenite::client_async(request, tls).await.expect("a WebSocket").0
}
