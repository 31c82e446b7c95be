//! Seeing what is: the engine's events as they happen, and all of its containers at every connection and now and then.
//! Nothing is concluded from what was done.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::models::{ContainerSummaryStateEnum, EventMessage};
use bollard::query_parameters::{EventsOptions, ListContainersOptions};
use futures::StreamExt;
use tokio::task::JoinSet;

use super::container::{Container, Phase};
use super::engine::EngineError;
use super::labels;
use super::record::WorkKind;
use super::work::{Shared, backoff};
use crate::runtime::process::hold::now_ms;

/// How often everything is listed: what no event told is seen then.
const LIST_EVERY: Duration = Duration::from_secs(10);
/// A list is read from the engine's memory; one that takes longer hangs.
const LIST_LIMIT: Duration = Duration::from_secs(5);
/// Containers looked at together.
const LOOKS_AT_ONCE: usize = 8;
/// What problems with the engine are about.
const ABOUT: &str = "container engine";

/// Containers that are being looked at, and those that changed meanwhile.
#[derive(Default)]
pub(super) struct Looks(Mutex<(HashSet<String>, HashSet<String>)>);

/// Sees for as long as the agent runs.
pub(super) async fn watch(shared: Arc<Shared>) {
    let mut tries = 0;
    loop {
        let error = match shared.engine.greet().await {
            Ok(()) => {
                shared.problems.clear(ABOUT);
                shared.follow().await
            }
            Err(error) => error,
        };
        // One that answers and goes away again before it told anything is not asked faster for that.
        if shared.is_seen.swap(false, Ordering::AcqRel) {
            tries = 0;
        }
        shared.engine.lost(&error);
        // What runs is now said by the kernel, which tells nobody by itself.
        shared.table.note();
        if shared.engine.is_expected() {
            shared.problems.set(ABOUT, format!("{error}; its containers stay as they are"));
        }
        tokio::time::sleep(backoff(tries)).await;
        tries += 1;
    }
}

impl Shared {
    /// Until the engine is lost.
    async fn follow(self: &Arc<Self>) -> EngineError {
        match self.follow_events().await {
            Err(error) => error,
            Ok(()) => EngineError::Silent(format!("{} ended", self.engine.name())),
        }
    }

    async fn follow_events(self: &Arc<Self>) -> Result<(), EngineError> {
        let mut filters = labels::filter(&self.owner);
        filters.insert("type".into(), vec!["container".into()]);
        // What happens between the list and the first event is told as well.
        let since = format!("{}", now_ms() / 1000);
        let options = EventsOptions { since: Some(since), until: None, filters: Some(filters) };
        let mut events = self.engine.client(LIST_LIMIT)?.events(Some(options));
        self.list().await?;
        let mut listing = tokio::time::interval(LIST_EVERY);
        listing.reset();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => self.happened(event),
                    Some(Err(error)) => return Err(self.engine.error(error)),
                    None => return Ok(()),
                },
                _ = listing.tick() => {
                    // Events are heard meanwhile.
                    let news = self.news().await?;
                    news.into_iter().for_each(|id| self.look_soon(id));
                }
            }
        }
    }

    fn happened(self: &Arc<Self>, event: EventMessage) {
        let Some(actor) = event.actor else { return };
        let Some(id) = actor.id else { return };
        let action = event.action.unwrap_or_default();
        // Commands in containers come and go; they change nothing.
        if action.starts_with("exec_") {
            return;
        }
        if action == "destroy" {
            return self.table.drop_containers(|container| container.id == id);
        }
        let will_be_looked_at = self.table.all().iter().any(|record| {
            let is_it = |container: &&Container| container.id == id;
            let container = record.holder.iter().chain(&record.unit).find(is_it);
            // Who creates or starts it looks at it in the end.
            let is_worked_on = record.work.as_ref().is_some_and(|work| {
                matches!(work.kind, WorkKind::Creating | WorkKind::Starting)
                    && matches!(action.as_str(), "create" | "start" | "attach")
            });
            is_worked_on
                && (container.is_some()
                    || actor.attributes.as_ref().is_some_and(|a| labels::unit(a) == Some(&record.spec.name)))
        });
        if !will_be_looked_at {
            self.look_soon(id);
        }
    }

    /// In the background: an engine that hangs with one container still tells of others. Looks at the same container
    /// do not overlap.
    fn look_soon(self: &Arc<Self>, id: String) {
        {
            let mut looks = self.looks.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !looks.0.insert(id.clone()) {
                looks.1.insert(id);
                return;
            }
        }
        let shared = self.clone();
        tokio::spawn(async move {
            loop {
                // What could not be seen now is seen at the next list.
                let _ = shared.look(&id).await;
                let mut looks = shared.looks.0.lock().unwrap_or_else(PoisonError::into_inner);
                if !looks.1.remove(&id) {
                    looks.0.remove(&id);
                    return;
                }
            }
        });
    }

    /// All there is; containers are looked at whose state is not what is known.
    pub(super) async fn list(self: &Arc<Self>) -> Result<(), EngineError> {
        let mut looks = JoinSet::new();
        for id in self.news().await? {
            if looks.len() >= LOOKS_AT_ONCE {
                looks.join_next().await;
            }
            let shared = self.clone();
            looks.spawn(async move { shared.look(&id).await.map(drop) });
        }
        while looks.join_next().await.is_some() {}
        self.is_seen.store(true, Ordering::Release);
        Ok(())
    }

    /// Containers whose state is not what is known, by id; those that the engine has no more are dropped.
    async fn news(&self) -> Result<Vec<String>, EngineError> {
        let asked = self.question();
        let options =
            ListContainersOptions { all: true, filters: Some(labels::filter(&self.owner)), ..Default::default() };
        let listed =
            self.engine.ask(LIST_LIMIT, |docker| async move { docker.list_containers(Some(options)).await }).await?;
        let listed: Vec<(String, Option<ContainerSummaryStateEnum>)> =
            listed.into_iter().filter_map(|summary| Some((summary.id?, summary.state))).collect();
        let ids: HashSet<&String> = listed.iter().map(|(id, _)| id).collect();
        self.table.drop_containers(|container| !ids.contains(&container.id) && container.asked < asked);
        let records = self.table.all();
        let known = |id: &String| {
            let mut containers = records.iter().flat_map(|record| record.holder.iter().chain(&record.unit));
            containers.find(|container| container.id == *id)
        };
        let is_news = |(id, state): &&(String, Option<ContainerSummaryStateEnum>)| {
            known(id).is_none_or(|container| !is_as_known(container, *state))
        };
        Ok(listed.iter().filter(is_news).map(|(id, _)| id.clone()).collect())
    }
}

/// Whether a list says what the last look said; a process that is another one since was started again unseen.
fn is_as_known(container: &Container, state: Option<ContainerSummaryStateEnum>) -> bool {
    match state {
        Some(ContainerSummaryStateEnum::RUNNING | ContainerSummaryStateEnum::PAUSED) => container.lives(),
        Some(ContainerSummaryStateEnum::CREATED) => container.phase == Phase::Created,
        Some(ContainerSummaryStateEnum::EXITED) => container.phase == Phase::Exited,
        _ => matches!(container.phase, Phase::Removing | Phase::Dead),
    }
}
