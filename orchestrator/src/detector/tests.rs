//! Each rule in a sentence. A fleet of hosts that live as they are told, on a clock of its own.

use super::*;

/// How a host shows itself, twice a second.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Life {
    Reports,
    /// Its agent lives and has no connection to the server; another host hears its gossip.
    AgentCutOff,
    /// Its agent is gone; its kernel answers another host's probes.
    KernelOnly,
    Silent,
}
use Life::*;

struct Fleet {
    detector: Detector,
    /// By node id - 1.
    lives: Vec<Life>,
    now_ms: u64,
    alarms: Vec<Alarm>,
}

impl Fleet {
    /// Hosts 1 to `count` that have been reporting for ten minutes.
    fn of(count: usize) -> Fleet {
        let mut fleet = Fleet::empty(count);
        (1..=count as u32).for_each(|id| fleet.detector.add(id, 0));
        fleet.run(600_000);
        fleet
    }

    fn empty(count: usize) -> Fleet {
        let detector = Detector::new(CONTROL_LOST_TIMEOUT_MS);
        Fleet { detector, lives: vec![Reports; count], now_ms: 0, alarms: Vec::new() }
    }

    fn set(&mut self, nodes: &[u32], life: Life) -> &mut Fleet {
        nodes.iter().for_each(|id| self.lives[*id as usize - 1] = life);
        self
    }

    /// The time passes, tick by tick; signs come every half second.
    fn run(&mut self, ms: u64) -> &mut Fleet {
        let until_ms = self.now_ms + ms;
        while self.now_ms < until_ms {
            self.now_ms += TICK_MS;
            if self.now_ms.is_multiple_of(500) {
                self.show();
            }
            self.alarms.extend(self.detector.tick(self.now_ms));
        }
        self
    }

    fn show(&mut self) {
        let seen = |node_id: u32, life: Life| PeerSeen {
            node_id,
            gossip_ms: (life == AgentCutOff).then_some(20),
            probe_ms: (life == KernelOnly).then_some(20),
        };
        let peers: Vec<PeerSeen> = (1..).zip(&self.lives).map(|(id, life)| seen(id, *life)).collect();
        for (node_id, _) in (1..).zip(&self.lives).filter(|(_, life)| **life == Reports) {
            self.detector.reported(node_id, true, self.now_ms);
            self.detector.vouched(node_id, None, &peers, self.now_ms);
        }
    }

    fn verdict(&self, node_id: u32) -> &Verdict {
        self.detector.verdicts().find(|(id, _)| *id == node_id).expect("it is judged").1
    }

    fn state(&self, node_id: u32) -> HostState {
        self.verdict(node_id).state
    }

    fn losses(&self) -> Vec<Loss> {
        self.detector.verdicts().map(|(_, verdict)| verdict.loss).collect()
    }

    fn reason(&self, node_id: u32) -> String {
        reason(self.verdict(node_id), &format!("h{node_id}"), |id| format!("h{id}"))
    }
}

#[test]
fn a_silent_host_is_suspect_within_two_seconds_and_dead_within_five_of_its_last_sign() {
    let mut fleet = Fleet::of(3);
    fleet.set(&[3], Silent).run(1_700);
    assert_eq!(fleet.state(3), HostState::Ready);
    assert_eq!(fleet.run(200).state(3), HostState::Suspect);
    assert_eq!(fleet.run(2_700).state(3), HostState::Suspect);
    assert_eq!(fleet.run(200).state(3), HostState::Dead);
    assert_eq!(fleet.losses(), [Loss::None, Loss::None, Loss::Lost]);
    assert_eq!(fleet.alarms, []);
}

#[test]
fn a_suspect_host_is_ready_again_by_any_sign_until_its_lease_is_gone() {
    let mut fleet = Fleet::of(2);
    assert_eq!(fleet.set(&[2], Silent).run(2_400).state(2), HostState::Suspect);
    assert_eq!(fleet.set(&[2], KernelOnly).run(200).state(2), HostState::Ready);
    assert_eq!(fleet.run(2_000).state(2), HostState::Ready);
    assert_eq!(fleet.run(500).state(2), HostState::ControlLost);
}

#[test]
fn a_host_without_an_agent_is_control_lost_and_given_up_after_the_timeout_with_one_alarm() {
    let mut fleet = Fleet::of(3);
    fleet.set(&[3], KernelOnly).run(5_000);
    assert_eq!((fleet.state(3), fleet.verdict(3).loss), (HostState::ControlLost, Loss::None));
    assert_eq!(fleet.reason(3), "no report for 4.7 s; its kernel answers h1 and h2, its agent answers nobody");
    fleet.run(290_000);
    assert_eq!((fleet.verdict(3).loss, fleet.alarms.len()), (Loss::None, 0));
    fleet.run(20_000);
    assert_eq!((fleet.state(3), fleet.verdict(3).loss), (HostState::ControlLost, Loss::Lost));
    assert_eq!(fleet.alarms, [Alarm::AgentGone { node_id: 3, silent_ms: 300_000 }]);
    fleet.set(&[3], Reports).run(500);
    assert_eq!((fleet.state(3), fleet.verdict(3).loss, fleet.reason(3)), (HostState::Ready, Loss::None, String::new()));
}

#[test]
fn a_host_whose_agent_lives_without_the_server_is_never_given_up() {
    let mut fleet = Fleet::of(3);
    fleet.set(&[3], AgentCutOff).run(1_000_000);
    assert_eq!((fleet.state(3), fleet.verdict(3).loss), (HostState::ControlLost, Loss::None));
    assert_eq!(fleet.reason(3), "no report for 4.7 s; its agent answers h1 and h2 and has no connection to the server");
    assert_eq!(fleet.alarms, [Alarm::AgentCutOff { node_id: 3, silent_ms: 300_000 }]);
    // Its agent dies as well: the five minutes begin now.
    fleet.set(&[3], KernelOnly).run(290_000);
    assert_eq!(fleet.verdict(3).loss, Loss::None);
    assert_eq!(fleet.run(20_000).verdict(3).loss, Loss::Lost);
}

#[test]
fn without_witnesses_the_lease_decides() {
    let mut fleet = Fleet::of(1);
    fleet.set(&[1], Silent).run(5_000);
    assert_eq!(fleet.state(1), HostState::Dead);
    assert_eq!(
        fleet.reason(1),
        "no report for 4.7 s, and no other host hears of it; what ran there is placed elsewhere"
    );
}

#[test]
fn who_can_no_longer_reach_a_dead_host_is_named() {
    let mut fleet = Fleet::of(4);
    fleet.set(&[3], KernelOnly).run(1_000).set(&[3], Silent).run(5_000);
    assert_eq!(
        fleet.reason(3),
        "no report for 5.7 s; h1, h2 and h4 cannot reach its endpoint; what ran there is placed elsewhere"
    );
}

#[test]
fn nobody_vouches_for_itself_and_strangers_do_not_vouch() {
    let mut fleet = Fleet::of(2);
    fleet.set(&[2], Silent).run(2_000);
    let seen = [PeerSeen { node_id: 2, gossip_ms: Some(0), probe_ms: Some(0) }];
    for voucher in [2, 99] {
        fleet.detector.vouched(voucher, None, &seen, fleet.now_ms);
        assert_eq!(fleet.run(100).state(2), HostState::Suspect, "by {voucher}");
    }
    fleet.detector.vouched(1, None, &seen, fleet.now_ms);
    assert_eq!(fleet.run(100).state(2), HostState::Ready);
}

#[test]
fn a_sign_is_as_old_as_its_witness_says() {
    let mut fleet = Fleet::of(2);
    fleet.set(&[2], Silent).run(2_400);
    for age_ms in [1_800, 60_000, u32::MAX] {
        let seen = [PeerSeen { node_id: 2, gossip_ms: None, probe_ms: Some(age_ms) }];
        fleet.detector.vouched(1, None, &seen, fleet.now_ms);
        assert_eq!(fleet.run(100).state(2), HostState::Suspect, "{age_ms}");
    }
    assert_eq!(fleet.run(2_500).state(2), HostState::Suspect, "the youngest was 600 ms after the last report");
    assert_eq!(fleet.run(100).state(2), HostState::Dead);
}

#[test]
fn a_report_that_was_under_way_for_seconds_makes_nobody_younger() {
    let mut fleet = Fleet::of(2);
    let seen = [PeerSeen { node_id: 2, gossip_ms: None, probe_ms: Some(0) }];
    fleet.detector.connected(1);
    // The stream began 1 s ago; the way takes 10 ms.
    fleet.detector.vouched(1, Some(990), &[], fleet.now_ms);
    fleet.set(&[2], Silent).run(3_000);
    assert_eq!(fleet.state(2), HostState::Suspect);
    fleet.detector.vouched(1, Some(1_400), &seen, fleet.now_ms);
    assert_eq!(fleet.run(1_000).state(2), HostState::Suspect, "it was made 2.6 s before");
    fleet.detector.vouched(1, Some(4_980), &seen, fleet.now_ms);
    assert_eq!(fleet.run(100).state(2), HostState::Ready, "this one is fresh");
}

#[test]
fn two_of_four_hosts_are_moved() {
    let mut fleet = Fleet::of(4);
    fleet.set(&[3, 4], Silent).run(6_000);
    assert_eq!(fleet.losses(), [Loss::None, Loss::None, Loss::Lost, Loss::Lost]);
    assert_eq!(fleet.alarms, []);
}

#[test]
fn three_of_five_hosts_are_held_with_one_alarm_until_they_report() {
    let mut fleet = Fleet::of(5);
    fleet.set(&[3, 4, 5], Silent).run(6_000);
    let held = [Loss::None, Loss::None, Loss::Held, Loss::Held, Loss::Held];
    assert_eq!(fleet.losses(), held);
    assert_eq!([3, 4, 5].map(|id| fleet.state(id)), [HostState::Dead; 3]);
    assert!(fleet.reason(3).ends_with("nothing moves before `remuda host rm --dead h3`"), "{}", fleet.reason(3));
    fleet.run(600_000);
    assert_eq!(fleet.losses(), held, "for as long as it takes");
    assert_eq!(fleet.alarms, [Alarm::Brake { node_ids: vec![3, 4, 5] }]);
    fleet.set(&[3], KernelOnly).run(5_000);
    assert_eq!((fleet.state(3), fleet.verdict(3).loss), (HostState::ControlLost, Loss::Held), "seen, not back");
    fleet.set(&[3, 4], Reports).run(1_000);
    assert_eq!(fleet.losses(), [Loss::None, Loss::None, Loss::None, Loss::None, Loss::Held]);
    fleet.detector.retain(|node_id| node_id != 5);
    fleet.lives.truncate(4);
    assert_eq!(fleet.run(10_000).losses(), [Loss::None; 4]);
}

#[test]
fn hosts_cut_seconds_apart_are_judged_together() {
    let mut fleet = Fleet::of(5);
    fleet.set(&[3], Silent).run(1_000).set(&[4], Silent).run(1_000).set(&[5], Silent).run(6_000);
    assert_eq!(fleet.losses()[2..], [Loss::Held; 3]);
}

#[test]
fn hosts_lost_over_a_minute_ago_do_not_count() {
    let mut fleet = Fleet::of(7);
    for node_id in 2..=7 {
        fleet.set(&[node_id], Silent).run(70_000);
    }
    assert_eq!(fleet.losses()[1..], [Loss::Lost; 6]);
    assert_eq!(fleet.alarms, []);
}

#[test]
fn a_third_loss_within_the_minute_is_held() {
    let mut fleet = Fleet::of(5);
    for node_id in 3..=5 {
        fleet.set(&[node_id], Silent).run(20_000);
    }
    assert_eq!(fleet.losses(), [Loss::None, Loss::None, Loss::Lost, Loss::Lost, Loss::Held]);
    assert_eq!(fleet.alarms, [Alarm::Brake { node_ids: vec![3, 4, 5] }]);
}

#[test]
fn agents_that_end_everywhere_at_once_are_braked_as_well() {
    let mut fleet = Fleet::of(5);
    fleet.set(&[3], KernelOnly).run(10_000).set(&[4, 5], KernelOnly).run(400_000);
    assert_eq!(fleet.losses()[2..], [Loss::Held; 3]);
    assert_eq!(fleet.alarms, [Alarm::Brake { node_ids: vec![3, 4, 5] }]);
}

#[test]
fn a_pause_of_the_server_is_nobodys_silence() {
    for pause_ms in [600, 3_000, 60_000, 3_600_000] {
        let mut fleet = Fleet::of(5);
        fleet.set(&[4], KernelOnly).run(20_000).set(&[5], Silent).run(2_000);
        let before = [HostState::Ready, HostState::Ready, HostState::Ready, HostState::ControlLost, HostState::Suspect];
        let states = |fleet: &Fleet| [1, 2, 3, 4, 5].map(|id| fleet.state(id));
        assert_eq!(states(&fleet), before);
        fleet.now_ms += pause_ms;
        let lives = std::mem::replace(&mut fleet.lives, vec![Silent; 5]);
        assert_eq!(states(fleet.run(1_100)), before, "while they find back");
        fleet.lives = lives;
        assert_eq!(fleet.run(4_000).state(5), HostState::Dead, "a pause saves nobody for ever");
        assert_eq!((states(&fleet)[..4].to_vec(), fleet.alarms.len()), (before[..4].to_vec(), 0));
    }
}

#[test]
fn after_a_restart_every_host_has_time_to_come_back() {
    let mut fleet = Fleet::empty(3);
    fleet.set(&[1, 2, 3], Silent);
    (1..=3).for_each(|id| fleet.detector.restore(id, Loss::None, 0));
    assert_eq!((fleet.run(5_000).state(1), fleet.reason(1)), (HostState::Suspect, AWAITED.to_owned()));
    assert_eq!(fleet.set(&[1, 2], Reports).run(1_000).state(1), HostState::Ready);
    assert_eq!(fleet.run(3_900).state(3), HostState::Suspect);
    assert_eq!(fleet.run(300).state(3), HostState::Dead);
    assert_eq!((fleet.losses(), fleet.alarms.len()), (vec![Loss::None, Loss::None, Loss::Lost], 0));
}

#[test]
fn a_restart_keeps_what_is_held_and_counts_no_old_loss() {
    let mut fleet = Fleet::empty(6);
    let losses = [Loss::None, Loss::None, Loss::None, Loss::Held, Loss::Lost, Loss::Lost];
    (1..).zip(losses).for_each(|(id, loss)| fleet.detector.restore(id, loss, 0));
    fleet.set(&[4, 5, 6], Silent).run(60_000).set(&[3], Silent).run(6_000);
    assert_eq!(fleet.losses()[2..], [Loss::Lost, Loss::Held, Loss::Lost, Loss::Lost]);
    assert_eq!((fleet.state(4), fleet.alarms.len()), (HostState::Dead, 0));
}

#[test]
fn a_lost_host_is_back_only_when_it_has_applied_its_assignment() {
    let mut fleet = Fleet::of(2);
    fleet.set(&[2], Silent).run(6_000);
    for _ in 0..20 {
        fleet.detector.reported(2, false, fleet.now_ms);
        fleet.run(500);
    }
    assert_eq!((fleet.state(2), fleet.verdict(2).loss), (HostState::Suspect, Loss::Lost));
    assert_eq!(
        fleet.reason(2),
        "reports again, and has not applied its assignment yet; what ran there is placed elsewhere"
    );
    fleet.detector.reported(2, true, fleet.now_ms);
    assert_eq!((fleet.state(2), fleet.verdict(2).loss), (HostState::Ready, Loss::None), "at once, without a tick");
}

#[test]
fn alarms_name_the_hosts_and_what_to_do() {
    let (kind, object, message) = alarm(&Alarm::Brake { node_ids: vec![2, 3, 4] }, |id| format!("h{id}"));
    assert_eq!((kind, object), ("brake", None));
    assert!(message.starts_with("h2, h3 and h4 are silent"), "{message}");
    assert!(message.contains("`remuda host rm --dead NAME`"), "{message}");
    let gone = Alarm::AgentGone { node_id: 2, silent_ms: 300_000 };
    let said = "its agent is silent for 5 min: what ran there is placed elsewhere";
    assert_eq!(alarm(&gone, |id| format!("h{id}")), ("control-lost", Some(2), said.into()));
}
