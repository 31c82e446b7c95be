//! How a container is by the check its image brings (`HEALTHCHECK`), which the engine runs itself.

use bollard::models::{self, HealthStatusEnum};

use crate::observed::{Health, Verdict};

/// How much of what the check said last goes into a reason.
const REASON_MAX_CHARS: usize = 200;

/// None if the engine runs no check of this container.
pub(super) fn health(told: Option<&models::Health>) -> Option<Health> {
    let told = told?;
    match told.status? {
        HealthStatusEnum::STARTING => Some(Health { verdict: Verdict::Initializing, reason: String::new() }),
        HealthStatusEnum::HEALTHY => Some(Health { verdict: Verdict::Healthy, reason: String::new() }),
        HealthStatusEnum::UNHEALTHY => Some(Health { verdict: Verdict::Unhealthy, reason: reason(told) }),
        HealthStatusEnum::NONE | HealthStatusEnum::EMPTY => None,
    }
}

/// Of the last check: its code and what it said last.
fn reason(told: &models::Health) -> String {
    let Some(last) = told.log.as_ref().and_then(|log| log.last()) else { return String::new() };
    let output = last.output.as_deref().unwrap_or_default();
    let line = output.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let line: String = line.chars().filter(|c| !c.is_control()).take(REASON_MAX_CHARS).collect();
    match last.exit_code.unwrap_or_default() {
        // The engine's own words: `Health check exceeded timeout (3s)`.
        code if code < 0 => line,
        code if line.is_empty() => format!("exited with code {code}"),
        code => format!("exited with code {code}: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::HealthcheckResult;

    use super::*;

    fn told(status: HealthStatusEnum, exit_code: i64, output: &str) -> Option<Health> {
        let result =
            HealthcheckResult { exit_code: Some(exit_code), output: Some(output.into()), ..Default::default() };
        health(Some(&models::Health { status: Some(status), failing_streak: Some(1), log: Some(vec![result]) }))
    }

    #[test]
    fn the_engines_word_is_the_verdict_and_the_last_line_the_reason() {
        let unwell = |reason: &str| Some(Health { verdict: Verdict::Unhealthy, reason: reason.into() });
        assert_eq!(told(HealthStatusEnum::UNHEALTHY, 1, "one\nno route\n\n"), unwell("exited with code 1: no route"));
        assert_eq!(
            told(HealthStatusEnum::UNHEALTHY, -1, "Health check exceeded timeout (3s)"),
            unwell("Health check exceeded timeout (3s)")
        );
        assert_eq!(
            told(HealthStatusEnum::HEALTHY, 0, "fine"),
            Some(Health { verdict: Verdict::Healthy, reason: String::new() })
        );
        assert_eq!(told(HealthStatusEnum::STARTING, 0, ""), Some(Health::default()));
    }

    #[test]
    fn an_image_without_a_check_says_nothing() {
        assert_eq!((health(None), told(HealthStatusEnum::NONE, 0, "")), (None, None));
    }
}
