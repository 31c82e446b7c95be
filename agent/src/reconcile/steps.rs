//! Doing a plan: one step after the other, units at the same time where they do not need each other.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{Reconciler, now_ms};
use crate::action::Action;

/// Units created or started at the same time: namespaces are made under one kernel lock, more gain nothing.
const UNITS_AT_ONCE: usize = 8;

impl Reconciler {
    /// Does the steps in order. A step that fails keeps back only what needs it: the rest of its unit, or the names.
    pub(super) async fn carry_out(&mut self, actions: Vec<Action>, unlisted: &BTreeSet<u32>) {
        let mut stuck = Stuck::default();
        let mut actions = actions.as_slice();
        while let Some(first) = actions.first() {
            let kind = std::mem::discriminant(first);
            let kind_is_of_runtime = first.is_of_runtime();
            let run = match kind_is_of_runtime {
                true => actions.iter().take_while(|action| std::mem::discriminant(*action) == kind).count(),
                false => 1,
            };
            let (now, later) = actions.split_at(run);
            actions = later;
            let now: Vec<_> = now.iter().filter(|action| !stuck.holds(action)).collect();
            for chunk in now.chunks(UNITS_AT_ONCE) {
                let results = match kind_is_of_runtime {
                    true => self.carry_out_together(chunk).await,
                    false => vec![self.carry_out_one(first, unlisted).await],
                };
                self.watchdog.alive(Instant::now());
                chunk.iter().zip(results).for_each(|(action, result)| self.note(action, result, &mut stuck));
            }
        }
    }

    fn note(&mut self, action: &Action, result: Result<(), String>, stuck: &mut Stuck) {
        match result {
            Ok(()) => {
                tracing::info!("{action}");
                self.failures.done(action, &self.parts.problems);
            }
            Err(error) => {
                stuck.note(action);
                self.failures.failed(action, error, now_ms(), &self.parts.problems);
            }
        }
    }

    /// Steps of one kind are for different units, so they may run at the same time.
    async fn carry_out_together(&self, actions: &[&Action]) -> Vec<Result<(), String>> {
        let start = |action: &&Action| {
            let (runtimes, action) = (self.parts.runtimes.clone(), Action::clone(action));
            // The step names the unit already.
            tokio::spawn(async move { runtimes.apply(&action).await.map_err(|error| error.reason().to_owned()) })
        };
        let started: Vec<_> = actions.iter().map(start).collect();
        let mut results = Vec::new();
        for task in started {
            results.push(task.await.unwrap_or_else(|error| Err(error.to_string())));
        }
        results
    }

    async fn carry_out_one(&self, action: &Action, unlisted: &BTreeSet<u32>) -> Result<(), String> {
        let parts = &self.parts;
        match action {
            Action::PublishNames { .. } => {
                let assignment = self.current.assignment.as_ref().ok_or("there is no assignment")?;
                let dns_ip = self.current.desired.as_ref().ok_or("there is no assignment")?.host.dns_ip;
                parts.names.lock().await.publish(assignment, dns_ip, unlisted)
            }
            action => {
                let netns = action.unit().and_then(|unit| parts.runtimes.namespace(unit));
                let mut kernel = parts.kernel.lock().await;
                let kernel = kernel.as_mut().ok_or("this host has left the fleet")?;
                kernel.apply(action, netns.as_deref()).await.map_err(|error| error.to_string())
            }
        }
    }
}

/// What later steps of this round wait for.
#[derive(Default)]
struct Stuck {
    units: BTreeSet<String>,
    names: bool,
}

impl Stuck {
    fn note(&mut self, action: &Action) {
        self.units.extend(action.unit().map(str::to_owned));
        self.names |= action.precedes_names();
    }

    fn holds(&self, action: &Action) -> bool {
        let is_names = matches!(action, Action::PublishNames { .. });
        (is_names && self.names) || action.unit().is_some_and(|unit| self.units.contains(unit))
    }
}
