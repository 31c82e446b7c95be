//! What is counted: map COUNTERS, one u64 per CPU and index. Numbers are never reused.
//!
//! Index of a [`Counter`] is its number, index of a [`DropReason`] is [`DROP_BASE`] + its number.

/// Size of map COUNTERS.
pub const COUNTERS: u32 = 256;
/// Where drop reasons begin.
pub const DROP_BASE: u32 = 64;

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$item:meta])* $variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$item])* $variant = $number,)* }
        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// The metric label: stable, lower case, underscores.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

numbered! {
    /// Things that happen and are no loss.
    Counter {
        /// ARP requests answered at an endpoint's veth.
        ArpAnswered = 1, "arp_answered";
        /// Packets handed to an endpoint of this host (from here or from the tunnel).
        Delivered = 2, "delivered";
        /// Packets sent up the host stack.
        SentToHost = 3, "sent_to_host";
        /// Packets pushed into the tunnel.
        Pushed = 4, "pushed";
        /// Packets popped from the tunnel.
        Popped = 5, "popped";
        /// VIP packets translated at the client's veth.
        VipTranslated = 6, "vip_translated";
        /// Their replies, translated back.
        VipReplies = 7, "vip_replies";
        /// Packets from outside for a published port with a backend here.
        PublishedLocal = 8, "published_local";
        /// ... with a backend elsewhere: pushed to its host.
        PublishedPushed = 9, "published_pushed";
        /// Replies that left here for an outside client.
        RepliesOut = 10, "replies_out";
        /// Replies pushed to their ingress host.
        RepliesPushed = 11, "replies_pushed";
        /// Conntrack entries created.
        FlowsCreated = 12, "flows_created";
        /// Flow entries that could not be written; the packet went on.
        FlowInsertFailed = 13, "flow_insert_failed";
        /// Client ports moved because the backend already knew them for another dialled address.
        PortMoved = 14, "port_moved";
        /// Packets of flows nobody remembers, kept by the current owner.
        UnknownFlowKept = 15, "unknown_flow_kept";
        /// Sockets connected (or datagrams sent) to a backend instead of the frontend they dialled.
        SocketTranslated = 16, "socket_translated";
        /// Sockets refused at once: the frontend has no backend.
        SocketRefused = 17, "socket_refused";
        /// Notes for getpeername or recvmsg that could not be written; the connection went on.
        SocketNoteFailed = 18, "socket_note_failed";
        /// Every port tried for a colliding client was taken; the oldest flow lost its entry.
        PortsExhausted = 19, "ports_exhausted";
        /// Packets of flows from outside that are not known here, handed to a previous owner of their slot.
        HandedOn = 20, "handed_on";
        /// ... known to no previous owner, handed back to the present one.
        HandedBack = 21, "handed_back";
        /// Packets of flows from outside that stayed with their backend here although their slot has another owner.
        SecondChance = 22, "second_chance";
    }
}

numbered! {
    /// Why a packet was dropped.
    DropReason {
        /// Shorter than its headers say.
        Truncated = 1, "truncated";
        /// IP version, header length or total length make no sense.
        BadHeader = 2, "bad_header";
        /// The interface has no entry in ENDPOINTS.
        UnknownInterface = 3, "unknown_interface";
        /// Neither IPv4 nor ARP, or VLAN-tagged.
        OtherEtherType = 4, "other_ether_type";
        /// IPv6: the first release carries IPv4.
        Ipv6NotServed = 5, "ipv6_not_served";
        /// The source MAC is not the endpoint's.
        SpoofedMac = 6, "spoofed_mac";
        /// The source address is not the endpoint's.
        SpoofedSource = 7, "spoofed_source";
        /// ARP, but no request for IPv4 over Ethernet.
        ArpMalformed = 8, "arp_malformed";
        /// An ARP request in somebody else's name.
        ArpSpoofed = 9, "arp_spoofed";
        /// An ARP request for the sender's own address.
        ArpForItself = 10, "arp_for_itself";
        /// Loopback, link-local, multicast, broadcast or 0.0.0.0/8 as destination.
        MartianDestination = 11, "martian_destination";
        /// An overlay address in no host's block.
        NoRoute = 12, "no_route";
        /// An overlay address of this host that no endpoint has.
        NoSuchEndpoint = 13, "no_such_endpoint";
        /// To the outside or another host, from a network marked internal.
        EgressForbidden = 14, "egress_forbidden";
        /// To a port of the host that is closed to containers.
        ClosedPort = 15, "closed_port";
        /// The host sent to its overlay interface what belongs elsewhere.
        HostLoop = 16, "host_loop";
        /// The host sent a packet with a foreign source to another host's endpoint.
        HostSourceRemote = 17, "host_source_remote";
        /// Larger than the uplink carries with the tunnel header on it.
        TooBig = 18, "too_big";
        /// The kernel has no way to the other host.
        NoNextHop = 19, "no_next_hop";
        /// The kernel refused to make room for the tunnel header.
        PushFailed = 20, "push_failed";
        /// The kernel refused to take the tunnel header off.
        PopFailed = 21, "pop_failed";
        /// A VIP no service has.
        NoSuchVip = 22, "no_such_vip";
        /// A frontend without backend.
        NoBackend = 23, "no_backend";
        /// To a VIP or a published port, but not TCP or UDP, or a fragment: its later parts carry no ports.
        NoPorts = 24, "no_ports";
        /// The kernel refused to rewrite an address or port.
        NatFailed = 25, "nat_failed";
        /// A ring slot, list position or backend id that leads nowhere.
        BrokenFrontend = 26, "broken_frontend";
        /// Kind reply: the client is an overlay, VIP, loopback, link-local or multicast address.
        ReplyToOverlay = 27, "reply_to_overlay";

        /// Tunnel: outer header lengths, options or VXLAN flags are not ours.
        TunnelBadHeader = 40, "tunnel_bad_header";
        /// Tunnel: the outer packet is a fragment.
        TunnelFragment = 41, "tunnel_fragment";
        /// Tunnel: a wire version this host does not speak.
        TunnelVersion = 42, "tunnel_version";
        /// Tunnel: a kind this host does not know.
        TunnelKind = 43, "tunnel_kind";
        /// Tunnel: another environment.
        TunnelVni = 44, "tunnel_vni";
        /// Tunnel: the sender is no host of the fleet.
        TunnelStranger = 45, "tunnel_stranger";
        /// Tunnel: the inner packet is not IPv4.
        TunnelInnerType = 46, "tunnel_inner_type";
        /// Tunnel: the inner packet's header or length makes no sense.
        TunnelInnerHeader = 47, "tunnel_inner_header";
        /// Kind overlay: the inner source is not in the sender's blocks.
        TunnelForeignSource = 48, "tunnel_foreign_source";
        /// The inner destination, or the endpoint id, is no endpoint of this host.
        TunnelNoEndpoint = 49, "tunnel_no_endpoint";
        /// Kind ingress: the inner destination is no published port.
        TunnelNoFrontend = 50, "tunnel_no_frontend";
        /// Kind ingress: the inner source is overlay, VIP, loopback, link-local or multicast.
        TunnelInsideSource = 51, "tunnel_inside_source";
        /// Kind ingress: the ingress node is unknown, or is not the sender.
        TunnelForeignIngress = 52, "tunnel_foreign_ingress";
        /// Kind reply: the inner source is none of this host's frontend addresses and ports.
        TunnelForeignReply = 53, "tunnel_foreign_reply";
        /// Kind reply: the sender owns no backend of that frontend.
        TunnelNotOwner = 54, "tunnel_not_owner";
        /// Kind ingress: handed on too often, or to nobody's advantage: a SYN, or with nobody to hand it back to.
        TunnelAstray = 55, "tunnel_astray";

        /// From outside to an overlay address or the name server.
        OutsideToOverlay = 60, "outside_to_overlay";
        /// From outside to a VIP.
        OutsideToVip = 61, "outside_to_vip";
        /// From outside, with a source that only exists inside.
        OutsideForgedSource = 62, "outside_forged_source";
        /// Locally made, to a peer's tunnel port, without our mark.
        UnmarkedTunnel = 63, "unmarked_tunnel";
    }
}

impl Counter {
    #[inline(always)]
    pub const fn index(self) -> u32 {
        self as u32
    }
}
impl DropReason {
    #[inline(always)]
    pub const fn index(self) -> u32 {
        DROP_BASE + self as u32
    }
}
