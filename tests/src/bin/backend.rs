//! What the containers of a faults test run: it answers, says who it is and whom it saw, and is unwell on request.
//!
//! TCP and UDP 7000: each line or datagram is answered with `NAME CLIENT`. HTTP 7001: `GET /` answers the status last
//! asked for by `GET /be/500`, at first its argument or 200. Ends at SIGTERM, as a service without connections to finish would.

use std::io::{BufRead, BufReader, Result, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

const LINES: &str = "0.0.0.0:7000";
const HTTP: &str = "0.0.0.0:7001";
const DATAGRAM_LIMIT: usize = 1500;
/// A client that says nothing for longer than any fault lasts is gone.
const PATIENCE: Duration = Duration::from_secs(600);

fn main() -> Result<()> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?.trim().to_owned();
    let (lines, http, datagrams) = (TcpListener::bind(LINES)?, TcpListener::bind(HTTP)?, UdpSocket::bind(LINES)?);
    println!("{name} serves {LINES} and {HTTP}");
    let echo = name.clone();
    thread::spawn(move || answer_datagrams(&datagrams, &echo));
    let first = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(200);
    let status = Arc::new(AtomicU32::new(first));
    thread::spawn(move || {
        for stream in http.incoming().flatten() {
            let status = status.clone();
            thread::spawn(move || answer_http(stream, &status));
        }
    });
    for stream in lines.incoming().flatten() {
        let name = name.clone();
        thread::spawn(move || answer_lines(stream, &name));
    }
    Ok(())
}

fn answer_datagrams(socket: &UdpSocket, name: &str) {
    let mut buffer = [0; DATAGRAM_LIMIT];
    while let Ok((_, from)) = socket.recv_from(&mut buffer) {
        let _ = socket.send_to(format!("{name} {from}\n").as_bytes(), from);
    }
}

fn answer_lines(mut stream: TcpStream, name: &str) -> Result<()> {
    let client = stream.peer_addr()?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        stream.write_all(format!("{name} {client}\n").as_bytes())?;
        line.clear();
    }
    Ok(())
}

fn answer_http(mut stream: TcpStream, status: &AtomicU32) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut request = String::new();
    lines.read_line(&mut request)?;
    let wanted = request.split_whitespace().nth(1).and_then(|path| path.strip_prefix("/be/")?.parse().ok());
    if let Some(wanted) = wanted {
        status.store(wanted, Ordering::Relaxed);
    }
    let mut header = String::new();
    // An HTTP/1.0 request may end after its first line; then the client has closed its side or waits for us.
    while request.contains("HTTP/1.") && lines.read_line(&mut header)? > 2 {
        header.clear();
    }
    let status = if wanted.is_some() { 200 } else { status.load(Ordering::Relaxed) };
    write!(stream, "HTTP/1.0 {status} as asked\r\nContent-Length: 3\r\n\r\nok\n")
}
