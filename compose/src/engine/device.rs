//! `devices` and `device_cgroup_rules`: which of the host's devices a container may use.

use remuda_api::engine::Device;

use crate::field::Field;
use crate::problem::shown;
use crate::report::Report;
use crate::value::Value;
use crate::{keys, path};

const ALL: &str = "rwm";
const RULE: &str = "a rule such as `c 188:* rmw`: kind (a, b, c), major:minor, then what of `rwm` is allowed";

/// The devices, in the short form `host[:container][:permissions]` or the long one.
pub(super) fn read(field: &Field, report: &mut Report) -> Vec<Device> {
    let mut devices = Vec::new();
    for item in field.items("a list of devices such as `- /dev/ttyUSB0`", report) {
        devices.extend(match item.node.value {
            Value::Map(_) => read_long(&item, report),
            _ => read_short(&item, report),
        });
    }
    devices
}

fn read_short(field: &Field, report: &mut Report) -> Option<Device> {
    let text = field.line(keys::DEVICE.expected, report)?;
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, permissions) = match parts[..] {
        [host] => (host, host, ALL),
        [host, second] if is_permissions(second) => (host, host, second),
        [host, container] => (host, container, ALL),
        [host, container, permissions] => (host, container, permissions),
        _ => ("", "", ""),
    };
    device(host, container, permissions, field, report)
}

fn read_long(field: &Field, report: &mut Report) -> Option<Device> {
    let (mut host, mut container, mut permissions) = (None, None, ALL.to_owned());
    for entry in keys::acted(field, &keys::DEVICE, report) {
        let text = entry.line("a path, or permissions such as `rw`", report)?;
        match entry.key() {
            "source" => host = Some(text.to_owned()),
            "target" => container = Some(text.to_owned()),
            _ => permissions = text.to_owned(),
        }
    }
    let Some(host) = host else {
        field.problem("has no `source:`: say which device of the host", report);
        return None;
    };
    device(&host, container.as_deref().unwrap_or(&host), &permissions, field, report)
}

fn device(host: &str, container: &str, permissions: &str, field: &Field, report: &mut Report) -> Option<Device> {
    if host.contains('=') && !host.starts_with('/') {
        let message = format!("{} names a device by a CDI driver, which is not asked yet: name its path", shown(host));
        field.problem(message, report);
        return None;
    }
    if !host.starts_with('/') || !is_permissions(permissions) {
        field.expected("a device such as `/dev/ttyUSB0`, or `/dev/sda:/dev/xvda:rwm`", report);
        return None;
    }
    let container = path::in_container(container, field, report)?;
    Some(Device { host: host.to_owned(), container, permissions: permissions.to_owned() })
}

/// Some of `rwm`, each at most once.
fn is_permissions(text: &str) -> bool {
    let is_once = |c: char| text.matches(c).count() <= 1;
    !text.is_empty() && text.chars().all(|c| ALL.contains(c) && is_once(c))
}

/// Rules as the kernel's device cgroup takes them.
pub(super) fn read_rules(field: &Field, report: &mut Report) -> Vec<String> {
    let mut rules = Vec::new();
    for item in field.items("a list of rules such as `- c 188:* rmw`", report) {
        match item.line(RULE, report) {
            Some(text) if is_rule(text) => rules.push(text.to_owned()),
            Some(_) => item.expected(RULE, report),
            None => {}
        }
    }
    rules
}

fn is_rule(text: &str) -> bool {
    let words: Vec<&str> = text.split(' ').collect();
    let [kind, numbers, permissions] = words[..] else {
        return false;
    };
    let is_number = |text: &str| text == "*" || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let numbers = numbers.split_once(':').is_some_and(|(major, minor)| is_number(major) && is_number(minor));
    matches!(kind, "a" | "b" | "c") && numbers && is_permissions(permissions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_from_what_is_none() {
        for rule in ["c 188:* rmw", "b 8:0 r", "a *:* rwm"] {
            assert!(is_rule(rule), "{rule}");
        }
        for nonsense in ["", "c 188 rwm", "d 1:1 r", "c 1:1", "c 1:1 rr", "c x:1 r", "c  1:1 r", "c 1:1 r "] {
            assert!(!is_rule(nonsense), "{nonsense}");
        }
    }
}
