//! The DNS server of one host: listens, swaps views, answers `remuda dns`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, setsockopt, sockopt};
use remuda_api::resource::DnsAnswer;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use crate::forward::Forwarder;
use crate::message::write_query;
use crate::reply::{Reply, Transport, reply};
use crate::stats::{Counters, Stats};
use crate::upstreams::Upstreams;
use crate::view::View;
use crate::{tcp, udp};

/// Answers from start to drop; sockets and tasks end with it.
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    _tasks: JoinSet<()>,
}

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} ({protocol}) for DNS: {cause}. If another name server listens there or on every \
     address (`ss -lnp 'sport = {}'` names it), bind it to its own addresses", address.port()
)]
pub struct StartError {
    pub address: SocketAddr,
    pub protocol: &'static str,
    #[source]
    pub cause: io::Error,
}

/// Why a name cannot be looked up at all.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("`{0}` cannot be a name: labels have 1 to 63 characters, the whole at most 253")]
    Name(String),
    #[error("`{0}` is no record type; say A, AAAA, PTR, TXT, … or TYPE65")]
    Kind(String),
    #[error("{0} is no address of a container of this host, nor the host's own: it would get no answer")]
    UnknownAsker(IpAddr),
    #[error("an upstream's answer to `{name}` cannot be read: {cause}")]
    Upstream { name: String, cause: String },
}

impl Server {
    /// Listens on every address of `listen`, UDP and TCP, in the caller's network namespace. Must be called inside a
    /// tokio runtime. The addresses need not exist yet (IP_FREEBIND): queries come once they do.
    pub fn start(listen: Vec<SocketAddr>, view: View, upstreams: Upstreams) -> Result<Server, StartError> {
        let sockets: Vec<Sockets> = listen.into_iter().map(Sockets::open).collect::<Result<_, _>>()?;
        let addresses: Vec<SocketAddr> = sockets.iter().map(|sockets| sockets.address).collect();
        let shared = Arc::new(Shared {
            view: RwLock::new(Arc::new(view)),
            forwarder: Forwarder::new(upstreams, addresses.clone()),
            counters: Counters::default(),
        });
        let mut tasks = JoinSet::new();
        for sockets in sockets {
            for socket in sockets.udp {
                tasks.spawn(udp::serve(socket, shared.clone()));
            }
            tasks.spawn(tcp::serve(sockets.tcp, shared.clone()));
        }
        Ok(Server { shared, addresses, _tasks: tasks })
    }

    /// From here on, queries are answered from `view`.
    pub fn publish(&self, view: View) {
        *self.shared.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view);
    }

    /// What `asker` would get for `name` and record type `kind` over TCP: the same code, forwarding included.
    pub async fn resolve(&self, asker: IpAddr, name: &str, kind: &str) -> Result<DnsAnswer, ResolveError> {
        let number = kind_number(kind).ok_or_else(|| ResolveError::Kind(kind.to_owned()))?;
        let packet = write_query(name, number).ok_or_else(|| ResolveError::Name(name.to_owned()))?;
        let view = self.shared.view();
        let bytes = match reply(&view, asker, &packet, Transport::Tcp, rand::random()) {
            Reply::Send { bytes, .. } => bytes,
            Reply::Forward { query, alias } => {
                self.shared.forward(asker, &query, alias.as_deref(), Transport::Tcp).await
            }
            Reply::Drop(_) => return Err(ResolveError::UnknownAsker(asker)),
        };
        present(&bytes, name, kind, &view)
    }

    /// Counters since the start.
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot()
    }

    /// Where it listens, port 0 resolved.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// What all loops see.
pub(crate) struct Shared {
    view: RwLock<Arc<View>>,
    pub(crate) forwarder: Forwarder,
    pub(crate) counters: Counters,
}

impl Shared {
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn reply<'p>(&self, asker: IpAddr, packet: &'p [u8], transport: Transport) -> Reply<'p> {
        reply(&self.view(), asker, packet, transport, rand::random())
    }
}

/// All sockets of one address.
struct Sockets {
    address: SocketAddr,
    udp: Vec<UdpSocket>,
    tcp: TcpListener,
}

/// UDP sockets per address, between which the kernel spreads clients: one per core up to what a host's DNS can need.
const UDP_SOCKETS_MAX: usize = 4;
/// Connections the kernel may hold for us while we are busy.
const TCP_BACKLOG: i32 = 128;

impl Sockets {
    fn open(wanted: SocketAddr) -> Result<Sockets, StartError> {
        let first = udp_socket(wanted).map_err(failed(wanted, "udp"))?;
        let address = first.local_addr().map_err(failed(wanted, "udp"))?;
        let further = 1..std::thread::available_parallelism().map_or(1, usize::from).min(UDP_SOCKETS_MAX);
        let further: io::Result<Vec<UdpSocket>> = further.map(|_| udp_socket(address)).collect();
        let mut udp = further.map_err(failed(address, "udp"))?;
        udp.push(first);
        let tcp = tcp_listener(address).map_err(failed(address, "tcp"))?;
        Ok(Sockets { address, udp, tcp })
    }
}

fn failed(address: SocketAddr, protocol: &'static str) -> impl Fn(io::Error) -> StartError {
    move |cause| StartError { address, protocol, cause }
}

fn udp_socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = bound(address, SockType::Datagram)?;
    UdpSocket::from_std(socket.into())
}

fn tcp_listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = bound(address, SockType::Stream)?;
    socket::listen(&socket, Backlog::new(TCP_BACKLOG)?)?;
    TcpListener::from_std(socket.into())
}

fn bound(address: SocketAddr, kind: SockType) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket::socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    setsockopt(&socket, sockopt::IpFreebind, &true)?;
    match kind {
        SockType::Datagram => setsockopt(&socket, sockopt::ReusePort, &true)?,
        _ => setsockopt(&socket, sockopt::ReuseAddr, &true)?,
    }
    socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}

/// `A`, `aaaa`, `TYPE65`.
fn kind_number(kind: &str) -> Option<u16> {
    let kind = kind.to_ascii_uppercase();
    let by_number = kind.strip_prefix("TYPE").and_then(|number| number.parse().ok());
    by_number.or_else(|| RecordType::from_str(&kind).ok().map(u16::from))
}

fn present(bytes: &[u8], name: &str, kind: &str, view: &View) -> Result<DnsAnswer, ResolveError> {
    let unreadable = |cause: hickory_proto::serialize::binary::DecodeError| ResolveError::Upstream {
        name: name.to_owned(),
        cause: cause.to_string(),
    };
    let message = Message::from_vec(bytes).map_err(unreadable)?;
    let lines = |records: &[hickory_proto::rr::Record]| records.iter().map(ToString::to_string).collect();
    Ok(DnsAnswer {
        name: name.to_owned(),
        kind: kind.to_ascii_uppercase(),
        rcode: rcode_name(u16::from(message.metadata.response_code)),
        answers: lines(&message.answers),
        authority: lines(&message.authorities),
        host: view.host.clone(),
        generation: view.generation(),
    })
}

fn rcode_name(rcode: u16) -> String {
    const NAMES: [&str; 6] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];
    NAMES.get(usize::from(rcode)).map_or_else(|| format!("RCODE{rcode}"), ToString::to_string)
}
