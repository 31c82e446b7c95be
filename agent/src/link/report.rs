//! What this host observes, told twice a second and at every change; each report renews the lease.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use remuda_api::link::{CheckResult, ContainerStatus, HostFacts, REPORT_INTERVAL_MS, Report};
use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::ReceiverStream;

use super::{Identity, Patience};
use crate::agent::Agent;
use crate::facts::Host;
use crate::health::checks::Results;
use crate::peers::Peers;
use crate::problems::Problems;
use crate::reconcile::Shown;
use crate::runtime::{Engine, EngineState};

/// Reports under way; one more than that waits, so a slow orchestrator gets the newest instead of a backlog.
const REPORTS_MAX: usize = 2;
/// Facts change seldom and cost a walk through `/proc`.
const FACTS_INTERVAL: Duration = Duration::from_secs(30);

/// Reports for as long as the agent runs.
pub(super) async fn run(identity: Arc<Identity>, agent: Agent, host: Host) {
    let mut patience = Patience::default();
    let seen = Seen {
        shown: agent.shown,
        checks: agent.checks,
        peers: agent.peers,
        problems: agent.parts.problems,
        facts: gathered(host.engine.as_ref().map(Engine::state), move || host.facts_now()),
    };
    loop {
        let (send, receive) = mpsc::channel(REPORTS_MAX);
        let feed = tokio::spawn(feed(send, seen.clone()));
        match identity.client().report(ReceiverStream::new(receive)).await {
            Ok(_) => patience.succeeded(),
            Err(status) => tracing::debug!("report: {status}"), // the assignment stream names the problem
        }
        feed.abort();
        patience.wait_or_back(&identity).await;
    }
}

/// What reports are made of.
#[derive(Clone)]
struct Seen {
    shown: watch::Receiver<Arc<Shown>>,
    checks: watch::Receiver<Results>,
    peers: Peers,
    problems: Problems,
    facts: watch::Receiver<Option<HostFacts>>,
}

/// Facts, gathered beside the reports: a walk through `/proc` that hangs must not cost the lease.
fn gathered(
    mut engine: Option<watch::Receiver<EngineState>>,
    facts: impl Fn() -> HostFacts + Clone + Send + 'static,
) -> watch::Receiver<Option<HostFacts>> {
    let (send, receive) = watch::channel(None);
    tokio::spawn(async move {
        while !send.is_closed() {
            if let Ok(found) = tokio::task::spawn_blocking(facts.clone()).await {
                send.send_if_modified(|held| held.replace(found.clone()) != Some(found));
            }
            tokio::select! {
                () = tokio::time::sleep(FACTS_INTERVAL) => {}
                () = changed(&mut engine) => {}
            }
        }
    });
    receive
}

/// When the engine came, went or was replaced; never without one.
async fn changed(engine: &mut Option<watch::Receiver<EngineState>>) {
    let Some(state) = engine else { return std::future::pending().await };
    if state.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Everything first, then changes, until the stream is gone.
async fn feed(send: mpsc::Sender<Report>, mut seen: Seen) {
    let began = Instant::now();
    let mut told = Told::default();
    let mut tick = tokio::time::interval(Duration::from_millis(REPORT_INTERVAL_MS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let made_ms = began.elapsed().as_millis() as u64;
        let mut report = told.report(&seen.shown.borrow_and_update(), seen.problems.lines());
        told.add_checks(&mut report, &seen.checks.borrow_and_update());
        report.peers = seen.peers.take_seen();
        report.facts = told.changed_facts(seen.facts.borrow_and_update().clone());
        report.made_ms = Some(made_ms);
        if send.send(report).await.is_err() {
            return;
        }
        tokio::select! {
            _ = tick.tick() => {}
            changed = seen.shown.changed() => if changed.is_err() { return },
            changed = seen.checks.changed() => if changed.is_err() { return },
            Ok(()) = seen.facts.changed() => {}
        }
    }
}

/// What this connection was told already.
#[derive(Default)]
struct Told {
    is_complete: bool,
    containers: BTreeMap<String, ContainerStatus>,
    checks: BTreeMap<u32, CheckResult>,
    facts: Option<HostFacts>,
}

impl Told {
    fn report(&mut self, shown: &Shown, problems: Vec<String>) -> Report {
        let now: BTreeMap<_, _> = shown.containers.iter().map(|c| (c.name.clone(), c.clone())).collect();
        let containers = now.values().filter(|c| self.containers.get(&c.name) != Some(c)).cloned().collect();
        let gone = self.containers.keys().filter(|name| !now.contains_key(*name)).cloned().collect();
        // Before the first look at the host nothing is known, and nothing is claimed.
        let complete = shown.is_observed && !self.is_complete;
        self.is_complete |= complete;
        self.containers = now;
        Report {
            generation: shown.generation,
            is_applied: shown.is_applied,
            containers,
            gone,
            complete,
            problems,
            ..Report::default()
        }
    }

    /// Those whose result is news; all with a complete report.
    fn add_checks(&mut self, report: &mut Report, now: &BTreeMap<u32, CheckResult>) {
        if report.complete {
            self.checks.clear();
        }
        let news = now.values().filter(|result| self.checks.get(&result.endpoint_id) != Some(result));
        report.checks = news.cloned().collect();
        self.checks = now.clone();
    }

    fn changed_facts(&mut self, facts: Option<HostFacts>) -> Option<HostFacts> {
        let changed = facts.filter(|facts| self.facts.as_ref() != Some(facts));
        self.facts = changed.clone().or(self.facts.take());
        changed
    }
}

#[cfg(test)]
mod tests {
    use remuda_api::link::CheckOutcome;

    use super::*;

    fn shown(states: &[(&str, &str)]) -> Shown {
        let status = |(name, state): &(&str, &str)| ContainerStatus {
            name: (*name).into(),
            state: (*state).into(),
            ..ContainerStatus::default()
        };
        Shown { generation: 3, is_observed: true, containers: states.iter().map(status).collect(), ..Shown::default() }
    }

    #[test]
    fn before_the_host_was_looked_at_a_report_only_renews_the_lease() {
        let report = Told::default().report(&Shown::default(), vec![]);
        assert_eq!((report.complete, report.containers.len()), (false, 0));
    }

    #[tokio::test]
    async fn facts_that_take_long_hold_up_no_report_and_are_told_when_they_are_there() {
        let (release, wait) = std::sync::mpsc::channel();
        let wait = Arc::new(std::sync::Mutex::new(wait));
        let facts = gathered(None, move || {
            let _ = wait.lock().expect("one walk at a time").recv();
            HostFacts { uplink_mtu: 9000, ..HostFacts::default() }
        });
        let (_show, shown) = watch::channel(Arc::new(shown(&[])));
        let (_find, checks) = watch::channel(Results::new());
        let seen = Seen { shown, checks, peers: Peers::default(), problems: Problems::default(), facts };
        let (send, mut reports) = mpsc::channel(REPORTS_MAX);
        let feed = tokio::spawn(feed(send, seen));
        for _ in 0..3 {
            let report = tokio::time::timeout(Duration::from_secs(5), reports.recv()).await.expect("not held up");
            assert_eq!(report.expect("a report").facts, None);
        }
        release.send(()).expect("it waits");
        let told = async {
            loop {
                if let Some(facts) = reports.recv().await.expect("a report").facts {
                    return facts.uplink_mtu;
                }
            }
        };
        assert_eq!(tokio::time::timeout(Duration::from_secs(5), told).await, Ok(9000));
        feed.abort();
    }

    #[test]
    fn a_host_that_has_not_done_every_step_yet_says_that_it_has_tried_all() {
        let shown = Shown { generation: 0, is_applied: true, ..shown(&[("a", "stopping")]) };
        let report = Told::default().report(&shown, vec![]);
        assert_eq!((report.generation, report.is_applied), (0, true));
    }

    #[test]
    fn the_first_report_is_complete_and_later_ones_carry_only_what_changed() {
        let mut told = Told::default();
        let first = told.report(&shown(&[("a", "running"), ("b", "running")]), vec![]);
        assert_eq!((first.complete, first.containers.len()), (true, 2));
        let second = told.report(&shown(&[("a", "failed")]), vec![]);
        assert_eq!(
            (second.complete, second.containers.len(), second.gone.as_slice()),
            (false, 1, &["b".to_owned()][..])
        );
        let third = told.report(&shown(&[("a", "failed")]), vec![]);
        assert_eq!((third.containers.len(), third.gone.len()), (0, 0));
    }

    #[test]
    fn a_check_is_told_when_its_result_is_news_and_with_a_complete_report() {
        let found = |outcome: CheckOutcome| {
            let result = CheckResult { endpoint_id: 7, outcome: outcome.into(), reason: String::new() };
            BTreeMap::from([(7, result)])
        };
        let mut told = Told::default();
        let mut said = |complete: bool, outcome: CheckOutcome| {
            let mut report = Report { complete, ..Report::default() };
            told.add_checks(&mut report, &found(outcome));
            report.checks.len()
        };
        let (passing, failing) = (CheckOutcome::Passing, CheckOutcome::Failing);
        assert_eq!(
            [said(false, passing), said(false, passing), said(true, passing), said(false, failing)],
            [1, 0, 1, 1]
        );
    }
}
