//! What a socket that dials an address is connected to. Decides only; the hooks in the binary read and
//! write the socket.

use crate::{
    lb,
    tables::{Addresses, Tables},
    width::V4,
};
use remuda_abi::{
    frontend::{Backend, Frontend, FrontendKey, backend_port_be},
    socket::*,
};

/// Where to connect instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Not ours: where the program asked.
    Leave,
    /// A frontend without backend, or a VIP nobody has: refused at once.
    Refuse,
    Backend {
        ip_be: u32,
        port_be: u16,
    },
}

/// The VIP-prefix test comes first: ordinary connections pay it and one bit of the published ports.
#[inline(always)]
pub fn dial<T: Tables>(t: &T, e: &SocketEndpoint, ip_be: u32, port_be: u16, proto: u8, hash: u32) -> To {
    if ip_be & e.vip_mask_be == e.vip_net_be {
        let frontend = lb::vip(t, e.vni, ip_be, port_be, proto);
        return frontend.map_or(To::Refuse, |f| backend(t, &f, port_be, hash));
    }
    if !t.is_published(proto, u16::from_be(port_be)) || !is_host_address(t, e, ip_be) {
        return To::Leave;
    }
    let key = FrontendKey::published(e.vni, port_be, proto);
    Addresses::<V4>::frontend(t, &key).map_or(To::Leave, |f| backend(t, &f, port_be, hash))
}

/// 127.0.0.0/8 is a host address for the host's own processes.
#[inline(always)]
fn is_host_address<T: Tables>(t: &T, e: &SocketEndpoint, ip_be: u32) -> bool {
    let is_loopback = u32::from_be(ip_be) >> 24 == 127;
    if is_loopback {
        return e.flags & SOCKET_HOST != 0;
    }
    lb::is_host_address(Addresses::<V4>::route(t, e.vni, ip_be))
}

#[inline(always)]
fn backend<T: Tables>(t: &T, f: &Frontend, port_be: u16, hash: u32) -> To {
    // A socket may well reach its own address: nothing to avoid.
    match lb::from_list(t, f, hash, 0) {
        Ok((_, b)) => at(f, &b, port_be),
        Err(_) => To::Refuse,
    }
}

#[inline(always)]
fn at(f: &Frontend, b: &Backend, dialled_be: u16) -> To {
    To::Backend { ip_be: b.ip_be, port_be: backend_port_be(f, b, dialled_be) }
}
