//! Whom to ping when: SWIM as `foca` implements it, driven by time and messages, returning what to send. Pure.
//!
//! Every 500 ms one peer in turn is pinged; when its answer takes long, three others are asked to ping it. Who is in
//! the fleet only the assignment says, so nothing about third hosts is told or believed, and foca's own verdicts are
//! not even formed: whoever does not answer is pinged again when its turn comes.

use std::collections::BTreeSet;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use bytes::{Buf, BufMut};
use foca::{Config, Foca, Header, Identity, Member, Message, NoCustomBroadcast, Notification, Runtime, Timer};
use rand_for_foca::{SeedableRng, rngs::StdRng};

use super::seal::Refusal;

/// One peer in turn is pinged this often: each host is pinged twice a second on average, in a fleet of any size.
const PROBE_PERIOD: Duration = Duration::from_millis(500);
/// After this time without an answer others are asked to ping too; 30 times what a round trip takes in one place, and
/// what is left of the period is enough for the way around.
const PROBE_RTT: Duration = Duration::from_millis(150);
const HELPERS: NonZeroUsize = NonZeroUsize::new(3).unwrap();
/// A message is its kind, its probe's number, sender, receiver and a third node, each id of 2 bytes, big-endian.
pub const MESSAGE_BYTES: usize = 8;

/// The engine of one host.
pub struct Swim {
    foca: Foca<NodeId, Words, StdRng, NoCustomBroadcast>,
    peers: BTreeSet<u16>,
    out: Out,
}

/// A message for a peer.
pub type Outgoing = (u16, Vec<u8>);

/// What foca wants done.
#[derive(Default)]
struct Out {
    now: Duration,
    send: Vec<Outgoing>,
    timers: Vec<(Duration, Timer<NodeId>)>,
}

impl Swim {
    /// `seed` decides the order of pings.
    pub fn new(node_id: u16, seed: u64) -> Swim {
        let config = Config {
            probe_period: PROBE_PERIOD,
            probe_rtt: PROBE_RTT,
            num_indirect_probes: HELPERS,
            // No room for news about others; see the head of this file.
            max_packet_size: NonZeroUsize::new(MESSAGE_BYTES).unwrap_or(NonZeroUsize::MIN),
            max_transmissions: NonZeroU8::MIN,
            // Never comes: its timer is not kept.
            suspect_to_down_after: Duration::MAX,
            remove_down_after: None,
            ..Config::simple()
        };
        let foca = Foca::new(NodeId(node_id), config, StdRng::seed_from_u64(seed), Words);
        Swim { foca, peers: BTreeSet::new(), out: Out::default() }
    }

    /// These are the peers from now on.
    pub fn set_peers(&mut self, peers: &BTreeSet<u16>, now: Duration) {
        self.out.now = now;
        let come: Vec<_> = peers.difference(&self.peers).map(|id| Member::alive(NodeId(*id))).collect();
        let gone: Vec<_> = self.peers.difference(peers).map(|id| Member::down(NodeId(*id))).collect();
        let forgotten: Vec<_> = gone.iter().map(|member| Timer::RemoveDown(*member.id())).collect();
        let changed = self.foca.apply_many(come.into_iter().chain(gone), false, &mut self.out);
        report(changed);
        for forget in forgotten {
            report(self.foca.handle_timer(forget, &mut self.out));
        }
        self.peers = peers.clone();
    }

    /// A message from `from`, which the seal has proved.
    pub fn receive(&mut self, from: u16, message: &[u8], now: Duration) -> Result<(), Refusal> {
        self.out.now = now;
        let header = read(message).ok_or(Refusal::Payload)?;
        let third = third(&header.message);
        let is_known = third.is_none_or(|third| third == self.foca.identity() || self.peers.contains(&third.0));
        if header.src != NodeId(from) || header.dst != *self.foca.identity() || !is_known {
            return Err(Refusal::Payload);
        }
        self.foca.handle_data(message, &mut self.out).map_err(|_| Refusal::Payload)
    }

    /// When [`Swim::work`] has something to do.
    pub fn due(&self) -> Option<Duration> {
        self.out.timers.iter().map(|(due, _)| *due).min()
    }

    /// Does what is due.
    pub fn work(&mut self, now: Duration) {
        self.out.now = now;
        // Foca wants events in order of time, and by their own order when they come late together.
        while let Some(next) = (0..self.out.timers.len()).min_by(|a, b| self.out.timers[*a].cmp(&self.out.timers[*b])) {
            if self.out.timers[next].0 > now {
                return;
            }
            let (_, timer) = self.out.timers.swap_remove(next);
            report(self.foca.handle_timer(timer, &mut self.out));
        }
    }

    /// What is to be sent now, to whom.
    pub fn take_outgoing(&mut self) -> Vec<Outgoing> {
        std::mem::take(&mut self.out.send)
    }
}

/// Late timers and stray answers are told as errors; the next period puts them right.
fn report(result: Result<(), foca::Error>) {
    if let Err(error) = result {
        tracing::debug!("gossip: {error}");
    }
}

impl Runtime<NodeId> for Out {
    fn notify(&mut self, _: Notification<'_, NodeId>) {}

    fn send_to(&mut self, to: NodeId, message: &[u8]) {
        self.send.push((to.0, message.to_vec()));
    }

    fn submit_after(&mut self, timer: Timer<NodeId>, after: Duration) {
        // Verdicts are the orchestrator's.
        if !matches!(timer, Timer::ChangeSuspectToDown { .. } | Timer::RemoveDown(_)) {
            self.timers.push((self.now.saturating_add(after), timer));
        }
    }
}

/// A host as foca knows it. Boots and addresses are the seal's business, so it needs no renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NodeId(u16);

impl Identity for NodeId {
    type Addr = u16;

    fn renew(&self) -> Option<NodeId> {
        None
    }
    fn addr(&self) -> u16 {
        self.0
    }
    fn win_addr_conflict(&self, _: &NodeId) -> bool {
        false
    }
}

/// The messages that pings need; nothing else is written or read.
struct Words;

fn third(message: &Message<NodeId>) -> Option<&NodeId> {
    match message {
        Message::PingReq { target: third, .. }
        | Message::IndirectPing { origin: third, .. }
        | Message::IndirectAck { target: third, .. }
        | Message::ForwardedAck { origin: third, .. } => Some(third),
        _ => None,
    }
}

fn read(message: &[u8]) -> Option<Header<NodeId>> {
    let [kind, probe_number, s0, s1, d0, d1, t0, t1] = *message else { return None };
    let [src, dst, third] = [[s0, s1], [d0, d1], [t0, t1]].map(|id| NodeId(u16::from_be_bytes(id)));
    let message = match kind {
        1 => Message::Ping(probe_number),
        2 => Message::Ack(probe_number),
        3 => Message::PingReq { target: third, probe_number },
        4 => Message::IndirectPing { origin: third, probe_number },
        5 => Message::IndirectAck { target: third, probe_number },
        6 => Message::ForwardedAck { origin: third, probe_number },
        _ => return None,
    };
    Some(Header { src, src_incarnation: 0, dst, message })
}

/// Foca wanted or got something that is no part of a ping.
#[derive(Debug, thiserror::Error)]
#[error("this message is not used here")]
struct Unused;

impl foca::Codec<NodeId> for Words {
    type Error = Unused;

    fn encode_header(&mut self, header: &Header<NodeId>, mut buf: impl BufMut) -> Result<(), Unused> {
        let (kind, probe_number) = match header.message {
            Message::Ping(number) => (1, number),
            Message::Ack(number) => (2, number),
            Message::PingReq { probe_number, .. } => (3, probe_number),
            Message::IndirectPing { probe_number, .. } => (4, probe_number),
            Message::IndirectAck { probe_number, .. } => (5, probe_number),
            Message::ForwardedAck { probe_number, .. } => (6, probe_number),
            _ => return Err(Unused),
        };
        buf.put_slice(&[kind, probe_number]);
        let third = third(&header.message).map_or(0, |third| third.0);
        [header.src.0, header.dst.0, third].into_iter().for_each(|id| buf.put_u16(id));
        Ok(())
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<NodeId>, Unused> {
        let mut message = [0; MESSAGE_BYTES];
        buf.try_copy_to_slice(&mut message).map_err(|_| Unused)?;
        read(&message).ok_or(Unused)
    }

    fn encode_member(&mut self, _: &Member<NodeId>, _: impl BufMut) -> Result<(), Unused> {
        Ok(())
    }

    fn decode_member(&mut self, _: impl Buf) -> Result<Member<NodeId>, Unused> {
        Err(Unused)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A fleet in one place: whatever is sent arrives at once, unless `is_lost` says otherwise.
    fn run(hosts: u16, until: Duration, is_lost: impl Fn(u16, u16) -> bool) -> BTreeMap<(u16, u16), u32> {
        let all: BTreeSet<u16> = (1..=hosts).collect();
        let mut fleet: BTreeMap<u16, Swim> = all.iter().map(|id| (*id, Swim::new(*id, u64::from(*id)))).collect();
        for (id, swim) in &mut fleet {
            swim.set_peers(&all.iter().copied().filter(|peer| peer != id).collect(), ms(u64::from(*id)));
        }
        let mut arrived = BTreeMap::new();
        while let Some(now) = fleet.values().filter_map(Swim::due).min().filter(|now| *now <= until) {
            fleet.values_mut().for_each(|swim| swim.work(now));
            loop {
                let sent: Vec<_> = fleet
                    .iter_mut()
                    .flat_map(|(from, swim)| swim.take_outgoing().into_iter().map(|(to, message)| (*from, to, message)))
                    .collect();
                if sent.is_empty() {
                    break;
                }
                for (from, to, message) in sent.into_iter().filter(|(from, to, _)| !is_lost(*from, *to)) {
                    *arrived.entry((from, to)).or_default() += 1;
                    fleet.get_mut(&to).expect("a host").receive(from, &message, now).expect("a good message");
                }
            }
        }
        arrived
    }

    #[test]
    fn every_pair_talks_again_and_again() {
        let arrived = run(4, ms(30_000), |_, _| false);
        for (from, to) in (1..=4).flat_map(|from| (1..=4).map(move |to| (from, to))).filter(|(a, b)| a != b) {
            // 60 periods, three peers in turn, and as many answers to its pings.
            assert!((36..=44).contains(&arrived[&(from, to)]), "{from} -> {to}: {}", arrived[&(from, to)]);
        }
    }

    #[test]
    fn whoever_never_answers_is_pinged_for_ever() {
        let arrived = run(3, ms(600_000), |from, _| from == 3);
        assert!(!arrived.contains_key(&(3, 1)) && arrived[&(1, 3)] > 500, "{arrived:?}");
    }

    #[test]
    fn a_broken_link_is_pinged_around() {
        let arrived = run(3, ms(60_000), |from, to| from + to == 3);
        assert!(!arrived.contains_key(&(1, 2)) && !arrived.contains_key(&(2, 1)));
        let whole = run(3, ms(60_000), |_, _| false);
        assert!(arrived[&(3, 2)] > whole[&(3, 2)], "host 3 pings for host 1: {arrived:?}");
    }

    #[test]
    fn peers_come_and_go_and_come_back() {
        let mut swim = Swim::new(1, 1);
        let pinged = |swim: &mut Swim, peers: &[u16], from_ms: u64| {
            swim.set_peers(&peers.iter().copied().collect(), ms(from_ms));
            swim.take_outgoing();
            let mut pinged = BTreeSet::new();
            while let Some(now) = swim.due().filter(|now| *now <= ms(from_ms + 9_000)) {
                swim.work(now);
                pinged.extend(swim.take_outgoing().into_iter().filter(|(_, m)| m[0] == 1).map(|(to, _)| to));
            }
            pinged.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(pinged(&mut swim, &[2, 3], 0), [2, 3]);
        assert_eq!(pinged(&mut swim, &[3], 10_000), [3]);
        assert_eq!(pinged(&mut swim, &[], 20_000), [0; 0]);
        assert_eq!(pinged(&mut swim, &[2, 3, 4], 30_000), [2, 3, 4]);
    }

    #[test]
    fn a_host_that_slept_goes_on_with_one_ping() {
        let mut swim = Swim::new(1, 1);
        swim.set_peers(&[2].into(), ms(0));
        swim.work(ms(600));
        assert_eq!(swim.take_outgoing().len(), 1);
        swim.work(ms(3_600_000));
        assert_eq!(swim.take_outgoing().iter().filter(|(_, message)| message[0] == 1).count(), 1);
    }

    /// THREATS.md B6: a member of the fleet says that another is down, under any name foca has for it.
    #[test]
    fn what_one_host_says_about_another_changes_nothing() {
        let mut swim = Swim::new(1, 1);
        swim.set_peers(&[2, 3].into(), ms(0));
        for kind in 7..=255 {
            for third in [0, 1, 2, 3] {
                assert_eq!(swim.receive(2, &[kind, 0, 0, 2, 0, 1, 0, third], ms(1)), Err(Refusal::Payload));
                let with_news = [kind % 7, 0, 0, 2, 0, 1, 0, third, 0, 1, 0, 3, 0, 0, 2];
                assert_eq!(swim.receive(2, &with_news, ms(1)), Err(Refusal::Payload));
            }
        }
        // In another's name, to another, about a stranger.
        for message in [[1, 0, 0, 3, 0, 1, 0, 0], [1, 0, 0, 2, 0, 3, 0, 0], [3, 0, 0, 2, 0, 1, 0, 9]] {
            assert_eq!(swim.receive(2, &message, ms(1)), Err(Refusal::Payload));
        }
        let mut pinged = BTreeSet::new();
        while let Some(now) = swim.due().filter(|now| *now <= ms(5_000)) {
            swim.work(now);
            pinged.extend(swim.take_outgoing().into_iter().map(|(to, _)| to));
        }
        assert_eq!(pinged, [2, 3].into());
    }

    proptest! {
        #[test]
        fn any_message_is_taken_or_refused_without_a_panic(
            messages in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..12), 0..8_u8), 0..50),
        ) {
            let mut swim = Swim::new(1, 1);
            swim.set_peers(&[2, 3].into(), ms(0));
            for (at, (mut message, kind)) in messages.into_iter().enumerate() {
                let now = ms(at as u64 * 100);
                let _ = swim.receive(2, &message, now);
                for (byte, value) in message.iter_mut().zip([kind, 0, 0, 2, 0, 1, 0]) {
                    *byte = value;
                }
                let _ = swim.receive(2, &message, now);
                swim.work(now);
                prop_assert!(swim.take_outgoing().iter().all(|(to, _)| [2, 3].contains(to)));
            }
        }
    }
}
