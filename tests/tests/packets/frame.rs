//! Packets in words, packets in bytes.

use remuda_abi::{addr::*, tunnel::*};

pub type Ip = [u8; 4];

/// An IPv4 packet in an Ethernet frame, with right lengths and checksums unless told otherwise.
#[derive(Clone)]
pub struct Frame {
    pub src_mac: [u8; 6],
    pub dst_mac: [u8; 6],
    pub ether_type: u16,
    pub src: Ip,
    pub dst: Ip,
    pub proto: u8,
    pub ports: (u16, u16),
    pub fragment: u16,
    pub options: usize,
    pub payload: Vec<u8>,
    pub syn_flags: u8,
}

pub fn udp(src: Ip, src_port: u16, dst: Ip, dst_port: u16) -> Frame {
    let mac = |ip: Ip| endpoint_mac(ip_be(ip)).bytes();
    Frame {
        src_mac: mac(src),
        dst_mac: GATEWAY_MAC.bytes(),
        ether_type: 0x0800,
        src,
        dst,
        proto: PROTO_UDP,
        ports: (src_port, dst_port),
        fragment: 0,
        options: 0,
        payload: b"ping".to_vec(),
        syn_flags: 0x10,
    }
}
pub fn tcp(src: Ip, src_port: u16, dst: Ip, dst_port: u16) -> Frame {
    Frame { proto: PROTO_TCP, ..udp(src, src_port, dst, dst_port) }
}
pub fn icmp(src: Ip, dst: Ip) -> Frame {
    Frame { proto: PROTO_ICMP, payload: vec![8, 0, 0xf7, 0xff, 0, 0, 0, 0], ..udp(src, 0, dst, 0) }
}

impl Frame {
    pub fn source_mac(mut self, mac: Mac) -> Self {
        self.src_mac = mac.bytes();
        self
    }
    pub fn destination_mac(mut self, mac: Mac) -> Self {
        self.dst_mac = mac.bytes();
        self
    }
    pub fn payload(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.payload = bytes.into();
        self
    }
    /// Offset in 8-byte units, or 0x2000 for "more follow".
    pub fn fragment(mut self, field: u16) -> Self {
        self.fragment = field;
        self
    }
    pub fn options(mut self, words: usize) -> Self {
        self.options = words;
        self
    }
    pub fn flags(mut self, tcp_flags: u8) -> Self {
        self.syn_flags = tcp_flags;
        self
    }

    /// The transport header and payload.
    fn transport(&self) -> Vec<u8> {
        let (s, d) = (self.ports.0.to_be_bytes(), self.ports.1.to_be_bytes());
        let mut t = match self.proto {
            PROTO_UDP => {
                let len = (8 + self.payload.len()) as u16;
                [s, d, len.to_be_bytes(), [0, 0]].concat()
            }
            PROTO_TCP => {
                let fixed = [0, 0, 0, 1, 0, 0, 0, 1, 0x50, self.syn_flags, 0x20, 0, 0, 0, 0, 0];
                [&s[..], &d[..], &fixed[..]].concat()
            }
            _ => return self.payload.clone(),
        };
        t.extend(&self.payload);
        let at = if self.proto == PROTO_UDP { 6 } else { 16 };
        let pseudo = [&self.src[..], &self.dst[..], &[0, self.proto], &(t.len() as u16).to_be_bytes()].concat();
        let check = checksum(&[&pseudo[..], &t[..]].concat());
        let check = if check == 0 && self.proto == PROTO_UDP { 0xffff } else { check };
        t[at..at + 2].copy_from_slice(&check.to_be_bytes());
        t
    }

    /// IP header and what follows.
    pub fn ip(&self) -> Vec<u8> {
        let body = self.transport();
        let header = 20 + 4 * self.options;
        let len = (header + body.len()) as u16;
        let mut h = vec![0x40 | (header / 4) as u8, 0];
        h.extend(len.to_be_bytes());
        h.extend([0, 0]);
        h.extend(self.fragment.to_be_bytes());
        h.extend([64, self.proto, 0, 0]);
        h.extend(self.src);
        h.extend(self.dst);
        h.resize(header, 1);
        let check = checksum(&h);
        h[10..12].copy_from_slice(&check.to_be_bytes());
        h.extend(body);
        h
    }

    pub fn bytes(&self) -> Vec<u8> {
        [&self.dst_mac[..], &self.src_mac[..], &self.ether_type.to_be_bytes(), &self.ip()].concat()
    }
}

impl From<Frame> for Vec<u8> {
    fn from(f: Frame) -> Self {
        f.bytes()
    }
}

/// RFC 1071.
pub fn checksum(bytes: &[u8]) -> u16 {
    let word = |c: &[u8]| u32::from(c[0]) << 8 | c.get(1).copied().map_or(0, u32::from);
    let mut s: u32 = bytes.chunks(2).map(word).sum();
    while s > 0xffff {
        s = (s & 0xffff) + (s >> 16);
    }
    !(s as u16)
}

/// A tunnel packet in words: who sends it to whom, and what the inner Ethernet header says.
#[derive(Clone)]
pub struct Tunnel {
    pub src: Ip,
    pub dst: Ip,
    pub vni: u32,
    pub ingress: u16,
    pub label: Label,
    pub previous: [u16; 3],
    pub source_port: u16,
    pub outer_dst_mac: [u8; 6],
    pub outer_src_mac: [u8; 6],
    pub inner: Vec<u8>,
}

/// `inner` is an IP packet without Ethernet header.
pub fn tunnel(src: Ip, dst: Ip, kind: Kind, inner: Vec<u8>) -> Tunnel {
    Tunnel {
        src,
        dst,
        vni: crate::world::VNI,
        ingress: 0,
        label: Label::new(kind, 0),
        previous: [0; 3],
        source_port: 50_000,
        outer_dst_mac: [2, 0, 0, 0, 0, 1],
        outer_src_mac: [2, 0, 0, 0, 0, 2],
        inner,
    }
}

impl Tunnel {
    pub fn bytes(&self) -> Vec<u8> {
        let outer = self.outer_ip();
        [&self.outer_dst_mac[..], &self.outer_src_mac[..], &[8, 0], &outer].concat()
    }
    fn outer_ip(&self) -> Vec<u8> {
        let len = (50 + self.inner.len()) as u16;
        let mut b = vec![0x45, 0];
        b.extend(len.to_be_bytes());
        b.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
        b.extend(self.src);
        b.extend(self.dst);
        let check = checksum(&b);
        b[10..12].copy_from_slice(&check.to_be_bytes());
        b.extend(self.source_port.to_be_bytes());
        b.extend(TUNNEL_PORT.to_be_bytes());
        b.extend((len - 20).to_be_bytes());
        b.extend([0, 0]);
        b.extend((VXLAN_FLAGS | u32::from(self.ingress)).to_be_bytes());
        b.extend((self.vni << 8).to_be_bytes());
        b.extend(self.label.mac().bytes());
        b.extend(previous_mac(self.previous).bytes());
        b.extend([8, 0]);
        b.extend(&self.inner);
        b
    }
}
