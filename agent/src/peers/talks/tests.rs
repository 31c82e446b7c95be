//! Two hosts that talk, and an attacker between them who has every datagram but not the key.

use super::super::seal::{DATAGRAM_MAX_BYTES, EMPTY_BYTES, HEADER_BYTES};
use super::*;

const A: u16 = 1;
const B: u16 = 2;
const C: u16 = 3;

fn ip(node_id: u16) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, node_id as u8)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn fleet() -> FleetKey {
    FleetKey::parse(&"5c".repeat(32)).expect("64 hex digits")
}

/// A host that knows the two others.
fn host(node_id: u16, boot: u64) -> Talks {
    let mut talks = Talks::new(fleet(), node_id, boot);
    talks.set_peers(&[A, B, C].into_iter().filter(|id| *id != node_id).map(|id| (id, ip(id))).collect());
    talks
}

/// Hands over a datagram and all empty ones that follow, until nobody has anything to say.
fn talk(from: &mut Talks, to: &mut Talks, datagram: &[u8], now: Duration) {
    let answer = match to.receive(ip(from.node_id), datagram, now) {
        Ok(heard) => heard.answer,
        Err(dropped) => dropped.answer.map(|(_, datagram)| datagram),
    };
    if let Some(answer) = answer {
        talk(to, from, &answer, now);
    }
}

/// A and B after they have met at time 0.
fn met() -> (Talks, Talks) {
    let (mut a, mut b) = (host(A, 100), host(B, 200));
    let first = a.write(B, b"x", ms(0)).expect("a peer");
    talk(&mut a, &mut b, &first, ms(0));
    (a, b)
}

/// Everything of a host that a datagram could change, but for the time of its last answer.
fn state(talks: &Talks) -> String {
    let talk = |(id, talk): (&u16, &Talk)| {
        let believed = talk.believed.as_ref().map(|b| (b.boot, b.window.clone(), b.heard));
        format!("{id} {} {believed:?} {:?} {:?}", talk.underlay_ip, talk.retired, talk.sent)
    };
    format!("{} {:?}", talks.counter, talks.peers.iter().map(talk).collect::<Vec<_>>())
}

/// Dropped for this reason, unanswered, and nothing changed.
fn assert_dropped(host: &mut Talks, from: u16, datagram: &[u8], now: Duration, refusal: Refusal) {
    let before = state(host);
    assert_eq!(host.receive(ip(from), datagram, now), Err(refusal.into()));
    assert_eq!(state(host), before);
}

#[test]
fn two_hosts_believe_each_other_after_three_datagrams() {
    let (mut a, mut b) = (host(A, 100), host(B, 200));
    let first = a.write(B, b"ping", ms(0)).expect("a peer");
    let dropped = b.receive(ip(A), &first, ms(1)).expect_err("it is not believed yet");
    assert_eq!(dropped.refusal, Refusal::Unproved);
    let (to, challenge) = dropped.answer.expect("a challenge");
    assert_eq!((to, challenge.len()), (A, EMPTY_BYTES));
    let heard = a.receive(ip(B), &challenge, ms(2)).expect("it echoes what A sent");
    assert_eq!((heard.lived_after, heard.payload.len()), (Some(ms(0)), 0));
    let heard = b.receive(ip(A), &heard.answer.expect("so that B believes too"), ms(3)).expect("it echoes B's");
    assert_eq!(heard.lived_after, Some(ms(1)));
    let last = a.receive(ip(B), &heard.answer.expect("B's word"), ms(4)).expect("believed");
    assert_eq!((last.lived_after, last.answer), (Some(ms(2)), None));
}

#[test]
fn an_answer_proves_that_the_peer_lived_after_the_question_was_sent() {
    let (mut a, mut b) = met();
    let ping = a.write(B, b"ping", ms(5000)).expect("a peer");
    let heard = b.receive(ip(A), &ping, ms(5001)).expect("believed");
    assert_eq!(
        (heard.payload.as_slice(), heard.lived_after),
        (&b"ping"[..], None),
        "A echoes nothing that B sent lately"
    );
    let ack = b.write(A, b"ack", ms(5001)).expect("a peer");
    let heard = a.receive(ip(B), &ack, ms(5002)).expect("believed");
    assert_eq!((heard.payload.as_slice(), heard.lived_after), (&b"ack"[..], Some(ms(5000))));
}

#[test]
fn a_peer_that_hears_nothing_proves_nothing_however_much_it_sends() {
    let (mut a, mut b) = met();
    for at in (2000..10_000).step_by(500) {
        let unheard = a.write(B, b"ping", ms(at));
        assert!(unheard.is_some());
        let ping = b.write(A, b"ping", ms(at)).expect("a peer");
        assert_eq!(a.receive(ip(B), &ping, ms(at)).expect("believed").lived_after, None);
    }
}

#[test]
fn an_echo_of_what_was_sent_long_ago_proves_nothing() {
    let (mut a, mut b) = met();
    let ping = a.write(B, b"ping", ms(5000)).expect("a peer");
    b.receive(ip(A), &ping, ms(5000)).expect("believed");
    let ack = b.write(A, b"ack", ms(5000)).expect("a peer");
    assert_eq!(a.receive(ip(B), &ack, ms(6001)).expect("believed").lived_after, None);
}

#[test]
fn every_kind_of_bad_datagram_is_dropped_by_name_and_changes_nothing() {
    let (mut a, mut b) = met();
    let good = b.write(A, b"ping", ms(10)).expect("a peer");
    for len in 0..good.len() {
        let refusal = if len < EMPTY_BYTES { Refusal::Truncated } else { Refusal::Forged };
        assert_dropped(&mut a, B, &good[..len], ms(10), refusal);
    }
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let refusal = match bit / 8 {
            0..4 => Refusal::Version,
            4..6 if changed[4..6] == C.to_be_bytes() => Refusal::SourceAddress,
            4..6 => Refusal::UnknownNode,
            _ => Refusal::Forged,
        };
        assert_dropped(&mut a, B, &changed, ms(10), refusal);
    }
    assert_dropped(&mut a, B, &[&good[..], &[0; DATAGRAM_MAX_BYTES]].concat(), ms(10), Refusal::Oversized);
    assert_dropped(&mut a, C, &good, ms(10), Refusal::SourceAddress);
    assert_eq!(a.receive(ip(B), &good, ms(10)).expect("the good one still is").payload, b"ping");
    assert_dropped(&mut a, B, &good, ms(10), Refusal::Replayed);
}

#[test]
fn a_datagram_sent_back_or_on_is_dropped() {
    let (mut a, mut b) = met();
    let mut c = host(C, 300);
    let to_a = b.write(A, b"ping", ms(10)).expect("a peer");
    assert_dropped(&mut b, A, &to_a, ms(10), Refusal::UnknownNode);
    assert_dropped(&mut c, B, &to_a, ms(10), Refusal::Forged);
    let to_b = a.write(B, b"ping", ms(10)).expect("a peer");
    assert_dropped(&mut a, B, &to_b, ms(10), Refusal::UnknownNode);
}

#[test]
fn another_fleets_key_opens_nothing() {
    let (mut a, _) = met();
    let mut stranger = Talks::new(FleetKey::parse(&"5d".repeat(32)).expect("a key"), B, 200);
    stranger.set_peers(&[(A, ip(A))].into());
    let forged = stranger.write(A, b"ping", ms(10)).expect("a peer");
    assert_dropped(&mut a, B, &forged, ms(10), Refusal::Forged);
}

#[test]
fn a_restarted_peer_is_believed_again_and_its_boot_before_never_more() {
    let (mut a, mut before) = met();
    let late = before.write(A, b"late", ms(10)).expect("a peer");
    let later = before.write(A, b"later", ms(10)).expect("a peer");
    let mut b = host(B, 201);
    let first = b.write(A, b"ping", ms(20)).expect("a peer");
    assert_eq!(a.receive(ip(B), &late, ms(20)).expect("nothing is proved yet").payload, b"late");
    talk(&mut b, &mut a, &first, ms(20));
    let ping = a.write(B, b"ping", ms(30)).expect("a peer");
    assert_eq!(b.receive(ip(A), &ping, ms(30)).expect("believed").payload, b"ping");
    assert_dropped(&mut a, B, &later, ms(40), Refusal::OldBoot);
    assert_dropped(&mut a, B, &first, ms(40), Refusal::Replayed);
}

/// THREATS.md C4: whoever recorded everything gets nothing believed, whatever restarted in between.
#[test]
fn a_hundred_thousand_recorded_datagrams_are_replayed_in_vain() {
    let (mut a, mut b) = met();
    let mut recorded = Vec::new();
    for at in 0..100_000 {
        let datagram = b.write(A, b"ping", ms(at / 10)).expect("a peer");
        a.receive(ip(B), &datagram, ms(at / 10)).expect("believed");
        recorded.push(datagram);
    }
    let before = state(&a);
    for datagram in &recorded {
        assert_eq!(a.receive(ip(B), datagram, ms(10_001)), Err(Refusal::Replayed.into()));
    }
    assert_eq!(state(&a), before);
    let mut restarted = host(A, 101);
    let answered = recorded.iter().filter(|datagram| {
        let dropped = restarted.receive(ip(B), datagram, ms(20_000)).expect_err("a recording");
        assert_eq!(dropped.refusal, Refusal::Unproved);
        dropped.answer.is_some()
    });
    assert_eq!(answered.count(), 1, "answers to what is not believed are limited");
    assert!(restarted.peers[&B].believed.is_none());
}

#[test]
fn no_counter_is_used_twice_whoever_is_written_to() {
    let mut a = host(A, 100);
    let counters = (0..1000).map(|n| {
        let datagram = a.write(if n % 3 == 0 { B } else { C }, b"", ms(n)).expect("a peer");
        let header = seal::header(&datagram).expect("our own");
        assert_eq!(&datagram[6..HEADER_BYTES - 8], 100_u64.to_be_bytes());
        header.counter
    });
    assert!(counters.eq(1..=1000));
}

#[test]
fn a_peer_that_left_and_came_back_proves_itself_anew() {
    let (mut a, mut b) = met();
    let recorded = b.write(A, b"ping", ms(10)).expect("a peer");
    a.set_peers(&[(C, ip(C))].into());
    assert_dropped(&mut a, B, &recorded, ms(20), Refusal::UnknownNode);
    a.set_peers(&[(B, ip(B)), (C, ip(C))].into());
    assert_eq!(a.receive(ip(B), &recorded, ms(30)).expect_err("not proved").refusal, Refusal::Unproved);
}
