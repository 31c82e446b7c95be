//! `extra_hosts`: lines of the container's /etc/hosts; and `domainname`.

use std::net::IpAddr;

use remuda_api::names;

use crate::field::Field;
use crate::problem::shown;
use crate::report::Report;
use crate::value::Value;

const EXPECTED: &str = "a list of `name:address`, or a map from names to addresses";
/// Stands for the host that runs the container; its agent knows the address.
const GATEWAY: &str = "host-gateway";

/// `name:address` for each, from `name:address`, `name=address` or a map.
pub(super) fn read(field: &Field, report: &mut Report) -> Vec<String> {
    let mut lines = Vec::new();
    if let Value::Map(_) = field.node.value {
        for entry in field.members() {
            for address in entry.one_or_more("an address, or a list of them", report) {
                if let Some(text) = address.line("an address", report) {
                    lines.extend(line(entry.key(), text, &address, report));
                }
            }
        }
        return lines;
    }
    for item in field.items(EXPECTED, report) {
        let Some(text) = item.line("`name:address`", report) else {
            continue;
        };
        // An address may hold colons, a name none.
        match text.split_once('=').or_else(|| text.split_once(':')) {
            Some((name, address)) => lines.extend(line(name, address, &item, report)),
            None => item.expected("`name:address` such as `db:10.0.0.7`", report),
        }
    }
    lines
}

fn line(name: &str, address: &str, field: &Field, report: &mut Report) -> Option<String> {
    let (name, address) = (name.trim(), address.trim());
    if let Some(error) = name_error(name) {
        field.problem(format!("host name {} {error}", shown(name)), report);
        return None;
    }
    if address == GATEWAY {
        return Some(format!("{name}:{GATEWAY}"));
    }
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    match bare.parse::<IpAddr>() {
        Ok(ip) => Some(format!("{name}:{ip}")),
        Err(_) => {
            let message = format!("{} is no address: expected one such as `10.0.0.7`, or `{GATEWAY}`", shown(address));
            field.problem(message, report);
            None
        }
    }
}

/// Names of hosts may be longer than one label; `_` is let pass, as everywhere.
fn name_error(name: &str) -> Option<names::NameError> {
    if name.len() > names::NAME_MAX_BYTES {
        return Some(names::NameError::FullNameTooLong(name.len()));
    }
    name.strip_suffix('.').unwrap_or(name).split('.').find_map(|label| names::check_label(label).err())
}

/// The name under `domainname`.
pub(super) fn read_domain(field: &Field, report: &mut Report) -> Option<String> {
    let name = field.line("a domain such as `example.com`", report)?;
    match name_error(name) {
        None => Some(name.to_owned()),
        Some(error) => {
            field.problem(format!("domain {} {error}", shown(name)), report);
            None
        }
    }
}
