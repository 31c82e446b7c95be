//! What this host and each of its peers have said to each other: whether a datagram is believed, and what it proves.
//!
//! A boot of a peer is believed once one of its datagrams echoed what this boot of ours sent it within the last
//! second: a recording cannot do that. Until then it gets an empty datagram, which it echoes when it really is there,
//! and nothing of what it says is handed on. From then on the boot before it is refused for good.
//!
//! The same echo is what proves a round trip: the peer lived after we had sent what it echoes. Pure: time and random
//! numbers are arguments.

use std::collections::{BTreeMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::seal::{self, BootKey, Echo, FleetKey, Header, Refusal};
use super::window::Window;

/// What we sent longer ago proves nothing when it is echoed, and what we heard longer ago is not echoed.
pub const RECENT: Duration = Duration::from_secs(1);
/// Datagrams to one peer of which the time is remembered: far more than are sent within [`RECENT`].
const SENT_MAX: usize = 64;
/// Boots before the present one that are refused by name. An older one is refused too: it echoes nothing recent.
const RETIRED_MAX: usize = 16;
/// One answer in this time to boots of a peer that are not believed, so that recordings make no flood.
const ANSWER_EVERY: Duration = Duration::from_millis(100);

/// This boot's part in all conversations of this host.
pub struct Talks {
    fleet: FleetKey,
    node_id: u16,
    boot: u64,
    key: BootKey,
    /// Of the last datagram sent to anyone.
    counter: u64,
    peers: BTreeMap<u16, Talk>,
}

/// The conversation with one peer.
struct Talk {
    underlay_ip: Ipv4Addr,
    believed: Option<Believed>,
    /// Newest last.
    retired: VecDeque<u64>,
    /// Counters sent to it and when, newest last.
    sent: VecDeque<(u64, Duration)>,
    last_answer: Option<Duration>,
}

/// The boot that proved to be there.
struct Believed {
    boot: u64,
    key: BootKey,
    window: Window,
    heard: Duration,
}

/// A datagram that was let in.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard {
    pub from: u16,
    /// Empty = it only proves.
    pub payload: Vec<u8>,
    /// The peer lived after this time: then we had sent what it echoes.
    pub lived_after: Option<Duration>,
    /// To be sent to the peer at once, so that it believes us too.
    pub answer: Option<Vec<u8>>,
}

/// Why a datagram was dropped, and what its sender is to be told nevertheless.
#[derive(Debug, PartialEq, Eq)]
pub struct Dropped {
    pub refusal: Refusal,
    /// An empty datagram to the node, with which a new boot can prove itself.
    pub answer: Option<(u16, Vec<u8>)>,
}

impl From<Refusal> for Dropped {
    fn from(refusal: Refusal) -> Dropped {
        Dropped { refusal, answer: None }
    }
}

impl Talks {
    /// `boot` is random and new at every start: with it the counter starts anew.
    pub fn new(fleet: FleetKey, node_id: u16, boot: u64) -> Talks {
        let key = fleet.of(node_id, boot);
        Talks { fleet, node_id, boot, key, counter: 0, peers: BTreeMap::new() }
    }

    /// These are the peers from now on; whoever stays keeps what was said.
    pub fn set_peers(&mut self, peers: &BTreeMap<u16, Ipv4Addr>) {
        self.peers.retain(|node_id, _| peers.contains_key(node_id));
        for (node_id, underlay_ip) in peers {
            let talk = self.peers.entry(*node_id).or_insert_with(|| Talk::new(*underlay_ip));
            talk.underlay_ip = *underlay_ip;
        }
    }

    /// Judges a datagram that came from this address. Nothing changes when it is dropped, but for what an answer uses.
    pub fn receive(&mut self, from: Ipv4Addr, datagram: &[u8], now: Duration) -> Result<Heard, Dropped> {
        let header = seal::header(datagram)?;
        let talk = self.peers.get_mut(&header.sender).ok_or(Refusal::UnknownNode)?;
        if talk.underlay_ip != from {
            return Err(Refusal::SourceAddress.into());
        }
        if talk.retired.contains(&header.boot) {
            return Err(Refusal::OldBoot.into());
        }
        if let Some(believed) = talk.believed.as_mut().filter(|believed| believed.boot == header.boot) {
            let content = believed.key.open(&header, self.node_id, datagram)?;
            if !believed.window.admit(header.counter) {
                return Err(Refusal::Replayed.into());
            }
            believed.heard = now;
            let lived_after = talk.lived_after(self.boot, content.echo, now);
            return Ok(Heard { from: header.sender, payload: content.payload, lived_after, answer: None });
        }
        self.receive_new_boot(header, datagram, now)
    }

    /// The datagram that proves a boot is handed on; those before it are not, and cannot be later.
    fn receive_new_boot(&mut self, header: Header, datagram: &[u8], now: Duration) -> Result<Heard, Dropped> {
        let key = self.fleet.of(header.sender, header.boot);
        let content = key.open(&header, self.node_id, datagram)?;
        let talk = self.peers.get_mut(&header.sender).ok_or(Refusal::UnknownNode)?;
        let Some(sent) = talk.lived_after(self.boot, content.echo, now) else {
            let answer = talk.may_answer(now).then(|| self.answer(&header, now)).flatten();
            return Err(Dropped { refusal: Refusal::Unproved, answer });
        };
        let window = Window::after(header.counter);
        talk.believe(Believed { boot: header.boot, key, window, heard: now });
        let answer = self.write(header.sender, &[], now);
        Ok(Heard { from: header.sender, payload: content.payload, lived_after: Some(sent), answer })
    }

    /// The next datagram to `to`, None if that is no peer. Send it at once: it counts as sent `now`.
    pub fn write(&mut self, to: u16, payload: &[u8], now: Duration) -> Option<Vec<u8>> {
        let echo = self.peers.get(&to)?.echo(now);
        self.seal(to, echo, payload, now)
    }

    /// Where datagrams to this peer go.
    pub fn underlay_ip(&self, peer: u16) -> Option<Ipv4Addr> {
        self.peers.get(&peer).map(|talk| talk.underlay_ip)
    }

    /// For a boot that is not believed: its own counter back, so that it believes us.
    fn answer(&mut self, to: &Header, now: Duration) -> Option<(u16, Vec<u8>)> {
        let echo = Echo { boot: to.boot, counter: to.counter };
        self.seal(to.sender, echo, &[], now).map(|datagram| (to.sender, datagram))
    }

    fn seal(&mut self, to: u16, echo: Echo, payload: &[u8], now: Duration) -> Option<Vec<u8>> {
        // At one per nanosecond the end would come after 500 years; then nothing is sent any more.
        self.counter = self.counter.checked_add(1)?;
        let header = Header { sender: self.node_id, boot: self.boot, counter: self.counter };
        let datagram = self.key.seal(&header, to, echo, payload)?;
        let sent = &mut self.peers.get_mut(&to)?.sent;
        if sent.len() == SENT_MAX {
            sent.pop_front();
        }
        sent.push_back((header.counter, now));
        Some(datagram)
    }
}

impl Talk {
    fn new(underlay_ip: Ipv4Addr) -> Talk {
        Talk { underlay_ip, believed: None, retired: VecDeque::new(), sent: VecDeque::new(), last_answer: None }
    }

    fn echo(&self, now: Duration) -> Echo {
        let heard = self.believed.as_ref().filter(|believed| now.saturating_sub(believed.heard) <= RECENT);
        heard.map_or_else(Echo::default, |heard| Echo { boot: heard.boot, counter: heard.window.highest() })
    }

    /// When we sent what is echoed, if that was this boot, to this peer, and lately.
    fn lived_after(&self, boot: u64, echo: Echo, now: Duration) -> Option<Duration> {
        let (_, sent) = self.sent.iter().rev().find(|(counter, _)| *counter == echo.counter)?;
        (echo.boot == boot && now.saturating_sub(*sent) <= RECENT).then_some(*sent)
    }

    fn may_answer(&mut self, now: Duration) -> bool {
        let may = self.last_answer.is_none_or(|last| now.saturating_sub(last) >= ANSWER_EVERY);
        if may {
            self.last_answer = Some(now);
        }
        may
    }

    fn believe(&mut self, believed: Believed) {
        if let Some(before) = self.believed.replace(believed) {
            if self.retired.len() == RETIRED_MAX {
                self.retired.pop_front();
            }
            self.retired.push_back(before.boot);
        }
    }
}

#[cfg(test)]
mod tests;
