//! The socket hooks: dialled address in, backend out, and the dialled address shown again.
//!
//! v4 and v4-mapped v6 sockets (`::ffff:a.b.c.d`, what Java opens) are one code path; where the address
//! lies in the context is the difference. TCP's note is a direct-mapped array that only getpeername reads
//! (293 ns per connect; socket storage costs 975); UDP's is socket storage, written once per socket.

use crate::maps::{Maps, NETNS, PEER, REV, SEEN, count};
use aya_ebpf::{
    EbpfContext,
    bindings::bpf_sock_addr,
    helpers::generated::{bpf_get_netns_cookie, bpf_get_prandom_u32, bpf_get_socket_cookie, bpf_set_retval},
    programs::SockAddrContext,
};
use remuda_abi::{
    addr::{PROTO_TCP, PROTO_UDP},
    counter::Counter,
    hash::socket_hash,
    socket::*,
};
use remuda_ebpf::socket::{To, dial};

/// Which half of the context holds the address.
pub const V4: bool = false;
pub const V6: bool = true;

const ALLOW: i32 = 1;
const REFUSE: i32 = 0;
const ECONNREFUSED: i32 = 111;
/// The third word of `::ffff:0:0/96`.
const MAPPED: u32 = 0x0000_ffff_u32.to_be();

/// TCP, and UDP sockets that connect: once per connection.
#[inline(always)]
pub fn connect(c: &SockAddrContext, v6: bool) -> i32 {
    let Some(e) = endpoint(c) else { return ALLOW };
    let Some((ip_be, port_be)) = address(c, v6) else { return ALLOW };
    let proto = proto(c);
    // SAFETY: no arguments.
    let random = unsafe { bpf_get_prandom_u32() };
    match dial(&Maps, e, ip_be, port_be, proto, random) {
        To::Leave => {}
        To::Refuse => return refuse(),
        To::Backend { ip_be: real_ip_be, port_be: real_port_be } => {
            let note = Peer { dialled_ip_be: ip_be, real_ip_be, dialled_port_be: port_be, real_port_be };
            if proto == PROTO_TCP {
                remember_tcp(c, &note)
            } else {
                remember_udp(c, note)
            }
            count(Counter::SocketTranslated);
            put(c, v6, real_ip_be, real_port_be);
        }
    }
    ALLOW
}

/// UDP sockets that name their peer with every datagram: one socket and frontend, one backend, without state.
#[inline(always)]
pub fn sendmsg(c: &SockAddrContext, v6: bool) -> i32 {
    let Some(e) = endpoint(c) else { return ALLOW };
    let Some((ip_be, port_be)) = address(c, v6) else { return ALLOW };
    let cookie = cookie(c);
    match dial(&Maps, e, ip_be, port_be, PROTO_UDP, socket_hash(cookie, ip_be)) {
        To::Leave => {}
        To::Refuse => return refuse(),
        To::Backend { ip_be: real_ip_be, port_be: real_port_be } => {
            let note = Peer { dialled_ip_be: ip_be, real_ip_be, dialled_port_be: port_be, real_port_be };
            remember_datagram(c, cookie, note);
            count(Counter::SocketTranslated);
            put(c, v6, real_ip_be, real_port_be);
        }
    }
    ALLOW
}

/// UDP: who a datagram came from. A socket without a note of ours is left at the price of one call.
#[inline(always)]
pub fn recvmsg(c: &SockAddrContext, v6: bool) -> i32 {
    let Some(note) = udp_note(c) else { return ALLOW };
    let Some((ip_be, port_be)) = address(c, v6) else { return ALLOW };
    if note.real_ip_be == ip_be && note.real_port_be == port_be {
        put(c, v6, note.dialled_ip_be, note.dialled_port_be);
        return ALLOW;
    }
    let key = RevKey { socket_cookie: cookie(c), real_ip_be: ip_be, real_port_be: port_be, pad: 0 };
    // SAFETY: copied at once.
    if let Some(d) = unsafe { REV.get(key) }.copied() {
        put(c, v6, d.ip_be, d.port_be);
    }
    ALLOW
}

#[inline(always)]
pub fn getpeername(c: &SockAddrContext, v6: bool) -> i32 {
    let note = if proto(c) == PROTO_TCP { tcp_note(c) } else { udp_note(c) };
    let Some(note) = note else { return ALLOW };
    let Some((ip_be, port_be)) = address(c, v6) else { return ALLOW };
    if note.real_ip_be == ip_be && note.real_port_be == port_be {
        put(c, v6, note.dialled_ip_be, note.dialled_port_be);
    }
    ALLOW
}

// ---- notes ----

#[inline(always)]
fn remember_tcp(c: &SockAddrContext, n: &Peer) {
    let socket_cookie = cookie(c);
    if let Some(seen) = SEEN.get_ptr_mut(slot(socket_cookie)) {
        let note = Seen {
            socket_cookie,
            dialled_ip_be: n.dialled_ip_be,
            real_ip_be: n.real_ip_be,
            dialled_port_be: n.dialled_port_be,
            real_port_be: n.real_port_be,
            pad: 0,
        };
        // SAFETY: a valid cell. Two sockets may share it: readers check cookie and address.
        unsafe { *seen = note }
    }
}

#[inline(always)]
fn tcp_note(c: &SockAddrContext) -> Option<Peer> {
    let socket_cookie = cookie(c);
    let seen = SEEN.get(slot(socket_cookie)).copied()?;
    (seen.socket_cookie == socket_cookie).then_some(Peer {
        dialled_ip_be: seen.dialled_ip_be,
        real_ip_be: seen.real_ip_be,
        dialled_port_be: seen.dialled_port_be,
        real_port_be: seen.real_port_be,
    })
}

#[inline(always)]
fn slot(socket_cookie: u64) -> u32 {
    socket_cookie as u32 & (SEEN_SLOTS - 1)
}

#[inline(always)]
fn remember_udp(c: &SockAddrContext, mut note: Peer) {
    // SAFETY: the note lives across the call; the storage is this socket's.
    let stored = unsafe { PEER.get_or_insert_ptr_mut(c, Some(&mut note)) };
    if stored.is_null() {
        count(Counter::SocketNoteFailed);
    } else {
        // SAFETY: not null. A second connect of one socket finds the first one's note.
        unsafe { *stored = note }
    }
}

/// The socket's own note holds its first frontend; further ones (rare) go to REV.
#[inline(always)]
fn remember_datagram(c: &SockAddrContext, socket_cookie: u64, note: Peer) {
    let Some(first) = udp_note(c) else { return remember_udp(c, note) };
    if first == note {
        return;
    }
    let key = RevKey { socket_cookie, real_ip_be: note.real_ip_be, real_port_be: note.real_port_be, pad: 0 };
    let dialled = Dialled { ip_be: note.dialled_ip_be, port_be: note.dialled_port_be, pad: 0 };
    // SAFETY: compared at once.
    let is_known = unsafe { REV.get(key) }.is_some_and(|d| *d == dialled);
    if !is_known && REV.insert(key, dialled, 0).is_err() {
        count(Counter::SocketNoteFailed);
    }
}

#[inline(always)]
fn udp_note(c: &SockAddrContext) -> Option<Peer> {
    // SAFETY: looks up only; null without a note.
    let stored = unsafe { PEER.get_ptr_mut(c) };
    if stored.is_null() {
        return None;
    }
    // SAFETY: not null, copied at once.
    Some(unsafe { *stored })
}

// ---- the context ----

#[inline(always)]
fn endpoint(c: &SockAddrContext) -> Option<&'static SocketEndpoint> {
    // SAFETY: a live context.
    let cookie = unsafe { bpf_get_netns_cookie(c.as_ptr()) };
    // SAFETY: map values live as long as the program; fields are read once.
    NETNS.get_ptr(cookie).map(|e| unsafe { &*e })
}

#[inline(always)]
fn cookie(c: &SockAddrContext) -> u64 {
    // SAFETY: a live context.
    unsafe { bpf_get_socket_cookie(c.as_ptr()) }
}

/// By the socket's type, not its protocol: MPTCP says 262.
#[inline(always)]
fn proto(c: &SockAddrContext) -> u8 {
    // SAFETY: a live context.
    match load(unsafe { &raw const (*c.sock_addr).type_ }) {
        SOCK_STREAM => PROTO_TCP,
        SOCK_DGRAM => PROTO_UDP,
        _ => 0,
    }
}
const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;

/// The IPv4 address and port; `None` for a v6 address that maps none.
#[inline(always)]
fn address(c: &SockAddrContext, v6: bool) -> Option<(u32, u16)> {
    let s = c.sock_addr;
    // SAFETY (all): a live context; fields the hook may read.
    let ip_be = if v6 {
        let word = |i: usize| load(unsafe { (&raw const (*s).user_ip6).cast::<u32>().add(i) });
        if word(0) != 0 || word(1) != 0 || word(2) != MAPPED {
            return None;
        }
        word(3)
    } else {
        load(unsafe { &raw const (*s).user_ip4 })
    };
    // SAFETY: as above.
    Some((ip_be, load(unsafe { &raw const (*s).user_port }) as u16))
}

/// VERIFIER: the context is read word by word, at the width given.
#[inline(always)]
fn load(p: *const u32) -> u32 {
    // SAFETY: callers pass fields of a live context.
    unsafe { p.read_volatile() }
}

/// VERIFIER: stores with the offset spelled out. LLVM likes to fold two tails into one through a moved
/// context pointer, which is refused ("dereference of modified ctx ptr"). user_ip4 is at 4, user_ip6[3]
/// at 20, user_port at 24.
#[inline(always)]
fn put(c: &SockAddrContext, v6: bool, ip_be: u32, port_be: u16) {
    let (s, ip, port): (*mut bpf_sock_addr, _, _) = (c.sock_addr, u64::from(ip_be), u64::from(port_be));
    // SAFETY: a live context and fields the hook may write.
    unsafe {
        if v6 {
            core::arch::asm!("*(u32 *)({0} + 20) = {1}", in(reg) s, in(reg) ip, options(nostack));
        } else {
            core::arch::asm!("*(u32 *)({0} + 4) = {1}", in(reg) s, in(reg) ip, options(nostack));
        }
        core::arch::asm!("*(u32 *)({0} + 24) = {1}", in(reg) s, in(reg) port, options(nostack));
    }
}

/// The program gets an error at once instead of a silence.
#[inline(always)]
fn refuse() -> i32 {
    count(Counter::SocketRefused);
    // SAFETY: no pointers.
    unsafe { bpf_set_retval(-ECONNREFUSED) };
    REFUSE
}
