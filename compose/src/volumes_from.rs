//! `volumes_from`: what another service mounts is mounted here too.

use std::collections::{BTreeMap, HashSet};

use remuda_api::engine::Mount;
use remuda_api::spec::StackSpec;

use crate::context::{Context, Taken};
use crate::field::Field;
use crate::keys;
use crate::problem::shown;

/// Most services that take over from each other in a row.
const CHAIN_MAX: usize = 16;
const EXPECTED: &str = "a list of services such as `- data` or `- data:ro`";

/// Notes `service[:ro]` for [`resolve`].
pub(crate) fn read(field: &Field, service: &str, context: &mut Context) {
    for item in field.items(EXPECTED, &mut context.report) {
        let Some(text) = item.line("a service such as `data`, or `data:ro`", &mut context.report) else {
            continue;
        };
        let (from, mode) = text.rsplit_once(':').unwrap_or((text, "rw"));
        if text.starts_with("container:") {
            let message = "takes over from a container that is no service: name the volumes under `volumes:`";
            item.problem(format!("{} {message}", shown(text)), &mut context.report);
        } else if !matches!(mode, "ro" | "rw") {
            let message = format!("unknown mode {} after the service: expected `ro` or `rw`", shown(mode));
            item.problem(message, &mut context.report);
        } else {
            let (from, to, is_read_only) = (from.to_owned(), service.to_owned(), mode == "ro");
            context.references.taken.push(Taken { from, to, is_read_only, place: item.place() });
        }
    }
}

/// Mounts what is taken over, from services that have got theirs first.
pub(crate) fn resolve(spec: &mut StackSpec, context: &mut Context) {
    let mut by_service: BTreeMap<String, Vec<Taken>> = BTreeMap::new();
    for taken in std::mem::take(&mut context.references.taken) {
        match spec.services.contains_key(&taken.from) {
            true => by_service.entry(taken.to.clone()).or_default().push(taken),
            false => report_unknown(&taken, spec, context),
        }
    }
    for _ in 0..CHAIN_MAX {
        let is_ready = |takes: &Vec<Taken>| takes.iter().all(|taken| !by_service.contains_key(&taken.from));
        let ready: Vec<String> =
            by_service.iter().filter(|(_, takes)| is_ready(takes)).map(|(name, _)| name.clone()).collect();
        for taken in ready.iter().filter_map(|name| by_service.remove(name)).flatten() {
            if !take(&taken, spec, context) {
                return context.report.problem(taken.place, "takes over too many volumes: use fewer");
            }
        }
    }
    for taken in by_service.into_values().flatten() {
        let message = format!(
            "takes over from {}, which waits for what is here, or for more than {CHAIN_MAX} others: remove one of them",
            shown(&taken.from)
        );
        context.report.problem(taken.place, message);
    }
}

/// False when it would be too much.
fn take(taken: &Taken, spec: &mut StackSpec, context: &mut Context) -> bool {
    let Some(from) = spec.services.get(&taken.from) else { return true };
    let is_shared = |mount: &&Mount| !mount.source.is_empty();
    let shared = || from.engine.mounts.iter().filter(is_shared);
    let weight = shared().map(|mount| mount.source.len() + mount.target.len() + size_of::<Mount>()).sum();
    if !context.spend(weight) {
        return false;
    }
    let mounts: Vec<Mount> = shared().cloned().collect();
    if mounts.len() < from.engine.mounts.len() || mounts.is_empty() {
        let message = format!(
            "volumes without a name are not shared by `volumes_from`: name those of {} under the top-level `volumes:`",
            shown(&taken.from)
        );
        context.report.notice(taken.place.clone(), message);
    }
    let Some(to) = spec.services.get_mut(&taken.to) else { return true };
    // What the service mounts itself wins, as in Docker.
    let own: HashSet<String> = to.engine.mounts.iter().map(|own| own.target.clone()).collect();
    let mounts = mounts.into_iter().filter(|mount| !own.contains(&mount.target));
    let mounts = mounts.map(|mount| Mount { read_only: mount.read_only || taken.is_read_only, ..mount });
    to.engine.mounts.extend(mounts);
    true
}

fn report_unknown(taken: &Taken, spec: &StackSpec, context: &mut Context) {
    if context.report.is_full() {
        return;
    }
    let advice = match keys::nearest(&taken.from, spec.services.keys().map(String::as_str)) {
        Some(near) => format!("did you mean {}?", shown(near)),
        None => "add it, or name the volumes under `volumes:`".to_owned(),
    };
    context.report.problem(taken.place.clone(), format!("unknown service {}: {advice}", shown(&taken.from)));
}
