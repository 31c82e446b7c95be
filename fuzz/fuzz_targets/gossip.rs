//! Any bytes as a gossip datagram, and as the content of a well sealed one: never a panic, nothing forged is believed,
//! nothing is said to strangers.
#![no_main]

// The files themselves: they need nothing but a cipher and foca, and the rest of the agent would take minutes to build
// with a sanitizer.
#[path = "../../agent/src/peers/seal.rs"]
mod seal;
#[path = "../../agent/src/peers/swim.rs"]
mod swim;
#[path = "../../agent/src/peers/talks.rs"]
mod talks;
#[path = "../../agent/src/peers/window.rs"]
mod window;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use seal::{EMPTY_BYTES, FleetKey};
use swim::Swim;
use talks::Talks;

const VICTIM: u16 = 1;
const PEER: u16 = 2;

fn ip(node_id: u16) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, node_id as u8)
}

fn host(node_id: u16, peer: u16, boot: u64) -> Talks {
    let key = FleetKey::parse(&"3e".repeat(32)).expect("64 hex digits");
    let mut talks = Talks::new(key, node_id, boot);
    talks.set_peers(&[(peer, ip(peer))].into());
    talks
}

fuzz_target!(|bytes: &[u8]| {
    let now = Duration::from_secs(1);
    // Another key for every input: the fuzzer sees what is compared, and would present a good datagram of the last run.
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let boot = hasher.finish();
    let (mut victim, mut peer) = (host(VICTIM, PEER, boot), host(PEER, VICTIM, boot));
    // They meet: ping, challenge, proof.
    let ping = peer.write(VICTIM, b"ping", now).expect("a peer");
    let (_, challenge) = victim.receive(ip(PEER), &ping, now).expect_err("not proved").answer.expect("a challenge");
    let proof = peer.receive(ip(VICTIM), &challenge, now).expect("it echoes").answer.expect("a proof");
    victim.receive(ip(PEER), &proof, now).expect("it echoes");

    // Bytes from anywhere, and over a good datagram from its end on.
    assert!(victim.receive(ip(PEER), bytes, now).is_err(), "it was sealed by nobody");
    let good = peer.write(VICTIM, b"12345678", now).expect("a peer");
    let mut changed = good.clone();
    changed.iter_mut().rev().zip(bytes).for_each(|(byte, change)| *byte ^= change);
    if changed != good {
        assert!(victim.receive(ip(PEER), &changed, now).is_err(), "it was changed on the way");
    }

    // Whatever a member of the fleet says.
    let mut swim = Swim::new(VICTIM, 1);
    swim.set_peers(&[PEER, 3].into(), now);
    for message in bytes.chunks(9).chain([bytes]) {
        let Some(datagram) = peer.write(VICTIM, message, now) else {
            assert!(message.len() > 1400 - EMPTY_BYTES);
            continue;
        };
        let heard = victim.receive(ip(PEER), &datagram, now).expect("it is well sealed");
        assert_eq!(heard.payload, message);
        let _ = swim.receive(heard.from, &heard.payload, now);
        assert!(swim.take_outgoing().iter().all(|(to, _)| [PEER, 3].contains(to)), "a stranger is written to");
    }
    for second in 2..5 {
        swim.work(Duration::from_secs(second));
    }
});
