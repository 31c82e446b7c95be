//! Sealed pings between agents over UDP 8445: the doing part, one task, one socket.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use remuda_abi::addr::GOSSIP_PORT;
use tokio::net::UdpSocket;

use super::roster::{Place, Roster};
use super::seal::{DATAGRAM_MAX_BYTES, FleetKey, Refusal};
use super::swim::Swim;
use super::talks::Talks;
use super::{Counts, Peers, Rosters};
use crate::problems::Problems;

const ABOUT: &str = "gossip";
/// A port that is taken is tried again this often.
const RETRY: Duration = Duration::from_secs(1);
/// With so many peers and not one word from any for so long, it is the way that is closed.
const PEERS_EXPECTED: usize = 2;
const UNHEARD: Duration = Duration::from_secs(10);

/// Gossips for as long as the agent runs, with those who are on the roster, where the fleet has a key.
pub async fn run(mut rosters: Rosters, peers: Peers, problems: Problems) {
    loop {
        let roster = rosters.borrow_and_update().clone();
        let sealed = roster.and_then(|roster| Some((roster.own.key.clone()?, roster)));
        let goes_on = match sealed {
            None => rosters.changed().await.is_ok(),
            Some((key, roster)) => match bind(&roster.own).await {
                Ok(socket) => Gossip::new(socket, key, &roster, &peers, &problems).run(&mut rosters).await,
                Err(what) => {
                    problems.set(ABOUT, what);
                    tokio::time::timeout(RETRY, rosters.changed()).await.map_or(true, |changed| changed.is_ok())
                }
            },
        };
        if !goes_on {
            return;
        }
    }
}

async fn bind(own: &Place) -> Result<UdpSocket, String> {
    let address = SocketAddrV4::new(own.underlay_ip, GOSSIP_PORT);
    UdpSocket::bind(address).await.map_err(|error| {
        format!(
            "listen on {address}/udp: {error}; until then other hosts cannot tell this agent from a dead one \
             (`ss -lunp` says who has the port)"
        )
    })
}

struct Gossip<'a> {
    socket: UdpSocket,
    own: Place,
    talks: Talks,
    swim: Swim,
    peer_count: usize,
    /// Talks and swim count time from here.
    begin: Instant,
    peers: &'a Peers,
    problems: &'a Problems,
}

impl<'a> Gossip<'a> {
    fn new(socket: UdpSocket, key: FleetKey, roster: &Roster, peers: &'a Peers, problems: &'a Problems) -> Self {
        let own = roster.own.clone();
        let talks = Talks::new(key, own.node_id, rand::random());
        let swim = Swim::new(own.node_id, rand::random());
        let begin = Instant::now();
        let mut gossip = Gossip { socket, own, talks, swim, peer_count: 0, begin, peers, problems };
        gossip.set_peers(roster);
        gossip
    }

    /// True to begin anew, false when nobody is left to say who the peers are.
    async fn run(mut self, rosters: &mut Rosters) -> bool {
        self.problems.clear(ABOUT);
        // One byte more than a datagram may have shows that it was longer.
        let mut buffer = [0; DATAGRAM_MAX_BYTES + 1];
        loop {
            let due = self.swim.due().map(|due| tokio::time::Instant::from_std(self.begin + due));
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => match received {
                    Ok((len, from)) => self.receive(from, &buffer[..len]),
                    Err(error) => {
                        self.problems.set(ABOUT, format!("receive on {}/udp: {error}", self.own.underlay_ip));
                        tokio::time::sleep(RETRY).await;
                        return true;
                    }
                },
                () = until(due) => {
                    self.swim.work(self.begin.elapsed());
                    self.judge_silence();
                }
                changed = rosters.changed() => {
                    let roster = rosters.borrow_and_update().clone();
                    match roster.filter(|roster| roster.own == self.own) {
                        Some(roster) => self.set_peers(&roster),
                        None => return changed.is_ok(),
                    }
                }
            }
            self.send_messages();
        }
    }

    fn set_peers(&mut self, roster: &Roster) {
        self.swim.set_peers(&roster.peers.keys().copied().collect(), self.begin.elapsed());
        self.talks.set_peers(&roster.peers.iter().map(|(id, peer)| (*id, peer.underlay_ip)).collect());
        self.peer_count = roster.peers.len();
        // Whose silence was a problem may be gone, and with few left nobody expects a word.
        if self.peer_count < PEERS_EXPECTED {
            self.problems.clear(ABOUT);
        }
    }

    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        let (IpAddr::V4(ip), now) = (from.ip(), self.begin.elapsed()) else { return };
        match self.talks.receive(ip, datagram, now) {
            Ok(heard) => {
                Counts::add(&self.peers.counts().received);
                if let Some(lived_after) = heard.lived_after {
                    self.peers.heard(heard.from, self.begin + lived_after);
                    self.problems.clear(ABOUT);
                }
                if let Some(answer) = heard.answer {
                    self.send(heard.from, &answer);
                }
                if !heard.payload.is_empty() && self.swim.receive(heard.from, &heard.payload, now).is_err() {
                    self.peers.counts().dropped(Refusal::Payload);
                }
            }
            Err(dropped) => {
                self.peers.counts().dropped(dropped.refusal);
                if let Some((to, answer)) = dropped.answer {
                    self.send(to, &answer);
                }
            }
        }
    }

    fn send_messages(&mut self) {
        for (to, message) in self.swim.take_outgoing() {
            if let Some(datagram) = self.talks.write(to, &message, self.begin.elapsed()) {
                self.send(to, &datagram);
            }
        }
    }

    /// A datagram that cannot be sent is a lost one: pings are repeated.
    fn send(&self, to: u16, datagram: &[u8]) {
        let Some(ip) = self.talks.underlay_ip(to) else { return };
        if self.socket.try_send_to(datagram, SocketAddrV4::new(ip, GOSSIP_PORT).into()).is_ok() {
            Counts::add(&self.peers.counts().sent);
        }
    }

    fn judge_silence(&self) {
        let since = self.peers.last_word().map_or(self.begin, |last| last.max(self.begin));
        if self.peer_count >= PEERS_EXPECTED && since.elapsed() >= UNHEARD {
            let what = format!(
                "none of the other {} hosts answers on {GOSSIP_PORT}/udp: this host is cut off, or a firewall between \
                 the hosts drops it",
                self.peer_count
            );
            self.problems.set(ABOUT, what);
        }
    }
}

async fn until(due: Option<tokio::time::Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
