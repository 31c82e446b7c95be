//! Services outside of the fleet: image `rancher/external-service` with `external_ips` or `hostname`; and other names.

use std::net::IpAddr;

use remuda_api::names;
use remuda_api::spec::ServiceSpec;

use crate::context::Context;
use crate::field::Field;
use crate::problem::shown;
use crate::report::Report;

/// Most addresses one name leads to: an answer of the name server must hold them.
const ADDRESSES_MAX: usize = 64;
/// Longest DNS name, bytes (RFC 1035, 2.3.4).
const HOSTNAME_MAX_BYTES: usize = 253;

/// Reads `external_ips`.
pub(crate) fn read_addresses(field: &Field, service: &mut ServiceSpec, report: &mut Report) {
    let mut addresses = Vec::new();
    for item in field.items("a list of addresses such as `- 192.0.2.7`", report) {
        let Some(text) = item.text("an address such as `192.0.2.7`", report) else {
            continue;
        };
        match text.parse::<IpAddr>() {
            Ok(address) if addresses.contains(&address.to_string()) => {
                item.problem(format!("{} is given twice: keep one", shown(text)), report);
            }
            Ok(address) => addresses.push(address.to_string()),
            Err(_) => item.expected("an address such as `192.0.2.7` (a name goes under `hostname:`)", report),
        }
    }
    if addresses.len() > ADDRESSES_MAX {
        field.problem_at_key(format!("{} addresses are too many: at most {ADDRESSES_MAX}", addresses.len()), report);
    }
    service.external.get_or_insert_default().addresses = addresses;
}

/// Reads `hostname` of a service that is outside.
pub(crate) fn read_hostname(field: &Field, service: &mut ServiceSpec, report: &mut Report) {
    let Some(name) = field.line("a name such as `db.example.com`", report) else {
        return;
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.len() > HOSTNAME_MAX_BYTES {
        return field.problem(
            format!("{} bytes are too long for a DNS name: at most {HOSTNAME_MAX_BYTES}", name.len()),
            report,
        );
    }
    if let Some(error) = name.split('.').find_map(|label| names::check_label(label).err()) {
        return field.problem(format!("host name {} {error}", shown(name)), report);
    }
    service.external.get_or_insert_default().hostname = Some(name.to_owned());
}

/// What must hold for a service that is outside, once everything about it is read.
pub(crate) fn complete(whole: &Field, service: &mut ServiceSpec, context: &mut Context) {
    let report = &mut context.report;
    let external = service.external.get_or_insert_default();
    match (external.addresses.is_empty(), &external.hostname) {
        (true, None) => whole.problem_at_key(
            "leads outside and does not say where: write `external_ips: [192.0.2.7]` or `hostname: db.example.com` in \
             rancher-compose.yml, or under `x-remuda:`",
            report,
        ),
        (false, Some(_)) => {
            whole.problem_at_key("has both `external_ips` and `hostname`: keep one of them", report);
        }
        _ => {}
    }
    if !service.ports.is_empty() {
        whole.problem_at_key("publishes ports, and nothing of it runs here: remove `ports`, or use a balancer", report);
    }
    if service.health_check.take().is_some() {
        let message = "has a `health_check`, and what is outside is not checked: its name always answers".to_owned();
        report.notice(whole.key_place(), message);
    }
}
