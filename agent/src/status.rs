//! What the fleet is told about each container of this host.

use std::collections::BTreeMap;

use remuda_api::link::ContainerStatus;

use crate::desired::{Desired, DesiredUnit};
use crate::observed::{Unit, UnitState, Verdict};
use crate::plan::{History, comes_back, drains};

/// The orchestrator keeps this much of a reason.
const REASON_MAX_BYTES: usize = 1_024;
const LAST_LINES: &str = "\nlast lines:";

/// One status per container that is wanted here or still exists here, by name.
/// `failing` says, by unit, why a step for it fails again and again; `history`, how long each waits between starts.
pub fn statuses(
    desired: &Desired,
    units: &BTreeMap<String, Unit>,
    failing: &BTreeMap<String, String>,
    history: &History,
) -> Vec<ContainerStatus> {
    let wanted = desired.units.iter().map(|(name, unit)| (name, Some(unit), units.get(name)));
    let surplus = units.iter().filter(|(name, _)| !desired.units.contains_key(*name));
    let all = wanted.chain(surplus.map(|(name, unit)| (name, None, Some(unit))));
    let one = |(name, wanted, unit): (&String, Option<&DesiredUnit>, Option<&Unit>)| {
        status(name, wanted, unit, failing.get(name), Next::of(name, wanted, history))
    };
    let mut all: Vec<_> = all.map(one).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// What follows the end of a unit that may come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Start {
        wait_ms: u64,
    },
    /// It was started again this often, in vain.
    Never {
        attempts: u32,
    },
}

impl Next {
    fn of(name: &str, wanted: Option<&DesiredUnit>, history: &History) -> Next {
        let limits = wanted.map(|wanted| wanted.limits).unwrap_or_default();
        let attempts = history.given_up_after(name, &limits);
        attempts.map_or_else(
            || Next::Start { wait_ms: history.wait_ms(name, &limits) },
            |attempts| Next::Never { attempts },
        )
    }
}

fn status(
    name: &str,
    desired: Option<&DesiredUnit>,
    unit: Option<&Unit>,
    failing: Option<&String>,
    next: Next,
) -> ContainerStatus {
    let (state, reason) = match (state(desired, unit, next), failing) {
        (("pending" | "starting", _), Some(failing)) => ("failed", failing.clone()),
        ((state, reason), Some(failing)) if reason.is_empty() => (state, failing.clone()),
        (told, _) => told,
    };
    let asked = unit.filter(|unit| desired.is_some_and(|desired| desired.is_asked(unit)));
    let (health, reason) = match (state, asked.map(|unit| &unit.health)) {
        ("running", Some(health)) => {
            (verdict(health.verdict), if reason.is_empty() { health.reason.clone() } else { reason })
        }
        _ => (health(state), reason),
    };
    let pid = match unit.map(|unit| &unit.state) {
        Some(UnitState::Running { pid } | UnitState::Stopping { pid }) => *pid,
        _ => 0,
    };
    let exit_code = match unit.map(|unit| &unit.state) {
        Some(UnitState::Exited { code, .. }) => *code,
        _ => 0,
    };
    ContainerStatus {
        name: name.to_owned(),
        health: health.to_owned(),
        state: state.to_owned(),
        reason,
        pid,
        restarts: unit.map_or(0, |unit| unit.restarts),
        exit_code,
        started: unit.filter(|unit| unit.started_ms != 0).map_or_else(String::new, |unit| rfc3339(unit.started_ms)),
        spec_revision: unit.map_or(0, |unit| unit.spec_revision),
    }
}

fn state(desired: Option<&DesiredUnit>, unit: Option<&Unit>, next: Next) -> (&'static str, String) {
    let is_wanted = desired.is_some_and(|desired| !desired.stop);
    let Some(unit) = unit else {
        return (if is_wanted { "pending" } else { "stopped" }, String::new());
    };
    match &unit.state {
        UnitState::Working { what } if is_wanted => ("starting", what.clone()),
        UnitState::Working { .. } => ("stopping", String::new()),
        UnitState::Created if is_wanted => ("starting", String::new()),
        // Stopped is said when nothing of it is left: its name may be given to another one then.
        UnitState::Created => ("stopping", String::new()),
        UnitState::Running { .. } if desired.is_some_and(|wanted| drains(wanted, unit)) => ("draining", String::new()),
        UnitState::Running { .. } if desired.is_some_and(|wanted| wanted.stop) => ("stopping", String::new()),
        UnitState::Running { .. } => ("running", String::new()),
        UnitState::Stopping { .. } => ("stopping", String::new()),
        UnitState::Exited { .. } | UnitState::Failed { .. } if !is_wanted => ("stopping", String::new()),
        UnitState::Exited { code: 0, .. } if desired.is_some_and(|d| !comes_back(d.restart, 0)) => {
            ("complete", String::new())
        }
        UnitState::Exited { code: 0, .. } if matches!(next, Next::Never { .. }) => ("complete", String::new()),
        UnitState::Exited { code, reason, lines } => {
            let why = if reason.is_empty() { format!("exited with code {code}") } else { reason.clone() };
            ("failed", failure(why, lines, next))
        }
        UnitState::Failed { reason } => ("failed", failure(reason.clone(), &[], next)),
    }
}

/// Why a unit does not run, when it is started next, and below that its last words, as many as fit.
fn failure(why: String, lines: &[String], next: Next) -> String {
    let mut text = match next {
        Next::Never { attempts: 1 } => format!("gave up after 1 attempt: {why}"),
        Next::Never { attempts } => format!("gave up after {attempts} attempts: {why}"),
        Next::Start { wait_ms: 0 } => why,
        Next::Start { wait_ms } => {
            format!("{why} (next start after {}.{} s)", wait_ms / 1000, wait_ms % 1000 / 100)
        }
    };
    let mut room_bytes = REASON_MAX_BYTES.saturating_sub(text.len() + LAST_LINES.len());
    let fits = |line: &&String| {
        let fits = line.len() < room_bytes;
        room_bytes = room_bytes.saturating_sub(line.len() + 1);
        fits
    };
    let mut last: Vec<&str> = lines.iter().rev().take_while(fits).map(String::as_str).collect();
    // A single one is in the reason already.
    if last.len() > 1 {
        last.reverse();
        text.push_str(LAST_LINES);
        last.iter().for_each(|line| text.extend(["\n", line]));
    }
    text
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Initializing => "initializing",
        Verdict::Healthy => "healthy",
        Verdict::Unhealthy => "unhealthy",
    }
}

/// Without a check, running is healthy.
fn health(state: &str) -> &'static str {
    match state {
        "running" | "draining" | "stopping" | "complete" => "healthy",
        "failed" => "unhealthy",
        _ => "initializing",
    }
}

/// `2026-11-20T10:00:00.000Z` of Unix milliseconds (civil calendar after Howard Hinnant's `civil_from_days`).
pub fn rfc3339(unix_ms: u64) -> String {
    let (days, ms_of_day) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (ms_of_day / 3_600_000, ms_of_day / 60_000 % 60);
    let (second, ms) = (ms_of_day / 1000 % 60, ms_of_day % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use remuda_api::health::HealthCommand;

    use super::*;
    use crate::observed::Health;

    #[test]
    fn times_are_shown_as_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_709_210_096_789), "2024-02-29T12:34:56.789Z");
    }

    #[test]
    fn a_container_that_ended_well_and_stays_so_is_complete_and_one_that_will_be_restarted_has_failed() {
        let unit = Unit {
            name: "a".into(),
            spec_revision: 1,
            ip: None,
            state: UnitState::Exited { code: 0, reason: String::new(), lines: vec![] },
            restarts: 0,
            started_ms: 1,
            exited_ms: 2,
            can_start: true,
            plugged: false,
            health: Health::default(),
            image_health: None,
        };
        let assignment = crate::desired::tests::two_hosts();
        let mut wanted = crate::desired::desired(&assignment, &[]).expect("valid").units["shop-web-1"].clone();
        assert_eq!(state(Some(&wanted), Some(&unit), Next::Start { wait_ms: 0 }).0, "failed");
        wanted.restart = crate::desired::Restart::OnFailure;
        assert_eq!(state(Some(&wanted), Some(&unit), Next::Start { wait_ms: 0 }).0, "complete");
    }

    #[test]
    fn the_health_of_a_running_container_is_what_its_command_says() {
        let mut assignment = crate::desired::tests::two_hosts();
        assignment.containers[0].health_command = Some(HealthCommand::new(vec!["true".into()]));
        let desired = crate::desired::desired(&assignment, &[]).expect("valid");
        let told = |verdict: Verdict, reason: &str| {
            let unit = Unit {
                name: "shop-web-1".into(),
                spec_revision: 1,
                ip: None,
                state: UnitState::Running { pid: 9 },
                restarts: 0,
                started_ms: 1,
                exited_ms: 0,
                can_start: true,
                plugged: true,
                health: Health { verdict, reason: reason.into() },
                image_health: None,
            };
            let units = BTreeMap::from([(unit.name.clone(), unit)]);
            let status = statuses(&desired, &units, &BTreeMap::new(), &History::default()).remove(0);
            (status.state, status.health, status.reason)
        };
        let words = |state: &str, health: &str, reason: &str| (state.to_owned(), health.to_owned(), reason.to_owned());
        assert_eq!(told(Verdict::Initializing, ""), words("running", "initializing", ""));
        assert_eq!(told(Verdict::Healthy, ""), words("running", "healthy", ""));
        let reason = "exited with code 1";
        assert_eq!(told(Verdict::Unhealthy, reason), words("running", "unhealthy", reason));
    }

    #[test]
    fn a_crash_loop_says_why_when_it_goes_on_and_the_last_lines_that_fit() {
        let lines: Vec<String> = (1..=3).map(|n| format!("attempt {n}")).collect();
        let text = failure("exited with code 3: attempt 3".into(), &lines, Next::Start { wait_ms: 6_400 });
        let expected =
            "exited with code 3: attempt 3 (next start after 6.4 s)\nlast lines:\nattempt 1\nattempt 2\nattempt 3";
        assert_eq!(text, expected);
        let text = failure("exited with code 3".into(), &[], Next::Never { attempts: 3 });
        assert_eq!(text, "gave up after 3 attempts: exited with code 3");
        assert_eq!(failure("killed by SIGSEGV".into(), &[], Next::Start { wait_ms: 0 }), "killed by SIGSEGV");
        let long: Vec<String> = (0..10).map(|n| format!("{n}{}", "ä".repeat(99))).collect();
        let text = failure("exited with code 3".into(), &long, Next::Start { wait_ms: 100 });
        assert!(text.len() <= REASON_MAX_BYTES && text.ends_with(&long[9]) && !text.contains(&long[4]), "{text}");
        assert!(text.contains(&long[6]), "four of 199 bytes fit");
    }

    #[test]
    fn a_unit_that_is_to_stop_drains_if_it_may_and_else_stops() {
        let mut assignment = crate::desired::tests::two_hosts();
        assignment.containers[0].stop = true;
        let units = crate::desired::tests::web_1(UnitState::Running { pid: 9 }, 1);
        let mut told = |drain_ms: u64| {
            assignment.containers[0].drain_ms = drain_ms;
            let desired = crate::desired::desired(&assignment, &[]).expect("valid");
            let status = statuses(&desired, &units, &BTreeMap::new(), &History::default()).remove(0);
            (status.state, status.health)
        };
        assert_eq!(told(10_000), ("draining".to_owned(), "healthy".to_owned()));
        assert_eq!(told(0), ("stopping".to_owned(), "healthy".to_owned()));
    }
}
