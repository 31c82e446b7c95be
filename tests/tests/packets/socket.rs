//! The socket hooks with real sockets: attached at the cgroup v2 root, they act only on the namespace
//! this test registers.

use crate::{
    datapath::{Datapath, Raw},
    frame::Ip,
    world::*,
};
use aya::{
    maps::HashMap,
    programs::{CgroupAttachMode, CgroupSockAddr},
};
use remuda_abi::{addr::ip_be, names::program, socket::*};
use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    time::Duration,
};

const TIMEOUT: Option<Duration> = Some(Duration::from_secs(3));

/// Hooks attached; this thread's namespace holds C2 and H1 on its loopback and is an endpoint (or the host).
fn attach(flags: u32) -> Datapath {
    let mut d = Datapath::load();
    let script = "link set lo up\naddr add 10.42.1.3/32 dev lo\naddr add 10.42.1.2/32 dev lo\n";
    crate::datapath::ip_batch(script).unwrap();
    d.load_sockets();
    let cgroup = File::open(cgroup2_root()).expect("a cgroup v2 root");
    for name in program::SOCKET {
        let p: &mut CgroupSockAddr = d.ebpf.program_mut(name).unwrap().try_into().unwrap();
        p.attach(&cgroup, CgroupAttachMode::Single).unwrap();
    }
    let me = SocketEndpoint {
        vni: VNI,
        vip_net_be: ip_be([10, 43, 0, 0]),
        vip_mask_be: ip_be([255, 255, 0, 0]),
        flags,
        endpoint_id: C1_ID,
        pad: 0,
    };
    let mut netns: HashMap<_, u64, Raw<SocketEndpoint>> = d.ebpf.map_mut("NETNS").unwrap().try_into().unwrap();
    netns.insert(netns_cookie(), Raw(me), 0).unwrap();
    d
}

/// Wherever it is mounted.
fn cgroup2_root() -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let mut fields = mounts.lines().map(|l| l.split(' ').collect::<Vec<_>>());
    fields.find(|f| f[2] == "cgroup2").map(|f| f[1].to_string()).expect("cgroup v2 is mounted somewhere")
}

fn netns_cookie() -> u64 {
    const SO_NETNS_COOKIE: i32 = 71;
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let (mut cookie, mut len) = (0u64, 8u32);
    // SAFETY: both out-pointers live across the call and have the sizes given.
    let code = unsafe {
        let (value, len) = ((&raw mut cookie).cast(), &raw mut len);
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, SO_NETNS_COOKIE, value, len)
    };
    assert_eq!(code, 0);
    cookie
}

fn at(ip: Ip, port: u16) -> SocketAddr {
    (ip, port).into()
}
fn mapped(ip: Ip, port: u16) -> SocketAddr {
    (std::net::Ipv4Addr::from(ip).to_ipv6_mapped(), port).into()
}
fn served_by(backend: Ip, port: u16, dialled: SocketAddr) {
    let listener = TcpListener::bind(at(backend, port)).unwrap();
    let mut client = TcpStream::connect_timeout(&dialled, TIMEOUT.unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(b"pong").unwrap();
    client.set_read_timeout(TIMEOUT).unwrap();
    let mut answer = [0; 4];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"pong");
    assert_eq!(client.peer_addr().unwrap(), dialled, "getpeername shows what was dialled");
}

#[test]
fn tcp_to_a_vip_meets_the_backend_and_believes_in_the_vip() {
    let _d = attach(0);
    served_by(C2, 80, at(VIP_C2, 80));
    served_by(C2, 5432, at(VIP_C2, 5432));
    served_by(C2, 80, mapped(VIP_C2, 80));
}

#[test]
fn each_port_of_a_balancers_vip_meets_its_own_target() {
    let _d = attach(0);
    served_by(C2, 8000, at(VIP_LB, 80));
    served_by(C2, 8000, mapped(VIP_LB, 80));
    let (server, client) = (UdpSocket::bind(at(C1, 5300)).unwrap(), UdpSocket::bind("0.0.0.0:0").unwrap());
    for socket in [&server, &client] {
        socket.set_read_timeout(TIMEOUT).unwrap();
    }
    client.send_to(b"?", at(VIP_LB, 53)).unwrap();
    let mut byte = [0; 1];
    let (_, from) = server.recv_from(&mut byte).unwrap();
    server.send_to(b"!", from).unwrap();
    assert_eq!(client.recv_from(&mut byte).unwrap().1, at(VIP_LB, 53));
    let refused = TcpStream::connect_timeout(&at(VIP_LB, 81), TIMEOUT.unwrap());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused, "no rule for this port");
}

#[test]
fn a_published_port_is_dialled_at_any_hosts_address() {
    let _d = attach(0);
    served_by(C1, 80, at(H1, AT_C1));
    served_by(C1, 80, at(H2, AT_C1));
}

#[test]
fn localhost_is_a_host_address_for_the_hosts_processes_only() {
    let d = attach(SOCKET_HOST);
    served_by(C1, 80, at([127, 0, 0, 1], AT_C1));
    drop(d);
    let _d = attach(0);
    let refused = TcpStream::connect_timeout(&at([127, 0, 0, 1], AT_C1), TIMEOUT.unwrap());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn without_a_backend_or_a_service_the_program_hears_at_once() {
    let _d = attach(0);
    for dialled in [at(VIP_EMPTY, 80), at(NO_VIP, 80), at(H2, AT_NOBODY), mapped(VIP_EMPTY, 80)] {
        let refused = TcpStream::connect_timeout(&dialled, TIMEOUT.unwrap());
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused, "{dialled}");
        let udp = UdpSocket::bind(if dialled.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
        if dialled.port() == 80 {
            assert_eq!(udp.send_to(b"x", dialled).unwrap_err().kind(), ErrorKind::ConnectionRefused, "{dialled}");
        }
    }
}

#[test]
fn udp_sees_the_vip_connected_or_not_and_with_several_frontends() {
    let _d = attach(0);
    let server = UdpSocket::bind(at(C2, 53)).unwrap();
    server.set_read_timeout(TIMEOUT).unwrap();
    let echo = |client: &UdpSocket| {
        let mut b = [0; 16];
        let (n, from) = server.recv_from(&mut b).unwrap();
        server.send_to(&b[..n], from).unwrap();
        client.recv_from(&mut b).unwrap().1
    };
    let client = UdpSocket::bind("0.0.0.0:0").unwrap();
    client.set_read_timeout(TIMEOUT).unwrap();
    client.send_to(b"1", at(VIP_C2, 53)).unwrap();
    assert_eq!(echo(&client), at(VIP_C2, 53));
    let connected = UdpSocket::bind("0.0.0.0:0").unwrap();
    connected.set_read_timeout(TIMEOUT).unwrap();
    connected.connect(at(VIP_C2_TOO, 53)).unwrap();
    connected.send(b"2").unwrap();
    assert_eq!(echo(&connected), at(VIP_C2_TOO, 53));
    assert_eq!(connected.peer_addr().unwrap(), at(VIP_C2_TOO, 53));
    let mapped_client = UdpSocket::bind("[::]:0").unwrap();
    mapped_client.set_read_timeout(TIMEOUT).unwrap();
    mapped_client.send_to(b"3", mapped(VIP_C2, 53)).unwrap();
    assert_eq!(echo(&mapped_client), mapped(VIP_C2, 53));
    // A second frontend from the same socket, with another backend.
    let other = UdpSocket::bind(at(C1, 53)).unwrap();
    client.send_to(b"4", at(VIP_C1, 53)).unwrap();
    let mut b = [0; 16];
    let (_, from) = other.recv_from(&mut b).unwrap();
    other.send_to(b"5", from).unwrap();
    assert_eq!(client.recv_from(&mut b).unwrap().1, at(VIP_C1, 53));
}

#[test]
fn other_addresses_and_other_namespaces_are_left_alone() {
    let mut d = attach(0);
    served_by(C2, 80, at(C2, 80));
    let mut netns: HashMap<_, u64, Raw<SocketEndpoint>> = d.ebpf.map_mut("NETNS").unwrap().try_into().unwrap();
    netns.remove(&netns_cookie()).unwrap();
    let unreachable = TcpStream::connect_timeout(&at(VIP_C2, 80), Duration::from_millis(200));
    assert_ne!(unreachable.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
