//! Verdicts and alarms as sentences an operator could read aloud.

use remuda_api::resource::HostState;

use super::{Alarm, Cause, Verdict};
use crate::state::Loss;

/// Of a host known from before this server started.
pub const AWAITED: &str = "has not reported since the server started";

/// Why host `name` is in its state; empty = it is ready.
pub fn reason(verdict: &Verdict, name: &str, name_of: impl Fn(u32) -> String) -> String {
    let consequence = match verdict.loss {
        Loss::None => String::new(),
        Loss::Lost => "; what ran there is placed elsewhere".into(),
        Loss::Held => format!("; too many hosts went at once: nothing moves before `remuda host rm --dead {name}`"),
    };
    finding(verdict, name_of) + &consequence
}

fn finding(verdict: &Verdict, name_of: impl Fn(u32) -> String) -> String {
    let mut names: Vec<String> = verdict.witnesses.iter().map(|node_id| name_of(*node_id)).collect();
    names.sort_unstable();
    let (age, who) = (seconds(verdict.lease_age_ms), list(&names));
    match verdict.cause {
        Cause::Reports => String::new(),
        Cause::Awaited => AWAITED.into(),
        Cause::Returning => "reports again, and has not applied its assignment yet".into(),
        Cause::AgentCutOff => {
            format!("no report for {age}; its agent answers {who} and has no connection to the server")
        }
        Cause::AgentGone => format!("no report for {age}; its kernel answers {who}, its agent answers nobody"),
        Cause::Silent if verdict.state == HostState::Suspect => format!("no sign of life; last report {age} ago"),
        Cause::Silent if names.is_empty() => format!("no report for {age}, and no other host hears of it"),
        Cause::Silent => format!("no report for {age}; {who} cannot reach its endpoint"),
    }
}

/// Kind, the host it is about if it is about one, and message of an alarm's event.
pub fn alarm(alarm: &Alarm, name_of: impl Fn(u32) -> String) -> (&'static str, Option<u32>, String) {
    match alarm {
        Alarm::Brake { node_ids } => {
            let names: Vec<String> = node_ids.iter().map(|node_id| name_of(*node_id)).collect();
            let message = format!(
                "{} are silent, more than half of the fleet within a minute: nothing moves before \
                 `remuda host rm --dead NAME` says that a host will not come back",
                list(&names)
            );
            ("brake", None, message)
        }
        Alarm::AgentGone { node_id, silent_ms } => {
            let message =
                format!("its agent is silent for {}: what ran there is placed elsewhere", seconds(*silent_ms));
            ("control-lost", Some(*node_id), message)
        }
        Alarm::AgentCutOff { node_id, silent_ms } => {
            let message = format!(
                "its agent lives and has not reached the server for {}: nothing moves, nothing new is placed there",
                seconds(*silent_ms)
            );
            ("control-lost", Some(*node_id), message)
        }
    }
}

/// `h2`, `h2 and h4`, `h2, h3 and h4`.
fn list(names: &[String]) -> String {
    match names {
        [] => "other hosts".into(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn seconds(ms: u64) -> String {
    if ms < 60_000 { format!("{}.{} s", ms / 1000, ms % 1000 / 100) } else { format!("{} min", ms / 60_000) }
}
