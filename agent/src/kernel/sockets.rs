//! Destroying sockets by whom they are connected to, and counting those that others opened (sock_diag(7); destroying
//! needs CONFIG_INET_DIAG_DESTROY).

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_SOCK_DIAG};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const SOCK_DESTROY: u16 = 21;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// struct nlmsghdr.
const HEADER: usize = 16;
/// struct inet_diag_req_v2: family, protocol, ext, pad, states, then the socket's id.
const REQUEST: usize = 56;
/// struct inet_diag_sockid: ports, source, destination, interface, cookie.
const ID: usize = 48;
/// Every state but LISTEN (10); TIME_WAIT (6) has no owner to tell.
const TCP_STATES: u32 = 0xfff & !(1 << 10) & !(1 << 6);
const TCP_LISTEN: u32 = 1 << 10;
/// Flows that still have something to say here or to deliver: ESTABLISHED, SYN_RECV, FIN_WAIT1, CLOSE_WAIT, LAST_ACK,
/// CLOSING. In FIN_WAIT2 and TIME_WAIT the peer has got all of it.
const TCP_ALIVE: u32 = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 8 | 1 << 9 | 1 << 11;
/// Connected UDP sockets are ESTABLISHED (1).
const UDP_STATES: u32 = 1 << 1;

/// Destroys, in the calling thread's network namespace, TCP sockets and connected UDP sockets whose peer is in `ips`,
/// on v4 and v4-mapped v6 sockets alike; their programs get an error at once. Returns how many there were.
pub(crate) fn destroy_sockets_to(ips: &[Ipv4Addr]) -> io::Result<usize> {
    let socket = open()?;
    let mut count = 0;
    for (protocol, states) in [(libc::IPPROTO_TCP, TCP_STATES), (libc::IPPROTO_UDP, UDP_STATES)] {
        for family in [libc::AF_INET, libc::AF_INET6] {
            let head = [family as u8, protocol as u8, 0, 0];
            for id in sockets(&socket, head, states)?.iter().filter(|id| ips.iter().any(|ip| is_peer(id, *ip))) {
                count += usize::from(destroy(&socket, head, states, id)?);
            }
        }
    }
    Ok(count)
}

/// How many TCP flows that others opened to a listening port are alive in the calling thread's network namespace.
/// Flows of the namespace with itself are not counted.
pub(crate) fn count_inbound_flows() -> io::Result<usize> {
    let socket = open()?;
    let families = [libc::AF_INET, libc::AF_INET6];
    let (mut listening, mut flows) = (BTreeSet::new(), Vec::new());
    for family in families {
        let head = [family as u8, libc::IPPROTO_TCP as u8, 0, 0];
        listening.extend(sockets(&socket, head, TCP_LISTEN)?.iter().map(port));
        flows.extend(sockets(&socket, head, TCP_ALIVE)?.into_iter().map(|id| (family, id)));
    }
    let is_inbound = |(family, id): &&(i32, [u8; ID])| {
        let (source, peer) = (address(*family, &id[4..20]), address(*family, &id[20..36]));
        listening.contains(&port(id)) && source != peer && !peer.is_loopback()
    };
    Ok(flows.iter().filter(is_inbound).count())
}

/// Where an address of this family is in 16 bytes; v4-mapped ones are v4.
fn address(family: i32, bytes: &[u8]) -> IpAddr {
    let mut octets = [0; 16];
    octets.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    let [a, b, c, d, ..] = octets;
    match family {
        libc::AF_INET => Ipv4Addr::new(a, b, c, d).into(),
        _ => Ipv6Addr::from(octets).to_canonical(),
    }
}

/// The local port, network order.
fn port(id: &[u8; ID]) -> [u8; 2] {
    [id[0], id[1]]
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

fn sockets(socket: &Socket, head: [u8; 4], states: u32) -> io::Result<Vec<[u8; ID]>> {
    send(socket, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, head, states, &[0; ID])?;
    let mut found = Vec::new();
    loop {
        let (bytes, _) = socket.recv_from_full()?;
        for (kind, body) in messages(&bytes) {
            match kind {
                NLMSG_DONE | NLMSG_ERROR => return end_of_dump(head, body).map(|()| found),
                // struct inet_diag_msg: family, state, timer, retransmits, id.
                _ => found.extend(body.get(4..4 + ID).and_then(|id| <[u8; ID]>::try_from(id).ok())),
            }
        }
    }
}

/// Errors if the kernel gave up in the middle, or before the first: what was found is then not all there is.
fn end_of_dump(head: [u8; 4], body: &[u8]) -> io::Result<()> {
    match -code(body) {
        ..=0 => Ok(()),
        // A kernel without that family or protocol has no such sockets. TCP over IPv4 it has; it cannot list it.
        libc::ENOENT if head[..2] != [libc::AF_INET as u8, libc::IPPROTO_TCP as u8] => Ok(()),
        libc::ENOENT => Err(io::Error::other("this kernel cannot list TCP sockets (CONFIG_INET_TCP_DIAG)")),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// What an acknowledgement or the end of a dump begins with: 0 or a negative errno.
fn code(body: &[u8]) -> i32 {
    let bytes = body.get(..4).and_then(|bytes| bytes.try_into().ok());
    // Of no errno: kept from a negation that overflows.
    bytes.map_or(0, i32::from_ne_bytes).max(-i32::MAX)
}

/// The destination: 4 bytes in v4, the last 4 of `::ffff:a.b.c.d` in v6.
fn is_peer(id: &[u8; ID], ip: Ipv4Addr) -> bool {
    let destination = &id[20..36];
    let mapped = ip.to_ipv6_mapped().octets();
    destination == mapped || (destination[..4] == ip.octets() && destination[4..] == [0; 12])
}

/// False when the socket went away by itself.
fn destroy(socket: &Socket, head: [u8; 4], states: u32, id: &[u8; ID]) -> io::Result<bool> {
    send(socket, SOCK_DESTROY, NLM_F_ACK, head, states, id)?;
    let (bytes, _) = socket.recv_from_full()?;
    let answer = messages(&bytes).find(|(kind, _)| *kind == NLMSG_ERROR);
    match -answer.map_or(0, |(_, body)| code(body)) {
        0 => Ok(true),
        libc::ENOENT => Ok(false),
        libc::EOPNOTSUPP => Err(io::Error::other("this kernel cannot destroy sockets (CONFIG_INET_DIAG_DESTROY)")),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

fn send(socket: &Socket, kind: u16, flags: u16, head: [u8; 4], states: u32, id: &[u8; ID]) -> io::Result<()> {
    let mut message = Vec::with_capacity(HEADER + REQUEST);
    message.extend(((HEADER + REQUEST) as u32).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    message.extend([0; 8]);
    message.extend(head);
    message.extend(states.to_ne_bytes());
    message.extend(id);
    socket.send(&message, 0).map(drop)
}

/// Kind and body of each message in a datagram.
pub(crate) fn messages(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let len = u32::from_ne_bytes(rest.get(..4)?.try_into().ok()?) as usize;
        let kind = u16::from_ne_bytes(rest.get(4..6)?.try_into().ok()?);
        let body = rest.get(HEADER..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_broke_off_is_an_error_and_not_a_short_list() {
        let end = |family: i32, errno: i32| {
            let head = [family as u8, libc::IPPROTO_TCP as u8, 0, 0];
            end_of_dump(head, &(-errno).to_ne_bytes()).map_err(|error| error.raw_os_error())
        };
        assert_eq!(end(libc::AF_INET, 0), Ok(()));
        assert_eq!(end(libc::AF_INET6, libc::ENOENT), Ok(()), "a kernel without IPv6");
        assert_eq!(end(libc::AF_INET, libc::ENOENT), Err(None), "it cannot list them, and says so in words");
        assert_eq!(end(libc::AF_INET6, libc::EPERM), Err(Some(libc::EPERM)));
        assert!(end_of_dump([0; 4], &[]).is_ok() && end_of_dump([0; 4], &i32::MIN.to_ne_bytes()).is_err());
    }

    #[test]
    fn a_peer_is_known_in_both_families() {
        let ip = Ipv4Addr::new(10, 42, 0, 9);
        let mut id = [0; ID];
        id[20..24].copy_from_slice(&ip.octets());
        assert!(is_peer(&id, ip));
        id[20..36].copy_from_slice(&ip.to_ipv6_mapped().octets());
        assert!(is_peer(&id, ip));
        assert!(!is_peer(&id, Ipv4Addr::new(10, 42, 0, 8)));
    }
}
