//! Packets as they pass a switch port, and packets sent exactly as they are given.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use remuda_lab::netns;

const ETHERNET_BYTES: usize = 14;
const ETHERTYPE_IPV4: [u8; 2] = [8, 0];
const PROTOCOL_UDP: u8 = 17;
const IP_BYTES: usize = 20;
const UDP_BYTES: usize = 8;
const FRAME_BYTES_MAX: usize = 65_536;

/// A UDP datagram over IPv4, from the IP header on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram(Vec<u8>);

impl Datagram {
    /// The next one to this UDP port that passes in the namespace (at any of its interfaces), in either direction.
    pub fn capture(namespace: &str, source: Ipv4Addr, to_port: u16, limit: Duration) -> Result<Datagram> {
        let found = netns::inside(namespace, move || -> io::Result<Option<Datagram>> {
            let socket = socket(libc::AF_PACKET, libc::SOCK_RAW, i32::from((libc::ETH_P_ALL as u16).to_be()))?;
            let deadline = Instant::now() + limit;
            let mut frame = vec![0; FRAME_BYTES_MAX];
            while Instant::now() < deadline {
                let len = receive(&socket, &mut frame)?;
                if let Some(datagram) = Datagram::in_frame(&frame[..len], source, to_port) {
                    return Ok(Some(datagram));
                }
            }
            Ok(None)
        })?;
        found?.with_context(|| format!("no datagram from {source} to port {to_port} in {namespace} within {limit:?}"))
    }

    fn in_frame(frame: &[u8], source: Ipv4Addr, to_port: u16) -> Option<Datagram> {
        let packet = frame.get(ETHERNET_BYTES..)?;
        let is_ours = frame[12..14] == ETHERTYPE_IPV4
            && packet.len() >= IP_BYTES + UDP_BYTES
            && packet[0] == 0x45
            && packet[9] == PROTOCOL_UDP
            && packet[12..16] == source.octets()
            && packet[22..24] == to_port.to_be_bytes();
        is_ours.then(|| Datagram(packet.to_vec()))
    }

    pub fn payload(&self) -> &[u8] {
        &self.0[IP_BYTES + UDP_BYTES..]
    }

    /// The same with another payload; lengths follow, and the UDP checksum is left out, as RFC 768 allows: that of a
    /// captured datagram may be unfinished.
    pub fn with_payload(&self, payload: &[u8]) -> Datagram {
        let mut packet = [&self.0[..IP_BYTES + UDP_BYTES], payload].concat();
        let len = packet.len() as u16;
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        packet[24..26].copy_from_slice(&(len - IP_BYTES as u16).to_be_bytes());
        packet[26..28].copy_from_slice(&[0, 0]);
        Datagram(packet)
    }

    /// Sends it from the namespace with the source address it names; the kernel fills in the IP checksum.
    pub fn send(&self, namespace: &str) -> Result<()> {
        let to = Ipv4Addr::new(self.0[16], self.0[17], self.0[18], self.0[19]);
        netns::inside(namespace, || send(&self.0, to))?.with_context(|| format!("sending a raw packet to {to}"))
    }
}

fn socket(domain: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers; a descriptor that is not negative is new and ours alone.
    let fd = unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: checked above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn receive(socket: &OwnedFd, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is as long as said, and lives through the call.
    let len = unsafe { libc::recv(socket.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), 0) };
    usize::try_from(len).map_err(|_| io::Error::last_os_error())
}

fn send(packet: &[u8], to: Ipv4Addr) -> io::Result<()> {
    let socket = socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW)?;
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(to.octets()) },
        sin_zero: [0; 8],
    };
    let size = std::mem::size_of_val(&address) as u32;
    // SAFETY: packet and address are as long as said, and live through the call.
    let sent = unsafe {
        let address = std::ptr::from_ref(&address).cast();
        libc::sendto(socket.as_raw_fd(), packet.as_ptr().cast(), packet.len(), 0, address, size)
    };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Ipv4Addr = Ipv4Addr::new(192, 168, 77, 13);

    #[test]
    fn a_datagram_is_found_in_its_frame_and_its_lengths_follow_another_payload() {
        let mut frame = vec![0; ETHERNET_BYTES + IP_BYTES + UDP_BYTES];
        frame[12] = 8;
        (frame[14], frame[23]) = (0x45, PROTOCOL_UDP);
        frame[26..30].copy_from_slice(&SOURCE.octets());
        frame[36..38].copy_from_slice(&8445u16.to_be_bytes());
        frame.extend(b"sealed");
        let found = Datagram::in_frame(&frame, SOURCE, 8445).unwrap();
        assert_eq!(found.payload(), b"sealed");
        let other = found.with_payload(b"cut");
        assert_eq!((other.payload(), other.0[3], other.0[25]), (&b"cut"[..], 31, 11));
        assert_eq!(Datagram::in_frame(&frame, SOURCE, 8446), None);
    }
}
