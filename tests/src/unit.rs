//! A unit as tests of runtimes want it: they change what they are about.

use remuda_agent::action::UnitSpec;

/// A program of the host's own, in a network namespace of its own, on no network yet.
pub fn spec(name: &str, command: &[&str]) -> UnitSpec {
    UnitSpec {
        name: name.into(),
        spec_revision: 1,
        runtime: "process".into(),
        image: String::new(),
        entrypoint: Vec::new(),
        command: command.iter().map(|word| word.to_string()).collect(),
        environment: vec!["GREETING=hello there".into()],
        user: String::new(),
        working_dir: String::new(),
        hostname: name.into(),
        network_mode: "managed".into(),
        ip: None,
        host_ip: None,
        dns_ip: [169, 254, 169, 250].into(),
        dns_search: vec!["shop.default.remuda.internal".into()],
        limit_cpu_milli: 0,
        limit_memory_bytes: 0,
        limit_pids: 0,
        labels: Vec::new(),
        stack: "shop".into(),
        service: "web".into(),
        engine: Default::default(),
        stop_signal: String::new(),
        stop_grace_ms: 10_000,
        has_health_command: false,
    }
}
