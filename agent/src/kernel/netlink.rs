//! Devices, addresses, routes and neighbours: one request, one answer, in the namespace the socket was opened in.
//!
//! Blocking on purpose: an answer takes microseconds, and the same code serves the threads that enter containers.

use std::io;
use std::net::Ipv4Addr;

use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::address::AddressAttribute;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage, LinkXdp};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rtnetlink::{AddressMessageBuilder, LinkUnspec, RouteMessageBuilder};

/// Marks routes as ours (`ip route show proto 114`); 114 is `r`, used by nobody in iproute2's table.
pub(crate) const ROUTE_PROTOCOL: u8 = 114;

/// One netlink socket, bound to the namespace it was opened in.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// What we ask of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) alias: String,
    pub(crate) mtu: u32,
    pub(crate) mac: Vec<u8>,
    /// Index of the other end of a pair, in its own namespace.
    pub(crate) peer_index: u32,
    pub(crate) is_up: bool,
}

/// Where the kernel would send a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NextHop {
    pub(crate) interface: u32,
    /// The gateway, or the destination itself when it is on the link.
    pub(crate) address: Ipv4Addr,
}

impl Netlink {
    /// Opens the socket in the calling thread's namespace.
    pub(crate) fn open() -> io::Result<Netlink> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// Every device of the namespace.
    pub(crate) fn devices(&mut self) -> io::Result<Vec<Device>> {
        let answer = self.request(RouteNetlinkMessage::GetLink(LinkMessage::default()), NLM_F_DUMP)?;
        Ok(answer.into_iter().filter_map(as_device).collect())
    }

    /// The device of that name, if there is one.
    pub(crate) fn device(&mut self, name: &str) -> io::Result<Option<Device>> {
        let message = LinkUnspec::new_with_name(name).build();
        match self.request(RouteNetlinkMessage::GetLink(message), 0) {
            Ok(answer) => Ok(answer.into_iter().find_map(as_device)),
            Err(e) if e.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The id of the XDP program on a device.
    pub(crate) fn xdp(&mut self, name: &str) -> io::Result<Option<u32>> {
        let message = LinkUnspec::new_with_name(name).build();
        let answer = self.request(RouteNetlinkMessage::GetLink(message), 0)?;
        let attributes = answer.into_iter().filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => Some(link.attributes),
            _ => None,
        });
        let programs = attributes.flatten().filter_map(|attribute| match attribute {
            LinkAttribute::Xdp(parts) => Some(parts),
            _ => None,
        });
        Ok(programs.flatten().find_map(|part| match part {
            LinkXdp::ProgId(id) if id != 0 => Some(id),
            _ => None,
        }))
    }

    pub(crate) fn create(&mut self, message: LinkMessage) -> io::Result<()> {
        self.order(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Changes what `message` names (MTU, alias, MAC, up) of an existing device.
    pub(crate) fn set(&mut self, message: LinkMessage) -> io::Result<()> {
        self.order(RouteNetlinkMessage::SetLink(message), 0)
    }

    /// Deletes a device; gone already is fine.
    pub(crate) fn delete(&mut self, name: &str) -> io::Result<()> {
        let message = LinkUnspec::new_with_name(name).build();
        ignoring(&[libc::ENODEV], self.order(RouteNetlinkMessage::DelLink(message), 0))
    }

    /// v4 addresses of a device, with their prefix lengths.
    pub(crate) fn addresses(&mut self, interface: u32) -> io::Result<Vec<(Ipv4Addr, u8)>> {
        let mut query = rtnetlink::packet_route::address::AddressMessage::default();
        query.header.family = AddressFamily::Inet;
        let answer = self.request(RouteNetlinkMessage::GetAddress(query), NLM_F_DUMP)?;
        let mut found = Vec::new();
        for message in answer {
            let RouteNetlinkMessage::NewAddress(address) = message else { continue };
            if address.header.index != interface {
                continue;
            }
            for attribute in &address.attributes {
                if let AddressAttribute::Local(std::net::IpAddr::V4(ip)) = attribute {
                    found.push((*ip, address.header.prefix_len));
                }
            }
        }
        Ok(found)
    }

    pub(crate) fn add_address(&mut self, interface: u32, ip: Ipv4Addr) -> io::Result<()> {
        let message = AddressMessageBuilder::<Ipv4Addr>::new().index(interface).address(ip, 32).build();
        self.order(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    pub(crate) fn delete_address(&mut self, interface: u32, ip: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let message = AddressMessageBuilder::<Ipv4Addr>::new().index(interface).address(ip, prefix).build();
        ignoring(&[libc::EADDRNOTAVAIL], self.order(RouteNetlinkMessage::DelAddress(message), 0))
    }

    /// A route to `destination`/`prefix` through `gateway` on a device, without asking whether the gateway is there.
    pub(crate) fn add_route(
        &mut self,
        destination: (Ipv4Addr, u8),
        gateway: Ipv4Addr,
        interface: u32,
        source: Option<Ipv4Addr>,
    ) -> io::Result<()> {
        let mut route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(destination.0, destination.1)
            .gateway(gateway)
            .output_interface(interface)
            .protocol(RouteProtocol::from(ROUTE_PROTOCOL))
            .onlink();
        if let Some(source) = source {
            route = route.pref_source(source);
        }
        self.order(RouteNetlinkMessage::NewRoute(route.build()), NLM_F_CREATE | NLM_F_REPLACE)
    }

    pub(crate) fn delete_route(&mut self, route: RouteMessage) -> io::Result<()> {
        ignoring(&[libc::ESRCH], self.order(RouteNetlinkMessage::DelRoute(route), 0))
    }

    /// Routes of the main table that we made, with their destinations.
    pub(crate) fn our_routes(&mut self) -> io::Result<Vec<((Ipv4Addr, u8), RouteMessage)>> {
        let query = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let answer = self.request(RouteNetlinkMessage::GetRoute(query), NLM_F_DUMP)?;
        let mut found = Vec::new();
        for message in answer {
            let RouteNetlinkMessage::NewRoute(route) = message else { continue };
            if route.header.protocol != RouteProtocol::from(ROUTE_PROTOCOL) {
                continue;
            }
            found.push((destination_of(&route), route));
        }
        Ok(found)
    }

    /// Where the kernel would send a packet to `destination` now.
    pub(crate) fn next_hop(&mut self, destination: Ipv4Addr) -> io::Result<NextHop> {
        let query = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(destination, 32).build();
        let answer = self.request(RouteNetlinkMessage::GetRoute(query), 0)?;
        let mut hop = NextHop { interface: 0, address: destination };
        for message in answer {
            let RouteNetlinkMessage::NewRoute(route) = message else { continue };
            for attribute in route.attributes {
                match attribute {
                    RouteAttribute::Oif(index) => hop.interface = index,
                    RouteAttribute::Gateway(RouteAddress::Inet(ip)) => hop.address = ip,
                    _ => {}
                }
            }
        }
        if hop.interface == 0 { Err(io::Error::other("the kernel named no interface")) } else { Ok(hop) }
    }

    /// A neighbour that never expires and is never asked for.
    pub(crate) fn add_permanent_neighbour(&mut self, interface: u32, ip: Ipv4Addr, mac: [u8; 6]) -> io::Result<()> {
        let mut message = neighbour(interface, ip, NeighbourState::Permanent);
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
        self.order(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// A neighbour the kernel resolves and keeps fresh by itself (NTF_EXT_MANAGED, Linux 5.16).
    pub(crate) fn add_managed_neighbour(&mut self, hop: NextHop) -> io::Result<()> {
        let mut message = neighbour(hop.interface, hop.address, NeighbourState::None);
        message.attributes.push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
        self.order(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE)
    }

    pub(crate) fn delete_neighbour(&mut self, hop: NextHop) -> io::Result<()> {
        let message = neighbour(hop.interface, hop.address, NeighbourState::None);
        ignoring(&[libc::ENOENT], self.order(RouteNetlinkMessage::DelNeighbour(message), 0))
    }

    fn order(&mut self, payload: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.request(payload, NLM_F_ACK | flags).map(drop)
    }

    /// Sends one message and collects its answers, up to the acknowledgement or the end of the dump.
    fn request(&mut self, payload: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(payload);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        self.collect(flags & (NLM_F_ACK | NLM_F_DUMP) != 0)
    }

    /// `until_end`: the answer ends with an acknowledgement or a "done"; otherwise it is one message.
    fn collect(&mut self, until_end: bool) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut answers = Vec::new();
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(io::Error::other)?;
                let advance = (message.header.length as usize).next_multiple_of(4).min(rest.len());
                rest = &rest[advance.max(1)..];
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                match message.payload {
                    NetlinkPayload::Error(e) if e.code.is_some() => return Err(e.to_io()),
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::InnerMessage(inner) => answers.push(inner),
                    _ => {}
                }
            }
            if !until_end && !answers.is_empty() {
                return Ok(answers);
            }
        }
    }
}

fn as_device(message: RouteNetlinkMessage) -> Option<Device> {
    let RouteNetlinkMessage::NewLink(link) = message else { return None };
    let is_up = link.header.flags.contains(LinkFlags::Up);
    let mut device = Device { index: link.header.index, is_up, ..Device::default() };
    for attribute in link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.name = name,
            LinkAttribute::IfAlias(alias) => device.alias = alias,
            LinkAttribute::Mtu(mtu) => device.mtu = mtu,
            LinkAttribute::Address(mac) => device.mac = mac,
            LinkAttribute::Link(index) => device.peer_index = index,
            _ => {}
        }
    }
    Some(device)
}

fn destination_of(route: &RouteMessage) -> (Ipv4Addr, u8) {
    let ip = route.attributes.iter().find_map(|a| match a {
        RouteAttribute::Destination(RouteAddress::Inet(ip)) => Some(*ip),
        _ => None,
    });
    (ip.unwrap_or(Ipv4Addr::UNSPECIFIED), route.header.destination_prefix_length)
}

fn neighbour(interface: u32, ip: Ipv4Addr, state: NeighbourState) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = interface;
    message.header.state = state;
    message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)));
    message
}

/// Errors that mean "already as wanted".
fn ignoring(codes: &[i32], result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e.raw_os_error().is_some_and(|code| codes.contains(&code)) => Ok(()),
        other => other,
    }
}
