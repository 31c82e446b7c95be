//! One check: a connection, and with a request line the status it is answered with.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::patience::{Late, within};
use crate::desired::Check;
use crate::runtime::process::hold::words;

/// A status line is short; who sends more before it ends does not speak HTTP.
const STATUS_MAX_BYTES: usize = 4 << 10;

/// Connects to the container from this host's own namespace, so over the overlay by `remuda0`. Errors with the reason
/// in words; None if this host could not even ask, which says nothing about the container.
pub(super) async fn probe(check: &Check) -> Option<Result<(), String>> {
    let limit = Duration::from_millis(check.timeout_ms);
    let mut answer = within(limit, ask(check)).await;
    if answer == Err(Late::WeSlept) {
        answer = within(limit, ask(check)).await;
    }
    answer.unwrap_or_else(|_| Some(Err(format!("no answer within {} ms", check.timeout_ms))))
}

async fn ask(check: &Check) -> Option<Result<(), String>> {
    match TcpStream::connect(check.target).await {
        Ok(stream) => Some(talk(stream, check).await),
        Err(error) if is_ours(&error) => {
            tracing::debug!(target_address = %check.target, %error, "the check could not be made");
            None
        }
        Err(error) => Some(Err(words("connect", error))),
    }
}

/// Whether it was this host that could not: no descriptors, ports, memory, or no way out while `remuda0` is made anew.
fn is_ours(error: &io::Error) -> bool {
    use libc::{EADDRNOTAVAIL, EMFILE, ENETDOWN, ENETUNREACH, ENFILE, ENOBUFS, ENOMEM};
    let ours = [EADDRNOTAVAIL, EMFILE, ENETDOWN, ENETUNREACH, ENFILE, ENOBUFS, ENOMEM];
    error.raw_os_error().is_some_and(|code| ours.contains(&code))
}

async fn talk(mut stream: TcpStream, check: &Check) -> Result<(), String> {
    let Some(line) = &check.request_line else { return Ok(()) };
    let request = format!("{line}\r\nHost: {}\r\nUser-Agent: remuda-health\r\nConnection: close\r\n\r\n", check.target);
    stream.write_all(request.as_bytes()).await.map_err(|error| words("send the request", error))?;
    let (code, reason) = status(&mut stream).await?;
    match code {
        200..400 => Ok(()),
        _ => Err(format!("answered {code} {reason}").trim_end().to_owned()),
    }
}

/// Reads until the status line is whole: code and reason phrase (RFC 9112, 4).
async fn status(stream: &mut TcpStream) -> Result<(u16, String), String> {
    let mut bytes = Vec::with_capacity(512);
    loop {
        let count = stream.read_buf(&mut bytes).await.map_err(|error| words("read the answer", error))?;
        if let Some(status) = parse(&bytes)? {
            return Ok(status);
        }
        if count == 0 {
            let what = if bytes.is_empty() { "without an answer" } else { "in the middle of its answer" };
            return Err(format!("closed the connection {what}"));
        }
        if bytes.len() > STATUS_MAX_BYTES {
            return Err(format!("sent {STATUS_MAX_BYTES} bytes without a status line"));
        }
    }
}

/// None while the status line is not whole yet.
fn parse(bytes: &[u8]) -> Result<Option<(u16, String)>, String> {
    // Headers are of no interest: that they do not fit here comes after the status line is read.
    let mut response = httparse::Response::new(&mut []);
    let parsed = response.parse(bytes);
    match (response.code, response.reason, parsed) {
        (Some(code), Some(reason), _) => Ok(Some((code, reason.chars().take(100).collect()))),
        (_, _, Err(error)) => Err(format!("the answer is not HTTP: {error}")),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers every connection with `text` and closes it; None = says nothing and holds it.
    async fn server(text: Option<&'static str>) -> io::Result<SocketAddrV4> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let std::net::SocketAddr::V4(address) = listener.local_addr()? else { return Err(io::Error::other("v6")) };
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                match text {
                    Some(text) => {
                        let mut asked = [0; 1024];
                        let _ = stream.read(&mut asked).await;
                        let _ = stream.write_all(text.as_bytes()).await;
                    }
                    None => held.push(stream),
                }
            }
        });
        Ok(address)
    }

    async fn outcome(target: SocketAddrV4, request_line: Option<&str>) -> Result<(), String> {
        let request_line = request_line.map(str::to_owned);
        made(target, request_line).await.expect("this host can ask")
    }

    async fn made(target: SocketAddrV4, request_line: Option<String>) -> Option<Result<(), String>> {
        probe(&Check { endpoint_id: 7, target, request_line, interval_ms: 1000, timeout_ms: 300, rise: 1, fall: 1 })
            .await
    }

    #[tokio::test]
    async fn a_host_without_a_way_to_the_container_says_nothing_about_it() {
        // TCP refuses it with ENETUNREACH, whatever routes there are.
        assert_eq!(made(SocketAddrV4::new(Ipv4Addr::BROADCAST, 80), None).await, None);
    }

    #[tokio::test]
    async fn a_connection_that_opens_passes_and_a_refused_one_says_so() {
        let open = server(None).await.expect("a server");
        assert_eq!(outcome(open, None).await, Ok(()));
        let closed = { TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound") };
        let std::net::SocketAddr::V4(closed) = closed else { panic!("v6") };
        assert_eq!(outcome(closed, None).await, Err("connect: connection refused".into()));
    }

    #[tokio::test]
    async fn answers_of_class_2_and_3_pass_and_others_are_told_with_their_status() {
        const GET: Option<&str> = Some("GET /ping HTTP/1.0");
        for text in ["HTTP/1.0 200 OK\r\nA: b\r\nC: d\r\n\r\nfine", "HTTP/1.1 304\r\n\r\n", "HTTP/1.1 204 \n\n"] {
            assert_eq!(outcome(server(Some(text)).await.expect("a server"), GET).await, Ok(()), "{text:?}");
        }
        for (text, reason) in [
            ("HTTP/1.1 500 Internal Server Error\r\n\r\n", "answered 500 Internal Server Error"),
            ("HTTP/1.1 404\r\n\r\n", "answered 404"),
            ("", "closed the connection without an answer"),
            ("HTTP/1.1 20", "closed the connection in the middle of its answer"),
            ("SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP: invalid HTTP version"),
        ] {
            let got = outcome(server(Some(text)).await.expect("a server"), GET).await;
            assert_eq!(got, Err(reason.to_owned()), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_has_its_time_and_no_more() {
        let silent = server(None).await.expect("a server");
        assert_eq!(outcome(silent, Some("GET / HTTP/1.0")).await, Err("no answer within 300 ms".into()));
    }

    #[tokio::test]
    async fn the_request_is_whole_and_names_the_host() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let std::net::SocketAddr::V4(target) = listener.local_addr().expect("bound") else { panic!("v6") };
        let asked = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut asked = vec![0; 1024];
            let count = stream.read(&mut asked).await.expect("readable");
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await.expect("writable");
            String::from_utf8_lossy(&asked[..count]).into_owned()
        });
        outcome(target, Some("GET /ping HTTP/1.0")).await.expect("it passes");
        let expected =
            format!("GET /ping HTTP/1.0\r\nHost: {target}\r\nUser-Agent: remuda-health\r\nConnection: close\r\n\r\n");
        assert_eq!(asked.await.expect("no panic"), expected);
    }
}
