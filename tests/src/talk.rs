//! Sockets inside other network namespaces: a server that tells each client the address it saw, and its clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use remuda_lab::netns;

/// An answer that takes longer will not come.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// UDP may lose the first datagram to a neighbour that is still being resolved.
const UDP_TRIES: usize = 3;
/// How often a server looks whether it shall end.
const TICK: Duration = Duration::from_millis(50);

/// Answers every TCP connection and UDP datagram with `name client-address`; ends when dropped.
pub struct Mirror {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Mirror {
    /// Listens on `at` (TCP and UDP) in the namespace (a name or a path).
    pub fn start(namespace: &str, name: &str, at: SocketAddr) -> Result<Mirror> {
        let (tcp, udp) =
            netns::inside(namespace, || Ok::<_, std::io::Error>((TcpListener::bind(at)?, UdpSocket::bind(at)?)))?
                .with_context(|| format!("listening on {at} in {namespace}"))?;
        tcp.set_nonblocking(true)?;
        udp.set_read_timeout(Some(TICK))?;
        let is_over = Arc::new(AtomicBool::new(false));
        let (tcp_over, udp_over) = (is_over.clone(), is_over.clone());
        let (tcp_name, udp_name) = (name.to_owned(), name.to_owned());
        let threads = vec![
            std::thread::spawn(move || serve_tcp(&tcp, &tcp_name, &tcp_over)),
            std::thread::spawn(move || serve_udp(&udp, &udp_name, &udp_over)),
        ];
        Ok(Mirror { is_over, threads })
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn serve_tcp(listener: &TcpListener, name: &str, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((mut stream, from)) => {
                let _ = stream.write_all(format!("{name} {from}").as_bytes());
            }
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn serve_udp(socket: &UdpSocket, name: &str, is_over: &AtomicBool) {
    let mut buffer = [0; 2048];
    while !is_over.load(Ordering::Relaxed) {
        if let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(format!("{name} {from}").as_bytes(), from);
        }
    }
}

/// What a [`Mirror`] said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which server answered.
    pub server: String,
    /// The client address it saw.
    pub client: SocketAddr,
    /// The peer's address as this client's socket shows it (getpeername, recvfrom).
    pub peer: SocketAddr,
}

/// Asks over TCP from inside `namespace`.
pub fn ask_tcp(namespace: &str, to: &str) -> Result<Answer> {
    let to: SocketAddr = to.parse().with_context(|| format!("`{to}` is no address and port"))?;
    netns::inside(namespace, move || {
        let mut stream =
            TcpStream::connect_timeout(&to, ANSWER_LIMIT).with_context(|| format!("connecting to {to}"))?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let peer = stream.peer_addr()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).with_context(|| format!("reading from {to}"))?;
        parse(&text, peer)
    })?
}

/// Asks over unconnected UDP from inside `namespace`.
pub fn ask_udp(namespace: &str, to: &str) -> Result<Answer> {
    let to: SocketAddr = to.parse().with_context(|| format!("`{to}` is no address and port"))?;
    netns::inside(namespace, move || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(ANSWER_LIMIT / UDP_TRIES as u32))?;
        let mut buffer = [0; 2048];
        let mut last = None;
        for _ in 0..UDP_TRIES {
            socket.send_to(b"who am I?", to).with_context(|| format!("sending to {to}"))?;
            match socket.recv_from(&mut buffer) {
                Ok((len, from)) => return parse(&String::from_utf8_lossy(&buffer[..len]), from),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no try was made")?).with_context(|| format!("no answer from {to}"))
    })?
}

fn parse(text: &str, peer: SocketAddr) -> Result<Answer> {
    let (server, client) = text.split_once(' ').with_context(|| format!("`{text}` is no mirror's answer"))?;
    Ok(Answer { server: server.into(), client: client.parse()?, peer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_says_its_name_and_whom_it_saw() {
        let answer = parse("web 10.42.0.10:4711", "10.43.0.1:80".parse().unwrap()).unwrap();
        assert_eq!((answer.server.as_str(), answer.client.to_string().as_str()), ("web", "10.42.0.10:4711"));
        assert!(parse("noise", "10.43.0.1:80".parse().unwrap()).is_err());
    }
}
