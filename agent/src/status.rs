//! What the fleet is told about each container of this host.

use std::collections::BTreeMap;

use remuda_api::link::ContainerStatus;

use crate::desired::{Desired, DesiredUnit};
use crate::observed::{Unit, UnitState, Verdict};
use crate::plan::comes_back;

/// One status per container that is wanted here or still exists here, by name.
/// `failing` says, by unit, why a step for it fails again and again.
pub fn statuses(
    desired: &Desired,
    units: &BTreeMap<String, Unit>,
    failing: &BTreeMap<String, String>,
) -> Vec<ContainerStatus> {
    let wanted = desired.units.iter().map(|(name, unit)| (name, Some(unit), units.get(name)));
    let surplus = units.iter().filter(|(name, _)| !desired.units.contains_key(*name));
    let all = wanted.chain(surplus.map(|(name, unit)| (name, None, Some(unit))));
    let mut all: Vec<_> = all.map(|(name, wanted, unit)| status(name, wanted, unit, failing.get(name))).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn status(name: &str, desired: Option<&DesiredUnit>, unit: Option<&Unit>, failing: Option<&String>) -> ContainerStatus {
    let (state, reason) = match (state(desired, unit), failing) {
        (("pending" | "starting", _), Some(failing)) => ("failed", failing.clone()),
        ((state, reason), Some(failing)) if reason.is_empty() => (state, failing.clone()),
        (told, _) => told,
    };
    let asked = unit.filter(|_| desired.is_some_and(|desired| desired.health_command.is_some()));
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

fn state(desired: Option<&DesiredUnit>, unit: Option<&Unit>) -> (&'static str, String) {
    let is_wanted = desired.is_some_and(|desired| !desired.stop);
    let Some(unit) = unit else {
        return (if is_wanted { "pending" } else { "stopped" }, String::new());
    };
    match &unit.state {
        UnitState::Created if is_wanted => ("starting", String::new()),
        // Stopped is said when nothing of it is left: its name may be given to another one then.
        UnitState::Created => ("stopping", String::new()),
        UnitState::Running { .. } => ("running", String::new()),
        UnitState::Stopping { .. } => ("stopping", String::new()),
        UnitState::Exited { .. } | UnitState::Failed { .. } if !is_wanted => ("stopping", String::new()),
        UnitState::Exited { code: 0, .. } if desired.is_some_and(|d| !comes_back(d.restart, 0)) => {
            ("complete", String::new())
        }
        UnitState::Exited { code, reason } if reason.is_empty() => ("failed", format!("exited with code {code}")),
        UnitState::Exited { reason, .. } => ("failed", reason.clone()),
        UnitState::Failed { reason } => ("failed", reason.clone()),
    }
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
            state: UnitState::Exited { code: 0, reason: String::new() },
            restarts: 0,
            started_ms: 1,
            exited_ms: 2,
            plugged: false,
            health: Health::default(),
        };
        let assignment = crate::desired::tests::two_hosts();
        let mut wanted = crate::desired::desired(&assignment, &[]).expect("valid").units["shop-web-1"].clone();
        assert_eq!(state(Some(&wanted), Some(&unit)).0, "failed");
        wanted.restart = crate::desired::Restart::OnFailure;
        assert_eq!(state(Some(&wanted), Some(&unit)).0, "complete");
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
                plugged: true,
                health: Health { verdict, reason: reason.into() },
            };
            let units = BTreeMap::from([(unit.name.clone(), unit)]);
            let status = statuses(&desired, &units, &BTreeMap::new()).remove(0);
            (status.state, status.health, status.reason)
        };
        let words = |state: &str, health: &str, reason: &str| (state.to_owned(), health.to_owned(), reason.to_owned());
        assert_eq!(told(Verdict::Initializing, ""), words("running", "initializing", ""));
        assert_eq!(told(Verdict::Healthy, ""), words("running", "healthy", ""));
        let reason = "healthcheck exited with code 1";
        assert_eq!(told(Verdict::Unhealthy, reason), words("running", "unhealthy", reason));
    }
}
