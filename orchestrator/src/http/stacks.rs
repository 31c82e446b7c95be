//! `/v1/stacks`: what is declared, whole stacks at a time.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};
use remuda_api::resource::{Problem, Stack, StackApplied, StackApply};

use super::Refusal;
use super::auth::Caller;
use super::problem::Body;
use crate::fleet::Fleet;
use crate::{accept, declare, difference, state, view};

/// All stacks.
#[utoipa::path(get, path = "/v1/stacks", tag = "stacks", responses((status = 200, body = [Stack])))]
pub async fn list(State(fleet): State<Arc<Fleet>>) -> Json<Vec<Stack>> {
    let state = fleet.state();
    Json(state.stacks.values().map(|stack| view::stack(&state, stack)).collect())
}

/// One stack.
#[utoipa::path(get, path = "/v1/stacks/{stack}", tag = "stacks", params(("stack" = String, Path,)),
    responses((status = 200, body = Stack), (status = 404, body = Problem)))]
pub async fn show(State(fleet): State<Arc<Fleet>>, Path(name): Path<String>) -> Result<Json<Stack>, Refusal> {
    let state = fleet.state();
    let stack = state.stacks.get(&name).ok_or_else(|| Refusal::not_found("stack", &name))?;
    Ok(Json(view::stack(&state, stack)))
}

/// Makes a stack what the spec says; durable when answered. Refused with everything that is wrong.
#[utoipa::path(put, path = "/v1/stacks/{stack}", tag = "stacks", params(("stack" = String, Path,)),
    request_body = StackApply,
    responses((status = 200, body = StackApplied), (status = 422, body = Problem)))]
pub async fn apply(
    State(fleet): State<Arc<Fleet>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Body(wish): Body<StackApply>,
) -> Result<Json<StackApplied>, Refusal> {
    if wish.dry_run {
        let held = fleet.state();
        // As a change would begin: what it does must not look as if it had been so in this revision.
        let mut draft = state::State { revision: held.revision + 1, ..(*held).clone() };
        let declared = declare_stack(&mut draft, &name, &wish, &caller)?;
        let services = difference::stack(&held, &draft, &name, &wish.spec);
        return Ok(Json(StackApplied { services, ..applied(held.revision, declared) }));
    }
    let outcome = fleet.change(move |state, now_ms| {
        let before = state.clone();
        let declared = declare_stack(state, &name, &wish, &caller)?;
        let services = difference::stack(&before, state, &name, &wish.spec);
        if !declared.changes.is_empty() {
            for (service, power) in accept::powers(state, &wish.spec) {
                let message = format!("{}; declared with key {}", power.words, caller.key);
                state.record(now_ms, "host-access", format!("{name}/{service}"), message);
            }
            state.record(now_ms, "stack-applied", name, declared.changes.join("; "));
        }
        Ok::<_, Refusal>((declared, services))
    });
    let ((declared, services), generation) = outcome.await?;
    Ok(Json(StackApplied { services, ..applied(generation, declared) }))
}

/// Removes a stack: its services turn `removing`, stop, and vanish.
#[utoipa::path(delete, path = "/v1/stacks/{stack}", tag = "stacks", params(("stack" = String, Path,)),
    responses((status = 200, body = StackApplied), (status = 404, body = Problem)))]
pub async fn remove(State(fleet): State<Arc<Fleet>>, Path(name): Path<String>) -> Result<Json<StackApplied>, Refusal> {
    let outcome = fleet.change(move |state, now_ms| {
        let declared = declare::remove_stack(state, &name).ok_or_else(|| Refusal::not_found("stack", &name))?;
        state.record(now_ms, "stack-removed", name, declared.changes.join("; "));
        Ok::<_, Refusal>(declared)
    });
    let (declared, generation) = outcome.await?;
    Ok(Json(applied(generation, declared)))
}

fn declare_stack(
    state: &mut state::State,
    name: &str,
    wish: &StackApply,
    caller: &Caller,
) -> Result<declare::Declared, Refusal> {
    let mut faults = accept::stack(state, name, &wish.spec, wish.prune);
    if !caller.host_access {
        faults.extend(accept::without_host_access(state, &wish.spec, wish.prune));
    }
    if !faults.is_empty() {
        return Err(Refusal::invalid(faults));
    }
    let mut warnings = accept::warnings(state, &wish.spec);
    let declared = declare::stack(state, &wish.spec, wish.prune).map_err(Refusal::invalid)?;
    warnings.extend(view::resting(state, name));
    Ok(declare::Declared { warnings, ..declared })
}

pub(super) fn applied(generation: u64, declared: declare::Declared) -> StackApplied {
    StackApplied {
        generation,
        changes: declared.changes,
        surplus: declared.surplus,
        warnings: declared.warnings,
        services: Vec::new(),
    }
}
