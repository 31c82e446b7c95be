//! Every key of `rancher-compose.yml`. Keys of Compose may stand beside those of [`SERVICE`]; `overlay` sorts them.

use crate::field::Field;
use crate::keys::Inner::{List, Map};
use crate::keys::{self, Table, now, now_in};
use crate::problem::shown;
use crate::report::Report;

pub(crate) static FILE: Table = Table {
    expected: "a map with `services:`",
    keys: &[now("version"), now("services"), now("catalog"), now(".catalog")],
};

/// What Rancher knows about a service and Compose does not, or knows otherwise.
pub(crate) static SERVICE: Table = Table {
    expected: "a map of keys such as `scale:`",
    keys: &[
        now("scale"),
        now("start_on_create"),
        now("retain_ip"),
        now_in("health_check", Map(&keys::HEALTH_CHECK)),
        now_in("lb_config", Map(&LB_CONFIG)),
        now("external_ips"),
        now("hostname"),
        now("metadata"),
        now_in("upgrade_strategy", Map(&UPGRADE_STRATEGY)),
        now("drain_timeout_ms"),
        now("milli_cpu_reservation"),
        now("load_balancer_config"),
        now("default_cert"),
        now("certs"),
        now_in("scale_policy", Map(&SCALE_POLICY)),
        now("service_schemas"),
        now("storage_driver"),
        now("network_driver"),
        now("type"),
        now("vcpu"),
        now("memory"),
        now("userdata"),
        now("disks"),
    ],
};

pub(crate) static LB_CONFIG: Table = Table {
    expected: "a map with `port_rules:`",
    keys: &[
        now_in("port_rules", List(&PORT_RULE)),
        now("certs"),
        now("default_cert"),
        now("config"),
        now("stickiness_policy"),
    ],
};

pub(crate) static PORT_RULE: Table = Table {
    expected: "a rule with `source_port:`, `target_port:` and `service:`",
    keys: &[
        now("source_port"),
        now("target_port"),
        now("service"),
        now("protocol"),
        now("priority"),
        now("hostname"),
        now("path"),
        now("selector"),
        now("backend_name"),
        now("container"),
        now("environment"),
        now("region"),
        now("weight"),
    ],
};

pub(crate) static UPGRADE_STRATEGY: Table = Table {
    expected: "a map with `batch_size:`, `interval_millis:` and `start_first:`",
    keys: &[now("batch_size"), now("interval_millis"), now("start_first")],
};

pub(crate) static SCALE_POLICY: Table =
    Table { expected: "a map with `min:`, `max:` and `increment:`", keys: &[now("min"), now("max"), now("increment")] };

/// Reports a key at the top level that is none.
pub(crate) fn unknown_in_file(entry: &Field, report: &mut Report) {
    let advice = match keys::FILE.find(entry.key()) {
        Some(_) => "it belongs into the Compose file".to_owned(),
        None => keys::advice(entry.key(), &FILE),
    };
    entry.problem_at_key(format!("unknown key {}: {advice}", shown(entry.key())), report);
}

/// Reports a key of a service that neither Rancher nor Compose knows.
pub(crate) fn unknown_in_service(entry: &Field, compose: &Table, report: &mut Report) {
    if report.is_full() {
        return entry.problem_at_key("unknown key", report);
    }
    let names = || SERVICE.keys.iter().chain(compose.keys).map(|key| key.name);
    let advice = match (keys::HEALTH_CHECK.find(entry.key()), keys::nearest(entry.key(), names())) {
        (_, Some(near)) => format!("did you mean `{near}`?"),
        (Some(_), None) => "it belongs under `health_check:`".to_owned(),
        (None, None) if PORT_RULE.find(entry.key()).is_some() => "it belongs under `lb_config.port_rules:`".to_owned(),
        (None, None) => "remove it, or begin it with `x-` to keep it as a note".to_owned(),
    };
    entry.problem_at_key(format!("unknown key {}: {advice}", shown(entry.key())), report);
}
