//! What the tests of this runtime share.

use super::labels::Owner;
use crate::action::UnitSpec;

pub(super) fn owner() -> Owner {
    Owner { fleet: "f1".into(), node_id: 7 }
}

/// A plain service's container.
pub(super) fn spec() -> UnitSpec {
    UnitSpec {
        name: "shop-web-1".into(),
        spec_revision: 3,
        runtime: "docker".into(),
        image: "nginx:1.27".into(),
        entrypoint: Vec::new(),
        command: Vec::new(),
        environment: Vec::new(),
        user: String::new(),
        working_dir: String::new(),
        hostname: "shop-web-1".into(),
        network_mode: "managed".into(),
        ip: Some([10, 42, 0, 5].into()),
        host_ip: Some([10, 42, 0, 1].into()),
        dns_ip: [169, 254, 169, 250].into(),
        dns_search: vec!["shop.default.remuda.internal".into(), "default.remuda.internal".into()],
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
