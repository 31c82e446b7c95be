//! The UDP service: says who it is and whose datagram it got.

use std::io::Result;
use std::net::UdpSocket;
use std::time::Duration;

const ADDRESS: &str = "0.0.0.0:7000";
const PATIENCE: Duration = Duration::from_secs(2);
/// Larger datagrams are cut.
const DATAGRAM_LIMIT: usize = 1500;

/// Answers `NAME saw ADDRESS: TEXT` until the process ends.
pub fn serve() -> Result<()> {
    let socket = UdpSocket::bind(ADDRESS)?;
    println!("echo on {ADDRESS}");
    let mut buffer = [0; DATAGRAM_LIMIT];
    loop {
        let (len, from) = socket.recv_from(&mut buffer)?;
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        socket.send_to(format!("{} saw {}: {text}", crate::hostname(), from.ip()).as_bytes(), from)?;
    }
}

/// One datagram there and back.
pub fn say(to: &str, text: &str) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(to)?;
    socket.send(text.as_bytes())?;
    let mut buffer = [0; DATAGRAM_LIMIT];
    let len = socket.recv(&mut buffer)?;
    println!("{}", String::from_utf8_lossy(&buffer[..len]));
    Ok(())
}
