//! The one loop: desired, observe, plan, do, until nothing is left; then wait for the next reason to look.

mod progress;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use remuda_api::assignment::Assignment;
use remuda_api::link::ContainerStatus;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::desired::{Desired, desired};
use crate::failures::Failures;
use crate::health::rota::{Verdicts, join};
use crate::kernel::{Deletions, Kernel, inbound_flows};
use crate::names::Names;
use crate::observed::{Observed, Unit};
use crate::plan::{History, Plan, drains, plan};
use crate::problems::Problems;
use crate::runtime::Runtimes;
use crate::source::Assignments;
use crate::status::statuses;
use crate::watchdog::Watchdog;
use progress::Progress;

/// Look even if nobody called: what changes in the kernel without telling us (a deleted interface) is mended then.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Rounds in one go; more would mean that doing the plan does not lead to an empty plan.
const ROUNDS_MAX: usize = 16;

/// How long a container engine may be away, or not remove a container, while this host leaves the fleet.
const LEAVE_PATIENCE: Duration = Duration::from_secs(15);

/// What this host is and does now, for the report and for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// The last generation whose every step is done.
    pub generation: u64,
    /// Every step of an assignment was tried once since this agent began.
    pub is_applied: bool,
    pub wanted_generation: u64,
    pub synced: bool,
    /// The host was looked at: `containers` is all there is.
    pub is_observed: bool,
    pub containers: Vec<ContainerStatus>,
    pub assignment: Option<Arc<Assignment>>,
    pub desired: Option<Arc<Desired>>,
    pub observed: Observed,
    /// What is left to do, in words.
    pub plan: Vec<String>,
}

/// Something the loop is asked for.
pub enum Request {
    /// Stop and remove every unit and all of the dataplane; answered when nothing is left.
    Leave(oneshot::Sender<Result<(), String>>),
}

/// What the loop works with; the other tasks of the agent share it.
#[derive(Clone)]
pub struct Parts {
    /// None after leaving.
    pub kernel: Arc<Mutex<Option<Kernel>>>,
    pub runtimes: Arc<Runtimes>,
    pub names: Arc<Mutex<Names>>,
    pub problems: Problems,
    pub uplinks: Vec<String>,
    /// How units with a health command are.
    pub health: watch::Receiver<Verdicts>,
}

/// The loop's own memory.
pub struct Reconciler {
    parts: Parts,
    assignments: Assignments,
    requests: mpsc::Receiver<Request>,
    shown: watch::Sender<Arc<Shown>>,
    history: History,
    failures: Failures,
    current: Current,
    node_id: u16,
    /// Drains are timed from here: the wall clock may be set.
    began: Instant,
    /// Who ends us should this loop hang.
    watchdog: Watchdog,
}

/// The last good assignment as this host's objects.
#[derive(Default)]
struct Current {
    assignment: Option<Arc<Assignment>>,
    desired: Option<Arc<Desired>>,
    synced: bool,
    progress: Progress,
}

/// Why the loop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing of the fleet is left on this host.
    Left,
    /// Nobody is there to ask for anything any more.
    Asked,
}

/// How a round ended.
enum Round {
    /// Nothing is left to do now; look again at this time (Unix milliseconds).
    Settled(Option<u64>),
    Again,
}

impl Reconciler {
    /// `node_id` is the host this agent serves: assignments for another are refused.
    pub fn new(
        parts: Parts,
        node_id: u16,
        assignments: Assignments,
        requests: mpsc::Receiver<Request>,
    ) -> (Reconciler, watch::Receiver<Arc<Shown>>) {
        let (shown, see) = watch::channel(Arc::new(Shown::default()));
        let (history, failures, current) = (History::default(), Failures::default(), Current::default());
        let (began, watchdog) = (Instant::now(), Watchdog::of_environment());
        (Reconciler { parts, assignments, requests, shown, history, failures, current, node_id, began, watchdog }, see)
    }

    /// Runs until every sender of requests is gone, or until it has left the fleet.
    pub async fn run(mut self) -> Ended {
        let mut units = self.parts.runtimes.changes();
        let mut health = self.parts.health.clone();
        // Without it, a deleted device is missed at the next look.
        let deletions = Deletions::open().inspect_err(|error| tracing::warn!("watch devices: {error}")).ok();
        loop {
            let again_ms = self.settle().await;
            let wait = again_ms.map_or(LOOK_EVERY, |ms| Duration::from_millis(ms.saturating_sub(now_ms())));
            tokio::select! {
                Ok(()) = self.assignments.changed() => {}
                Ok(()) = units.changed() => {}
                Ok(()) = health.changed() => {}
                Ok(()) = next(deletions.as_ref()) => {}
                () = tokio::time::sleep(wait.min(LOOK_EVERY)) => {}
                request = self.requests.recv() => match request {
                    Some(Request::Leave(reply)) => {
                        let left = self.leave().await;
                        let is_over = left.is_ok();
                        let _ = reply.send(left);
                        if is_over {
                            return Ended::Left;
                        }
                    }
                    None => return Ended::Asked,
                },
            }
        }
    }

    /// Rounds until nothing is left to do now. Returns when to look again, Unix milliseconds.
    async fn settle(&mut self) -> Option<u64> {
        self.take_assignment();
        for _ in 0..ROUNDS_MAX {
            match self.round().await {
                Ok(Round::Settled(again_ms)) => return again_ms,
                Ok(Round::Again) => {}
                Err(problem) => {
                    self.parts.problems.set("observe", problem);
                    return Some(now_ms() + 1000);
                }
            }
            self.take_assignment();
        }
        Some(now_ms() + 1000)
    }

    /// Goes by the newest assignment if it is good; else by the last good one, and says why.
    fn take_assignment(&mut self) {
        let Some(held) = self.assignments.borrow_and_update().clone() else { return };
        self.current.synced = held.synced;
        if self.current.assignment.as_deref() == Some(&held.assignment) {
            return;
        }
        match self.check(&held.assignment) {
            Ok(desired) => {
                self.parts.problems.clear("assignment");
                let registries = held.assignment.environment.as_ref().map(|environment| &environment.registries);
                self.parts.runtimes.log_in(registries.map_or(&[], Vec::as_slice));
                self.current.assignment = Some(Arc::new(held.assignment.clone()));
                self.current.desired = Some(Arc::new(desired));
            }
            Err(problem) => self.parts.problems.set("assignment", problem),
        }
    }

    fn check(&self, assignment: &Assignment) -> Result<Desired, String> {
        if assignment.node_id != u32::from(self.node_id) {
            let (theirs, ours) = (assignment.node_id, self.node_id);
            return Err(format!("it is for node {theirs}, this is node {ours}: a host keeps its id for life"));
        }
        desired(assignment, &self.parts.uplinks).map_err(|problems| {
            let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
            lines.join("; ")
        })
    }

    async fn round(&mut self) -> Result<Round, String> {
        self.watchdog.alive(Instant::now());
        let Some(whole) = self.current.desired.clone() else { return Ok(Round::Settled(None)) };
        let mut units = self.parts.runtimes.observe().await;
        join(&mut units, &self.parts.health.borrow());
        let unlisted = whole.unlisted(&units);
        let desired = whole.without(&unlisted, &units);
        let observed = self.observe(&whole, units, &unlisted).await?;
        let now_ms = now_ms();
        self.history.note(&whole.units, &observed.units, now_ms);
        self.history.note_drains(&whole.units, &observed.units, self.began.elapsed().as_millis() as u64);
        let plan = plan(&desired, &observed, &self.history, self.current.synced, now_ms);
        self.failures.keep_planned(&plan.actions, &self.parts.problems);
        let due: Vec<_> = plan.actions.iter().filter(|a| self.failures.is_due(a, now_ms)).cloned().collect();
        self.current.progress.note(&whole, &observed, &plan, !due.is_empty());
        self.show(&whole, observed, &plan);
        if due.is_empty() {
            let again_ms = [plan.again_ms, self.failures.next_ms()].into_iter().flatten().min();
            return Ok(Round::Settled(again_ms));
        }
        self.carry_out(due, &unlisted).await;
        self.current.progress.round_made();
        Ok(Round::Again)
    }

    async fn observe(
        &self,
        desired: &Desired,
        units: BTreeMap<String, Unit>,
        unlisted: &BTreeSet<u32>,
    ) -> Result<Observed, String> {
        let flows = self.flows(desired, &units).await;
        let mut kernel = self.parts.kernel.lock().await;
        let kernel = kernel.as_mut().ok_or("this host has left the fleet")?;
        let kernel = kernel.observe().await.map_err(|error| error.to_string())?;
        self.parts.problems.clear("observe");
        let names_generation = self.parts.names.lock().await.generation(unlisted);
        Ok(Observed { kernel, units, flows, names_generation })
    }

    /// Of the units that drain. One whose namespace cannot be looked at is left out.
    async fn flows(&self, desired: &Desired, units: &BTreeMap<String, Unit>) -> BTreeMap<String, usize> {
        let is_draining = |unit: &&Unit| desired.units.get(&unit.name).is_some_and(|wanted| drains(wanted, unit));
        let namespaces = units.values().filter(is_draining).filter_map(|unit| {
            let namespace = self.parts.runtimes.namespace(&unit.name)?;
            Some((unit.name.clone(), namespace))
        });
        let namespaces: Vec<_> = namespaces.collect();
        if namespaces.is_empty() {
            return BTreeMap::new();
        }
        let count = move || {
            let counted = |(name, path): (String, PathBuf)| Some((name, inbound_flows(&path).ok()?));
            namespaces.into_iter().filter_map(counted).collect()
        };
        tokio::task::spawn_blocking(count).await.unwrap_or_default()
    }

    fn show(&self, desired: &Arc<Desired>, observed: Observed, plan: &Plan) {
        let shown = Shown {
            generation: self.current.progress.reached,
            is_applied: self.current.progress.is_applied,
            wanted_generation: desired.generation,
            synced: self.current.synced,
            is_observed: true,
            containers: statuses(desired, &observed.units, &self.failures.by_unit(), &self.history),
            assignment: self.current.assignment.clone(),
            desired: Some(desired.clone()),
            observed,
            plan: plan.actions.iter().map(ToString::to_string).collect(),
        };
        // A look that found nothing new wakes nobody.
        self.shown.send_if_modified(|held| {
            let is_news = **held != shown;
            if is_news {
                *held = Arc::new(shown);
            }
            is_news
        });
    }

    /// Stops and removes all units, then the dataplane.
    async fn leave(&mut self) -> Result<(), String> {
        let Some(desired) = self.current.desired.take() else { return self.remove_dataplane().await };
        let nothing = Desired {
            units: BTreeMap::new(),
            backends: BTreeMap::new(),
            frontends: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            checks: BTreeMap::new(),
            ..Desired::clone(&desired)
        };
        self.current.desired = Some(Arc::new(nothing));
        self.current.synced = true;
        let runtimes = self.parts.runtimes.clone();
        let (mut units, mut last_well) = (runtimes.changes(), Instant::now());
        while !runtimes.observe().await.is_empty() {
            if let Ok(Round::Settled(_)) = self.round().await {
                let _ = tokio::time::timeout(Duration::from_secs(1), units.changed()).await;
            }
            match runtimes.trouble() {
                Some(trouble) if last_well.elapsed() > LEAVE_PATIENCE => return Err(trouble),
                Some(_) => {}
                None => last_well = Instant::now(),
            }
            if !self.failures.is_empty() {
                return Err(self.parts.problems.lines().join("; "));
            }
        }
        runtimes.leave().await.map_err(|error| error.to_string())?;
        self.remove_dataplane().await
    }

    async fn remove_dataplane(&self) -> Result<(), String> {
        match self.parts.kernel.lock().await.take() {
            Some(kernel) => kernel.remove_all().await.map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }
}

/// The next deletion of a device; never without a watch.
async fn next(deletions: Option<&Deletions>) -> std::io::Result<()> {
    match deletions {
        Some(deletions) => deletions.next().await,
        None => std::future::pending().await,
    }
}

/// Unix milliseconds.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as u64)
}
