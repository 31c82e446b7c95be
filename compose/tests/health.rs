//! Health checks in both forms: what they mean, and what their author is told when they are wrong.

mod common;

use common::{notices, problems, web, web_file};
use remuda_api::health::{HealthCheck, HealthCommand, Strategy};

fn command(argv: &[&str]) -> HealthCommand {
    HealthCommand::new(argv.iter().map(|word| (*word).to_owned()).collect())
}

#[test]
fn a_command_comes_as_a_line_for_the_shell_or_as_a_list() {
    let shell = command(&["/bin/sh", "-c", "curl -f http://localhost || exit 1"]);
    for (test, expected) in [
        ("curl -f http://localhost || exit 1", &shell),
        ("[CMD-SHELL, 'curl -f http://localhost || exit 1']", &shell),
        ("[CMD, curl, -f, 'http://localhost']", &command(&["curl", "-f", "http://localhost"])),
        ("[CMD, test, '8', -gt, 7]", &command(&["test", "8", "-gt", "7"])),
    ] {
        let service = web(&format!("healthcheck:\n  test: {test}"));
        assert_eq!(service.healthcheck.as_ref(), Some(expected), "{test}");
    }
}

#[test]
fn every_time_of_a_command_is_read_and_absent_ones_are_composes() {
    let service = web("healthcheck:
  test: [CMD, 'true']
  interval: 1m30s
  timeout: 10s
  retries: '5'
  start_period: 1h
  start_interval: 500ms");
    let expected = HealthCommand {
        interval_ms: 90_000,
        timeout_ms: 10_000,
        retries: 5,
        start_period_ms: 3_600_000,
        start_interval_ms: 500,
        ..command(&["true"])
    };
    assert_eq!(service.healthcheck, Some(expected));
    let plain = web("healthcheck: {test: [CMD, 'true']}").healthcheck.expect("a command");
    assert_eq!((plain.interval_ms, plain.timeout_ms, plain.retries), (30_000, 30_000, 3));
    assert_eq!((plain.start_period_ms, plain.start_interval_ms), (0, 5_000));
}

#[test]
fn a_command_is_switched_off_in_three_ways() {
    for off in
        ["{test: NONE}", "{test: [NONE]}", "{disable: true}", "{test: [CMD, x], interval: 5s, disable: true}", ""]
    {
        assert_eq!(web(&format!("healthcheck: {off}")).healthcheck, None, "{off}");
    }
    assert!(web("healthcheck: {test: [CMD, x], disable: false}").healthcheck.is_some());
}

#[test]
fn a_check_that_only_the_image_could_name_is_noted() {
    let said = notices(&web_file("healthcheck: {interval: 5s}"));
    assert!(said.len() == 1 && said[0].starts_with("4:5: services.web.healthcheck: has no `test:`"), "{said:?}");
    assert_eq!(notices(&web_file("healthcheck: {test: [CMD, x]}")), Vec::<String>::new());
}

#[test]
fn a_check_from_outside_has_ranchers_fields_and_defaults() {
    let of = |keys: &str| web(&format!("x-remuda:\n  health_check: {keys}")).health_check.expect("a check");
    assert_eq!(of("{port: 80}"), HealthCheck { port: 80, ..HealthCheck::default() });
    let full = of("{port: '8080', request_line: 'GET \"/ping\" \"HTTP/1.0\"', interval: 500, response_timeout: 250,
      healthy_threshold: 1, unhealthy_threshold: 4, initializing_timeout: 5000, reinitializing_timeout: 6000, name: web,
      strategy: recreateOnQuorum, recreate_on_quorum_strategy_config: {quorum: 2}}");
    let expected = HealthCheck {
        port: 8_080,
        request_line: Some("GET /ping HTTP/1.0".into()),
        interval_ms: 500,
        response_timeout_ms: 250,
        healthy_threshold: 1,
        unhealthy_threshold: 4,
        initializing_timeout_ms: 5_000,
        reinitializing_timeout_ms: 6_000,
        strategy: Strategy::RecreateOnQuorum { quorum: 2 },
    };
    assert_eq!(full, expected);
    assert_eq!(of("{port: 80, strategy: none}").strategy, Strategy::None);
    assert_eq!(of("{port: 80, strategy: recreate, request_line: ''}").request_line, None);
}

#[test]
fn a_drain_timeout_is_milliseconds_and_may_be_none() {
    assert_eq!(web("").drain_timeout_ms, 10_000);
    assert_eq!(web("x-remuda: {drain_timeout_ms: 0}").drain_timeout_ms, 0);
    assert_eq!(web("x-remuda: {drain_timeout_ms: 90000}").drain_timeout_ms, 90_000);
}

#[test]
fn a_quorum_that_can_never_be_met_is_noted() {
    let file = |replicas: &str, quorum: u32| {
        let check = format!(
            "{{port: 80, strategy: recreateOnQuorum, recreate_on_quorum_strategy_config: {{quorum: {quorum}}}}}"
        );
        notices(&web_file(&format!("{replicas}\nx-remuda: {{health_check: {check}}}")))
    };
    let said = file("scale: 3", 3);
    assert!(said.len() == 1 && said[0].contains("quorum 3 of 3 containers is never met"), "{said:?}");
    assert_eq!(file("scale: 3", 2), Vec::<String>::new());
    assert_eq!(file("", 5), Vec::<String>::new(), "a scale set by hand is not known here");
}

/// The problem of `keys` begins with `start` (its place and field) and contains `part`.
fn assert_refused(keys: &str, start: &str, part: &str) {
    let found = problems(&web_file(keys));
    assert!(found.len() == 1 && found[0].starts_with(start) && found[0].contains(part), "{keys}: {found:#?}");
}

#[test]
fn wrong_commands_are_refused_at_their_place() {
    let at = "services.web.healthcheck";
    for (value, column, field, part) in [
        ("[x]", 18, "", "expected a map with `test:`, found a list"),
        ("{test: ''}", 25, ".test", "is empty"),
        ("{test: []}", 25, ".test", "is empty: expected a command line for the shell"),
        ("{test: }", 23, ".test", "found nothing"),
        ("{test: {a: b}}", 25, ".test", "found a map"),
        ("{test: [curl, x]}", 25, ".test", "found `curl`: put CMD before the program"),
        ("{test: [CDM, x]}", 25, ".test", "did you mean `CMD`?"),
        ("{test: [CMD]}", 25, ".test", "names no program"),
        ("{test: [CMD, '']}", 25, ".test", "names no program"),
        ("{test: [CMD, [x]]}", 31, ".test[1]", "an argument (text), found a list"),
        ("{test: [CMD-SHELL, a, b]}", 25, ".test", "one command line"),
        ("{test: [CMD-SHELL, ' ']}", 25, ".test", "one command line"),
        ("{test: [NONE, CMD, x]}", 25, ".test", "takes no command"),
        ("{test: NONE, interval: 5s}", 31, ".interval", "`test: NONE` switches the check off"),
        ("{test: [CMD, \"a\\0b\"]}", 25, ".test", "zero byte"),
        ("{test: [CMD, x], interval: 0s}", 45, ".interval", "from 100 ms up to 1 h, found `0s`"),
        ("{test: [CMD, x], interval: -5s}", 45, ".interval", "found `-5s`"),
        ("{test: [CMD, x], interval: 5}", 45, ".interval", "a duration with a unit"),
        ("{test: [CMD, x], interval: 2h}", 45, ".interval", "up to 1 h"),
        ("{test: [CMD, x], interval: 99999999999999999999h}", 45, ".interval", "a duration"),
        ("{test: [CMD, x], timeout: 0s}", 44, ".timeout", "from 10 ms up to 1 h"),
        ("{test: [CMD, x], start_interval: 1ms}", 51, ".start_interval", "from 100 ms"),
        ("{test: [CMD, x], start_period: 25h}", 49, ".start_period", "up to 24 h"),
        ("{test: [CMD, x], retries: 0}", 44, ".retries", "from 1 to 100, found `0`"),
        ("{test: [CMD, x], retries: -1}", 44, ".retries", "found `-1`"),
        ("{test: [CMD, x], retries: 4294967297}", 44, ".retries", "from 1 to 100"),
        ("{test: [CMD, x], disable: maybe}", 44, ".disable", "`true` or `false`"),
        ("{test: [CMD, x], intervall: 5s}", 35, ".intervall", "did you mean `interval`?"),
    ] {
        assert_refused(&format!("healthcheck: {value}"), &format!("4:{column}: {at}{field}: "), part);
    }
}

#[test]
fn wrong_checks_from_outside_are_refused_at_their_place() {
    let at = "services.web.x-remuda.health_check";
    for (value, column, field, part) in [
        ("tcp", 19, "", "expected a map with `port:`, found `tcp`"),
        ("{}", 5, "", "has no `port:`"),
        ("", 5, "", "has no `port:`"),
        ("{port: 0}", 26, ".port", "from 1 to 65535, found `0`"),
        ("{port: 65536}", 26, ".port", "from 1 to 65535"),
        ("{port: -80}", 26, ".port", "found `-80`"),
        ("{port: http}", 26, ".port", "found `http`"),
        ("{port: 80, interval: 0}", 40, ".interval", "milliseconds, a whole number from 100 to 3600000, found `0`"),
        ("{port: 80, interval: 2s}", 40, ".interval", "milliseconds"),
        ("{port: 80, interval: -1}", 40, ".interval", "found `-1`"),
        ("{port: 80, interval: 18446744073709551616}", 40, ".interval", "milliseconds"),
        ("{port: 80, response_timeout: 2}", 48, ".response_timeout", "from 10 to 3600000"),
        ("{port: 80, healthy_threshold: 0}", 49, ".healthy_threshold", "from 1 to 100"),
        ("{port: 80, unhealthy_threshold: 101}", 51, ".unhealthy_threshold", "from 1 to 100"),
        ("{port: 80, initializing_timeout: 60}", 52, ".initializing_timeout", "from 1000 to 86400000"),
        ("{port: 80, reinitializing_timeout: 1e9}", 54, ".reinitializing_timeout", "found `1e9`"),
        (
            "{port: 80, strategy: restart}",
            40,
            ".strategy",
            "`none` or `recreate` or `recreateOnQuorum`, found `restart`",
        ),
        ("{port: 80, strategy: recreateOnQuorum}", 40, ".strategy", "needs `recreate_on_quorum_strategy_config"),
        (
            "{port: 80, recreate_on_quorum_strategy_config: {quorum: 1}}",
            30,
            ".recreate_on_quorum_strategy_config",
            "goes with `strategy: recreateOnQuorum` only",
        ),
        ("{port: 80, request_line: GET}", 44, ".request_line", "`GET`: expected METHOD TARGET"),
        ("{port: 80, request_line: 'GET ping HTTP/1.0'}", 44, ".request_line", "beginning with `/`"),
        ("{port: 80, request_line: 'GET / HTTP/2.0'}", 44, ".request_line", "`HTTP/1.0` or `HTTP/1.1`"),
        ("{port: 80, request_line: \"GET / HTTP/1.0\\r\\nX: y\"}", 44, ".request_line", "without control characters"),
        ("{port: 80, quorum: 2}", 30, ".quorum", "it belongs under `recreate_on_quorum_strategy_config:`"),
        ("{port: 80, intervall: 2}", 30, ".intervall", "did you mean `interval`?"),
    ] {
        assert_refused(&format!("x-remuda:\n  health_check: {value}"), "5:", part);
        let found = problems(&web_file(&format!("x-remuda:\n  health_check: {value}")));
        let column = if column == 5 { 7 } else { column + 2 };
        assert!(found[0].starts_with(&format!("5:{column}: {at}{field}: ")), "{value}: {found:?}");
    }
}

#[test]
fn a_quorum_is_a_number_of_containers() {
    for (config, part) in [
        ("{quorum: 0}", "how many must be healthy, a whole number from 1 to 100000, found `0`"),
        ("{quorum: -1}", "found `-1`"),
        ("{}", "has no `quorum:`"),
        ("3", "expected a map with `quorum:`, found `3`"),
        ("{quorm: 3}", "did you mean `quorum`?"),
    ] {
        let check = format!("{{port: 80, strategy: recreateOnQuorum, recreate_on_quorum_strategy_config: {config}}}");
        let found = problems(&web_file(&format!("x-remuda: {{health_check: {check}}}")));
        assert!(!found.is_empty() && found.iter().any(|problem| problem.contains(part)), "{config}: {found:?}");
    }
}

#[test]
fn keys_at_the_wrong_level_are_sent_where_they_belong() {
    assert_refused("health_check: {port: 80}", "4:5: services.web.health_check: ", "it belongs under `x-remuda:`");
    assert_refused("interval: 5s", "4:5: ", "it belongs under `healthcheck:`");
    assert_refused("x-remuda: {port: 80}", "4:16: ", "it belongs under `health_check:`");
    assert_refused("x-remuda: {drain_timeout: 5}", "4:16: ", "did you mean `drain_timeout_ms`?");
}

#[test]
fn what_cannot_be_drained_or_reached_is_refused() {
    for value in ["-1", "3600001", "10s", "[1]", "1e3"] {
        assert_refused(
            &format!("x-remuda: {{drain_timeout_ms: {value}}}"),
            "4:34: services.web.x-remuda.drain_timeout_ms: ",
            "milliseconds, a whole number from 0 to 3600000",
        );
    }
    assert_refused(
        "network_mode: none\nx-remuda: {health_check: {port: 80}}",
        "5:16: services.web.x-remuda.health_check: ",
        "leaves no way to check it from outside",
    );
}
