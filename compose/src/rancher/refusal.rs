//! Keys that say something Remuda does not do: the sentence for each, and whether the file still loads.

use crate::field::Field;
use crate::report::Report;
use crate::value::{Node, Value};

/// Notices or refuses `entry` by its key; true if it was one of those. Values that say nothing (`certs: []`) pass silently.
pub(crate) fn tell(entry: &Field, report: &mut Report) -> bool {
    let (is_refused, message) = match entry.key() {
        "scale_policy" => (false, "as many containers run as `scale` says, not between `min` and `max`"),
        "service_schemas" => (false, "the API takes no further schemas"),
        "storage_driver" => (false, "its containers run, and the fleet gets no storage driver from them"),
        "network_driver" => (false, "its containers run, and the fleet's network stays Remuda's own"),
        "type" => (false, "what a service is follows from its image"),
        "load_balancer_config" => {
            (true, "belongs to balancers before Rancher 1.2: write `lb_config:` with `port_rules:`")
        }
        "certs" | "default_cert" => (true, CERTIFICATES),
        "config" => (true, "is for HAProxy, and there is none that could read it: remove it"),
        "stickiness_policy" => {
            (true, "tells clients apart by cookies, which needs a layer-7 proxy this release does not have: remove it")
        }
        "vcpu" | "memory" | "userdata" | "disks" => {
            (true, "describes a virtual machine, and Remuda runs containers only: remove it")
        }
        _ => return false,
    };
    if says_nothing(entry.node) {
        return true;
    }
    if is_refused {
        entry.problem_at_key(message, report);
    } else {
        report.notice(entry.key_place(), format!("`{}` is understood, not acted on: {message}", entry.key()));
    }
    true
}

const CERTIFICATES: &str = "needs a balancer that ends TLS, which this release does not have: let the service end TLS \
                            itself behind a rule with `protocol: tcp`, and remove this";

fn says_nothing(node: &Node) -> bool {
    match &node.value {
        Value::Null | Value::Broken => true,
        Value::Text { text, .. } => text.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.iter().all(|entry| says_nothing(&entry.value)),
    }
}
