//! The assignment over the orchestrator's stream: the full set, then deltas chained by generation.
//!
//! What is held is stored before it is used, so a restarted agent goes on from it without an orchestrator. What does
//! not chain, is older than what is held, or is not valid, is refused and named; the last good one stays.

use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use remuda_api::assignment::{Assignment, Delta};
use remuda_api::link::{AssignRequest, HostFacts, Update, UpdateKind};
use tokio::sync::watch;

use super::{Assignments, Held, check, stored};
use crate::facts::Host;
use crate::link::{Identity, Patience, words};
use crate::problems::Problems;

const ABOUT: &str = "orchestrator";

/// Follows the stream until the receiver is dropped, beginning with what is stored here.
///
/// A stored assignment that cannot be read is a problem that is named; the orchestrator then sends all.
pub fn follow(host: &Host, identity: Arc<Identity>, problems: Problems) -> io::Result<Assignments> {
    let data_dir = &host.options.data_dir;
    let stored = stored::load(data_dir).unwrap_or_else(|error| {
        tracing::warn!("the stored assignment cannot be read, waiting for the orchestrator's: {error}");
        None
    });
    let first = stored.map(|assignment| Arc::new(Held { assignment, synced: false }));
    let (send, receive) = watch::channel(first);
    let (data_dir, host, facts) = (data_dir.clone(), host.clone(), host.facts());
    let stream = Stream { data_dir, identity, host, facts, problems, send, resync: false, refused: 0 };
    tokio::spawn(stream.run());
    Ok(receive)
}

struct Stream {
    data_dir: PathBuf,
    identity: Arc<Identity>,
    host: Host,
    /// As it began, but for the engine; reports tell what changed since.
    facts: HostFacts,
    problems: Problems,
    send: watch::Sender<Option<Arc<Held>>>,
    /// The chain is broken: ask for all of it.
    resync: bool,
    /// Updates refused since one was taken.
    refused: u32,
}

/// How long until the assignment is asked for again when even all of it was refused: the orchestrator would send the
/// same, and each time the whole.
const REFUSED_WAIT_MS: RangeInclusive<u64> = 5_000..=10_000;

/// Why the stream is opened again.
enum Broken {
    /// Nobody there, or the connection was lost.
    Link(String),
    /// A delta that does not start where we are, or an assignment that is older or not valid.
    Chain(String),
}

impl Stream {
    async fn run(mut self) {
        let mut patience = Patience::default();
        while !self.send.is_closed() {
            match self.once(&mut patience).await {
                Broken::Link(what) => {
                    self.problems.set(ABOUT, format!("{what}; going on with what is known"));
                    patience.wait_or_back(&self.identity).await;
                }
                Broken::Chain(what) => {
                    self.resync = true;
                    self.problems.set("assignment stream", what);
                    match refused_wait(self.refused, rand::random_range(REFUSED_WAIT_MS)) {
                        Some(wait) => tokio::time::sleep(wait).await,
                        None => patience.wait_or_back(&self.identity).await,
                    }
                    self.refused = self.refused.saturating_add(1);
                }
            }
        }
    }

    async fn once(&mut self, patience: &mut Patience) -> Broken {
        let held_generation = match self.resync {
            true => 0,
            false => self.held().map_or(0, |held| held.assignment.generation),
        };
        self.host.tell_engine(&mut self.facts);
        let request = AssignRequest { held_generation, facts: Some(self.facts.clone()) };
        let mut updates = match self.identity.client().assign(request).await {
            Ok(updates) => updates.into_inner(),
            Err(status) => return Broken::Link(refusal(&status)),
        };
        self.problems.clear(ABOUT);
        loop {
            match updates.message().await {
                Ok(Some(update)) => {
                    if let Err(what) = self.take(update) {
                        return Broken::Chain(what);
                    }
                    patience.succeeded();
                }
                Ok(None) => return Broken::Link("the orchestrator closed the stream".to_owned()),
                Err(status) => return Broken::Link(refusal(&status)),
            }
        }
    }

    fn take(&mut self, update: Update) -> Result<(), String> {
        let next = match update.kind {
            Some(UpdateKind::Full(assignment)) => full(self.held().as_deref(), assignment)?,
            Some(UpdateKind::Delta(delta)) => chained(self.held().as_deref(), delta)?,
            None => return Ok(()), // a kind this version does not know
        };
        check(&next).map_err(|problems| format!("generation {} is not valid: {problems}", next.generation))?;
        if let Err(error) = stored::save(&self.data_dir, &next) {
            self.problems.set("assignment store", format!("{}: {error}", self.data_dir.display()));
        } else {
            self.problems.clear("assignment store");
        }
        (self.resync, self.refused) = (false, 0);
        self.problems.clear("assignment stream");
        self.send.send_replace(Some(Arc::new(Held { assignment: next, synced: true })));
        Ok(())
    }

    fn held(&self) -> Option<Arc<Held>> {
        self.send.borrow().clone()
    }
}

/// A first refusal is asked about at once: all of it may be right where a delta did not chain.
fn refused_wait(refused_before: u32, chance_ms: u64) -> Option<Duration> {
    (refused_before > 0).then(|| Duration::from_millis(chance_ms))
}

/// A host that was removed is told so; whether its containers end is for people to say.
fn refusal(status: &tonic::Status) -> String {
    match status.code() {
        tonic::Code::PermissionDenied => {
            format!("{}; `remuda leave` on this host ends what still runs here", words(status))
        }
        _ => words(status),
    }
}

/// Generations only grow: a server that sends an older one has lost what was acknowledged, or is not the one we know.
fn full(held: Option<&Held>, mut assignment: Assignment) -> Result<Assignment, String> {
    let (theirs, ours) = (assignment.generation, held.map_or(0, |held| held.assignment.generation));
    if theirs < ours {
        return Err(format!(
            "generation {theirs} is older than the one held, {ours}, and is refused: if the server's state was restored \
             from a backup on purpose, `remuda leave` on this host and join again"
        ));
    }
    assignment.sort();
    Ok(assignment)
}

fn chained(held: Option<&Held>, delta: Delta) -> Result<Assignment, String> {
    let mut next = held.map(|held| held.assignment.clone()).unwrap_or_default();
    next.apply(delta).map_err(|error| error.to_string())?;
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::tests::two_hosts;

    #[test]
    fn an_older_full_assignment_is_refused_and_one_of_the_same_age_is_taken() {
        let held = Held { assignment: Assignment { generation: 7, ..two_hosts() }, synced: true };
        let of = |generation| full(Some(&held), Assignment { generation, ..two_hosts() });
        assert!(of(6).expect_err("older").starts_with("generation 6 is older than the one held, 7"));
        assert_eq!([of(7).expect("the same").generation, of(8).expect("newer").generation], [7, 8]);
        assert!(full(None, two_hosts()).is_ok());
    }

    #[test]
    fn what_is_refused_twice_in_a_row_is_not_asked_for_several_times_a_second() {
        let waits = [0, 1, 9].map(|before| refused_wait(before, 7_000));
        assert_eq!(waits, [None, Some(Duration::from_secs(7)), Some(Duration::from_secs(7))]);
    }

    #[test]
    fn a_delta_is_applied_where_it_starts_and_refused_elsewhere() {
        let held = Held { assignment: two_hosts(), synced: true };
        let delta = |from| Delta { from, to: 9, removed_services: vec![5], ..Delta::default() };
        assert_eq!(chained(Some(&held), delta(7)).expect("it chains").generation, 9);
        assert!(chained(Some(&held), delta(6)).expect_err("it does not").contains("holds 7"));
    }
}
