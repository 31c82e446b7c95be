//! What this host finds out about health: checks of other hosts' containers, and commands in its own.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use remuda_api::assignment::{self, Assignment};
use remuda_api::health::HealthCommand;

use super::check::{Checker, Record};

/// A container this host connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub endpoint_id: u32,
    pub target: SocketAddrV4,
    /// None: a connection that opens passes.
    pub request_line: Option<String>,
    pub interval_ms: u64,
    pub timeout_ms: u64,
    /// Passes in a row that make it pass, failures in a row that make it fail.
    pub rise: u32,
    pub fall: u32,
}

pub(super) fn checks(assignment: &Assignment, check: &mut Checker) -> BTreeMap<u32, Check> {
    let checks = assignment.checks.iter().map(|record| {
        let mut at = check.record(format!("check of {}", record.container));
        (record.endpoint_id, one(record, &mut at))
    });
    checks.collect()
}

fn one(record: &assignment::Check, at: &mut Record) -> Check {
    // A line that ends early would let the rest be headers or a body.
    if record.request_line.contains(char::is_control) {
        at.problem("request_line", "holds a control character: it must be one line");
    }
    Check {
        endpoint_id: at.endpoint_id("endpoint_id", record.endpoint_id),
        target: SocketAddrV4::new(at.ip("ip", &record.ip), at.port("port", record.port)),
        request_line: (!record.request_line.is_empty()).then(|| record.request_line.clone()),
        interval_ms: at.positive("interval_ms", record.interval_ms),
        timeout_ms: at.positive("timeout_ms", record.timeout_ms),
        rise: at.range("rise", record.rise, 1..=u32::MAX),
        fall: at.range("fall", record.fall, 1..=u32::MAX),
    }
}

pub(super) fn command(command: &HealthCommand, at: &mut Record) {
    if command.argv.is_empty() {
        at.problem("health_command.argv", "is empty: name the program to run");
    }
    at.positive("health_command.interval_ms", command.interval_ms);
    at.positive("health_command.timeout_ms", command.timeout_ms);
    at.range("health_command.retries", command.retries, 1..=u32::MAX);
    if command.start_period_ms > 0 {
        at.positive("health_command.start_interval_ms", command.start_interval_ms);
    }
}
