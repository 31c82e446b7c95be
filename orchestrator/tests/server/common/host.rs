//! A host that speaks the real protocol and only says that it runs what it is told.

use std::collections::BTreeMap;
use std::time::Duration;

use remuda_api::assignment::Assignment;
use remuda_api::link::*;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::Channel;

use super::Fleet;
use super::wire::{Identity, client, path, server_stream};

/// A joined host: applies every update and reports what it was told to run as running.
pub struct Host {
    pub node_id: u32,
    pub identity: Identity,
    /// What it holds; None before the first update.
    pub held: watch::Receiver<Option<Assignment>>,
    /// Full assignments and deltas received.
    pub updates: watch::Receiver<(u32, u32)>,
    pub mode: watch::Sender<Mode>,
    /// What it finds of the endpoints it is asked to check; it says nothing of others.
    pub finds: watch::Sender<Findings>,
    /// Whom it says to hear, with every report.
    pub sees: watch::Sender<Vec<PeerSeen>>,
    task: tokio::task::JoinHandle<()>,
}

/// Outcome and reason by endpoint id.
pub type Findings = BTreeMap<u32, (CheckOutcome, String)>;

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Running,
    /// Renews its lease but confirms nothing.
    Stuck,
    /// Says nothing at all.
    Silent,
}

impl Host {
    pub async fn run(fleet: &Fleet, identity: Identity, facts: HostFacts) -> Host {
        let (held, held_seen) = watch::channel(None);
        let (updates, updates_seen) = watch::channel((0, 0));
        let (mode, mode_seen) = watch::channel(Mode::Running);
        let (finds, finds_seen) = watch::channel(Findings::new());
        let (sees, sees_seen) = watch::channel(Vec::new());
        let node_id = identity.node_id;
        let (address, ca, own) = (fleet.address(), fleet.ca(), identity.clone());
        let task = tokio::spawn(async move {
            loop {
                if let Ok(client) = client(address, &ca, Some(&own)).await {
                    let follow = follow(client.clone(), facts.clone(), held.clone(), updates.clone());
                    let tell = tell(client, held.subscribe(), mode_seen.clone(), finds_seen.clone(), sees_seen.clone());
                    tokio::select! { () = follow => {}, () = tell => {} }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        Host { node_id, identity, held: held_seen, updates: updates_seen, mode, finds, sees, task }
    }

    pub fn assignment(&self) -> Assignment {
        self.held.borrow().clone().expect("an assignment")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(
    mut client: Grpc<Channel>,
    facts: HostFacts,
    held: watch::Sender<Option<Assignment>>,
    updates: watch::Sender<(u32, u32)>,
) {
    let request = AssignRequest { held_generation: 0, facts: Some(facts) };
    let Ok(mut stream) = server_stream::<_, Update>(&mut client, "Assign", request).await else { return };
    while let Ok(Some(update)) = stream.message().await {
        match update.kind.expect("a kind we know") {
            UpdateKind::Full(full) => {
                held.send_replace(Some(full));
                updates.send_modify(|counts| counts.0 += 1);
            }
            UpdateKind::Delta(delta) => {
                held.send_modify(|held| held.as_mut().expect("full first").apply(delta).expect("it chains"));
                updates.send_modify(|counts| counts.1 += 1);
            }
        }
    }
}

async fn tell(
    mut client: Grpc<Channel>,
    mut held: watch::Receiver<Option<Assignment>>,
    mut mode: watch::Receiver<Mode>,
    mut finds: watch::Receiver<Findings>,
    sees: watch::Receiver<Vec<PeerSeen>>,
) {
    let (reports, stream) = mpsc::channel(4);
    let send = async {
        let mut is_first = true;
        loop {
            let now = *mode.borrow_and_update();
            let assignment = held.borrow_and_update().clone();
            let report = match (now, assignment) {
                (Mode::Silent, _) => None,
                (Mode::Stuck, _) | (_, None) => Some(Report::default()),
                (Mode::Running, Some(assignment)) => Some(Report {
                    checks: checks(&assignment, &finds.borrow_and_update()),
                    peers: sees.borrow().clone(),
                    ..report(&assignment, std::mem::take(&mut is_first))
                }),
            };
            if let Some(report) = report
                && reports.send(report).await.is_err()
            {
                return;
            }
            tokio::select! {
                _ = held.changed() => {}
                _ = mode.changed() => {}
                _ = finds.changed() => {}
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
        }
    };
    let path = path("Report");
    client.ready().await.expect("ready");
    let call = client.client_streaming(
        Request::new(ReceiverStream::new(stream)),
        path,
        tonic_prost::ProstCodec::<Report, ReportEnd>::default(),
    );
    tokio::select! { () = send => {}, _ = call => {} }
}

fn checks(assignment: &Assignment, finds: &Findings) -> Vec<CheckResult> {
    let ids = assignment.checks.iter().map(|check| check.endpoint_id);
    let found = ids.filter_map(|id| finds.get(&id).map(|found| (id, found.clone())));
    found.map(|(endpoint_id, (outcome, reason))| CheckResult { endpoint_id, outcome: outcome.into(), reason }).collect()
}

fn report(assignment: &Assignment, complete: bool) -> Report {
    let status = |container: &remuda_api::assignment::Container| ContainerStatus {
        name: container.name.clone(),
        state: if container.stop { "stopped".into() } else { "running".into() },
        health: "healthy".into(),
        pid: 1,
        spec_revision: container.spec_revision,
        ..ContainerStatus::default()
    };
    let containers = assignment.containers.iter().map(status).collect();
    Report { generation: assignment.generation, containers, complete, ..Report::default() }
}
