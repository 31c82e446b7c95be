//! ICMP echo through the overlay to the host endpoints of the next hosts: their kernel answers, without their agent.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::sockopt::BindToDevice;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, setsockopt, socket};
use tokio::net::UdpSocket;
use tokio::time::MissedTickBehavior;

use super::{Counts, Peers, Rosters};
use crate::kernel::HOST_DEVICE;
use crate::problems::Problems;

const ABOUT: &str = "witness probes";
/// Four chances before a host is suspect (2 s).
const INTERVAL: Duration = Duration::from_millis(500);
/// An answer that takes longer proves nothing any more.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// What a probe may wait for: more than three hosts are asked in [`ANSWER_MAX`].
const WAITING_MAX: usize = 16;
/// So many rounds in a row that could not be sent are a problem; `remuda0` may come a little later than its host.
const FAILURES_MAX: u32 = 6;

const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
const PROBE_BYTES: usize = 16;
const PROTOCOL_ICMP: u8 = 1;

/// Probes for as long as the agent runs.
pub async fn run(rosters: Rosters, peers: Peers, problems: Problems) {
    let mut prober = Prober { probes: Probes::new(rand::random(), rand::random()), socket: None, peers };
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0;
    while rosters.has_changed().is_ok() {
        tokio::select! {
            _ = tick.tick() => {}
            () = prober.listen() => continue,
        }
        let targets = rosters.borrow().as_ref().map_or_else(Vec::new, |roster| roster.witnessed());
        match prober.ask(&targets).await {
            Ok(()) => {
                failures = 0;
                problems.clear(ABOUT);
            }
            Err(error) => {
                // The next round opens another: remuda0 may have been made anew.
                prober.socket = None;
                failures += 1;
                if failures >= FAILURES_MAX {
                    problems.set(ABOUT, format!("{error}; this host cannot say whether others live"));
                }
            }
        }
    }
}

struct Prober {
    probes: Probes,
    socket: Option<UdpSocket>,
    peers: Peers,
}

impl Prober {
    async fn ask(&mut self, targets: &[(u16, Ipv4Addr)]) -> Result<(), String> {
        if self.socket.is_none() && !targets.is_empty() {
            self.socket = Some(open().map_err(|error| format!("open a raw socket at {HOST_DEVICE}: {error}"))?);
        }
        let Some(socket) = &self.socket else { return Ok(()) };
        let mut result = Ok(());
        for (node_id, host_ip) in targets {
            let probe = self.probes.ask(*node_id, *host_ip, Instant::now());
            match socket.send_to(&probe, SocketAddrV4::new(*host_ip, 0)).await {
                Ok(_) => Counts::add(&self.peers.counts().probes_sent),
                Err(error) => result = Err(format!("probe node {node_id} at {host_ip}: {error}")),
            }
        }
        result
    }

    /// Takes one answer. Without a socket there are none.
    async fn listen(&mut self) {
        let Some(socket) = &self.socket else { return std::future::pending().await };
        let mut buffer = [0; 128];
        match socket.recv(&mut buffer).await {
            Ok(len) => {
                if let Some((node_id, asked)) = self.probes.heard(&buffer[..len], Instant::now()) {
                    Counts::add(&self.peers.counts().probes_answered);
                    self.peers.answered(node_id, asked);
                }
            }
            Err(_) => self.socket = None,
        }
    }
}

/// A raw ICMP socket that sends and receives at `remuda0` only, and receives echo replies only. It is used like one
/// of UDP: the same system calls, with a port of 0.
fn open() -> io::Result<UdpSocket> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Icmp)?;
    setsockopt(&socket, BindToDevice, &HOST_DEVICE.into())?;
    // linux/icmp.h: a set bit keeps that type away.
    const ICMP_FILTER: libc::c_int = 1;
    let filter: u32 = !(1 << ECHO_REPLY);
    let len = size_of::<u32>() as libc::socklen_t;
    // SAFETY: the pointer is to a local of the size given; the socket is open.
    let code =
        unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_RAW, ICMP_FILTER, (&raw const filter).cast(), len) };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    UdpSocket::from_std(socket.into())
}

/// Probes under way. Pure: packets out, packets in.
struct Probes {
    identifier: u16,
    /// In every probe: whoever cannot see them cannot answer them.
    secret: u64,
    sequence: u16,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    sequence: u16,
    node_id: u16,
    host_ip: Ipv4Addr,
    asked: Instant,
}

impl Probes {
    fn new(identifier: u16, secret: u64) -> Probes {
        Probes { identifier, secret, sequence: 0, waiting: VecDeque::with_capacity(WAITING_MAX) }
    }

    /// The echo request (RFC 792) to send now.
    fn ask(&mut self, node_id: u16, host_ip: Ipv4Addr, asked: Instant) -> [u8; PROBE_BYTES] {
        self.sequence = self.sequence.wrapping_add(1);
        if self.waiting.len() == WAITING_MAX {
            self.waiting.pop_front();
        }
        self.waiting.push_back(Waiting { sequence: self.sequence, node_id, host_ip, asked });
        let mut probe = [0; PROBE_BYTES];
        probe[0] = ECHO_REQUEST;
        probe[4..6].copy_from_slice(&self.identifier.to_be_bytes());
        probe[6..8].copy_from_slice(&self.sequence.to_be_bytes());
        probe[8..].copy_from_slice(&self.secret.to_be_bytes());
        let checksum = checksum(&probe);
        probe[2..4].copy_from_slice(&checksum.to_be_bytes());
        probe
    }

    /// Who answered with this IPv4 packet, and when it was asked. None if it is no answer to a probe under way; each
    /// counts once.
    fn heard(&mut self, packet: &[u8], now: Instant) -> Option<(u16, Instant)> {
        let (source, reply) = icmp(packet)?;
        let (first, secret) = reply.split_first_chunk::<8>()?;
        let [kind, code, _, _, i0, i1, s0, s1] = *first;
        let is_ours = [kind, code] == [ECHO_REPLY, 0]
            && u16::from_be_bytes([i0, i1]) == self.identifier
            && secret == self.secret.to_be_bytes();
        let sequence = u16::from_be_bytes([s0, s1]);
        let at = self.waiting.iter().position(|asked| asked.sequence == sequence && asked.host_ip == source)?;
        let answered = is_ours.then(|| self.waiting.remove(at)).flatten()?;
        let is_in_time = now.saturating_duration_since(answered.asked) <= ANSWER_MAX;
        is_in_time.then_some((answered.node_id, answered.asked))
    }
}

/// Source and message of an ICMP packet.
fn icmp(packet: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let header = packet.first_chunk::<20>()?;
    let header_bytes = usize::from(header[0] & 0xf) * 4;
    if header[0] >> 4 != 4 || header_bytes < header.len() || header[9] != PROTOCOL_ICMP {
        return None;
    }
    let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
    Some((source, packet.get(header_bytes..)?))
}

/// RFC 1071, of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let sum: u32 = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    const H2: Ipv4Addr = Ipv4Addr::new(10, 42, 2, 1);

    /// What H2's kernel makes of a probe.
    fn reply(probe: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 36, 0, 0, 0, 0, 64, PROTOCOL_ICMP, 0, 0, 10, 42, 2, 1, 10, 42, 1, 1];
        packet.extend_from_slice(probe);
        packet[20] = ECHO_REPLY;
        packet
    }

    fn probes() -> Probes {
        Probes::new(77, 0x0102_0304_0506_0708)
    }

    #[test]
    fn a_probe_is_an_echo_request_with_a_good_checksum() {
        let probe = probes().ask(2, H2, Instant::now());
        assert_eq!(probe, [8, 0, 0xe7, 0x9d, 0, 77, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(checksum(&probe), 0);
    }

    #[test]
    fn an_answer_counts_once_and_in_time() {
        let (mut probes, now) = (probes(), Instant::now());
        let first = probes.ask(2, H2, now);
        assert_eq!(probes.heard(&reply(&first), now + ANSWER_MAX), Some((2, now)));
        assert_eq!(probes.heard(&reply(&first), now + ANSWER_MAX), None, "it was counted");
        let second = probes.ask(2, H2, now);
        let late = now + ANSWER_MAX + Duration::from_millis(1);
        assert_eq!(probes.heard(&reply(&second), late), None, "it took too long");
    }

    #[test]
    fn what_is_not_the_answer_to_a_probe_under_way_proves_nothing() {
        let (mut probes, now) = (probes(), Instant::now());
        let probe = probes.ask(2, H2, now);
        let good = reply(&probe);
        for (byte, what) in [
            (0, "no IPv4"),
            (9, "no ICMP"),
            (15, "another source"),
            (20, "no reply"),
            (21, "another code"),
            (25, "another identifier"),
            (27, "another sequence"),
            (30, "another secret"),
        ] {
            let mut bad = good.clone();
            bad[byte] ^= 0x10;
            assert_eq!(probes.heard(&bad, now), None, "{what}");
        }
        for len in 0..good.len() {
            assert_eq!(probes.heard(&good[..len], now), None, "{len} bytes");
        }
        assert_eq!(probes.heard(&good, now), Some((2, now)));
    }

    #[test]
    fn unanswered_probes_are_forgotten() {
        let (mut probes, now) = (probes(), Instant::now());
        let first = probes.ask(2, H2, now);
        for _ in 0..WAITING_MAX {
            probes.ask(3, H2, now);
        }
        assert_eq!((probes.heard(&reply(&first), now), probes.waiting.len()), (None, WAITING_MAX));
    }
}
