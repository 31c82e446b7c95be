//! `ports`: the short form `[[ip:]published:]target[/protocol]`, ranges included, and the long form.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use remuda_api::spec::{PortSpec, Protocol, PublishMode};

use crate::context::{Context, Published};
use crate::field::Field;
use crate::keys;
use crate::limits::PORTS_MAX;
use crate::problem::shown;
use crate::report::{Place, Report};
use crate::value::Value;

const PROTOCOLS: &[(&str, Protocol)] = &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];
const UNKNOWN_PROTOCOL: &str = "ends in an unknown protocol: expected `/tcp` or `/udp`";
const MODES: &[(&str, PublishMode)] = &[("ingress", PublishMode::Ingress), ("host", PublishMode::Host)];

/// The ports of service `service`, ranges written out; what they publish is noted for the check across services.
pub(crate) fn read(field: &Field, service: &str, context: &mut Context) -> Vec<PortSpec> {
    let mut ports = Vec::new();
    for item in field.items("a list of ports such as `- \"8080:80\"`", &mut context.report) {
        let request = match item.node.value {
            Value::Map(_) => read_long(&item, &mut context.report),
            _ => read_short(&item, &mut context.report),
        };
        if let Some(request) = request {
            write_out(&item, &request, service, &mut ports, context);
        }
    }
    ports
}

/// Ports as asked for. `published`, if given, is as long as `target`.
#[derive(Debug, PartialEq)]
struct Request {
    target: RangeInclusive<u16>,
    published: Option<RangeInclusive<u16>>,
    protocol: Protocol,
    mode: PublishMode,
}

fn write_out(field: &Field, request: &Request, service: &str, ports: &mut Vec<PortSpec>, context: &mut Context) {
    let count = request.target.len();
    let Some(left) = context.ports_left.checked_sub(count) else {
        let message = format!("more than {PORTS_MAX} ports in one stack: name fewer (a range counts port by port)");
        return field.problem(message, &mut context.report);
    };
    context.ports_left = left;
    let place = field.place();
    for (offset, target) in (0u16..).zip(request.target.clone()) {
        let published = request.published.as_ref().map(|range| range.start() + offset);
        let Request { protocol, mode, .. } = *request;
        ports.push(PortSpec { target, published, protocol, mode });
        if let Some(port) = published {
            note(port, protocol, service, &place, context);
        }
    }
}

fn note(port: u16, protocol: Protocol, service: &str, place: &Place, context: &mut Context) {
    let published = Published { port, protocol, service: service.to_owned(), place: place.clone() };
    context.references.published.push(published);
}

fn read_short(field: &Field, report: &mut Report) -> Option<Request> {
    let text = field.text(keys::PORT.expected, report)?;
    match short(text) {
        Ok((request, ip)) => Some(unpublish(field, request, ip, report)),
        Err(message) => {
            field.problem(format!("{} {message}", shown(text)), report);
            None
        }
    }
}

/// The parts of the short form; an error reads after the port as written.
fn short(text: &str) -> Result<(Request, Option<IpAddr>), String> {
    let (rest, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let protocol = PROTOCOLS.iter().find(|(name, _)| protocol.eq_ignore_ascii_case(name));
    let protocol = protocol.ok_or(UNKNOWN_PROTOCOL)?.1;
    let (rest, target) = match rest.rsplit_once(':') {
        Some((rest, target)) => (Some(rest), target),
        None => (None, rest),
    };
    let (ip, published) = match rest.map(|rest| (rest, rest.rsplit_once(':'))) {
        None => (None, ""),
        Some((_, Some((ip, published)))) => (Some(host_ip(ip)?), published),
        Some((published, None)) => (None, published),
    };
    let target = range(target)?;
    let published = if published.is_empty() { None } else { Some(range(published)?) };
    check_lengths(&target, published.as_ref())?;
    Ok((Request { target, published, protocol, mode: PublishMode::default() }, ip))
}

/// Checks a port or range as under `expose`, `3000-3005/tcp`; an error reads after the port as written.
pub(crate) fn check_exposed(text: &str) -> Result<(), String> {
    let (rest, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    if !PROTOCOLS.iter().any(|(name, _)| protocol.eq_ignore_ascii_case(name)) {
        return Err(UNKNOWN_PROTOCOL.to_owned());
    }
    range(rest).map(drop)
}

fn host_ip(text: &str) -> Result<IpAddr, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| "is no port: expected `[[ip:]published:]target[/protocol]` such as `8080:80`".to_owned())
}

fn range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(format!("holds a range that runs backwards: write `{last}-{first}`"));
    }
    Ok(first..=last)
}

fn port(text: &str) -> Result<u16, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ if digits => Err("holds a port that does not exist: ports go from 1 to 65535".to_owned()),
        _ => Err("is no port: expected `[[ip:]published:]target[/protocol]` such as `8080:80`".to_owned()),
    }
}

fn check_lengths(target: &RangeInclusive<u16>, published: Option<&RangeInclusive<u16>>) -> Result<(), String> {
    let Some(published) = published else {
        return Ok(());
    };
    match (published.len(), target.len()) {
        (one, other) if one == other => Ok(()),
        (many, 1) => Err(format!(
            "asks for any of {many} published ports, and every host must answer at the same one: name one, or none"
        )),
        (one, other) => Err(format!("maps {one} published ports to {other}: make both ranges the same length")),
    }
}

/// A port for one host address only is not published: every host would answer on all of its addresses.
fn unpublish(field: &Field, request: Request, ip: Option<IpAddr>, report: &mut Report) -> Request {
    match ip {
        Some(ip) if !ip.is_unspecified() && request.published.is_some() => {
            let message = format!(
                "publishing on {ip} alone is understood, not acted on yet: the port stays inside the fleet (leave the \
                 address out to publish it on every host)"
            );
            report.notice(field.place(), message);
            Request { published: None, ..request }
        }
        _ => request,
    }
}

fn read_long(field: &Field, report: &mut Report) -> Option<Request> {
    let (mut target, mut published, mut ip) = (None, None, None);
    let (mut protocol, mut mode) = (Some(Protocol::Tcp), Some(PublishMode::Ingress));
    let mut has_target = false;
    for entry in keys::acted(field, &keys::PORT, report) {
        match entry.key() {
            "target" => {
                has_target = true;
                target = read_range(&entry, report).filter(|range| is_single(range, &entry, report));
            }
            "published" => published = Some(read_range(&entry, report)),
            "protocol" => protocol = entry.choice(PROTOCOLS, report),
            "mode" => mode = entry.choice(MODES, report),
            _ => ip = read_ip(&entry, report),
        }
    }
    if !has_target {
        field.problem("has no `target:`: add the port inside the container", report);
    }
    let (target, published) = (target?, published.map_or(Some(None), |range| range.map(Some))?);
    if let Err(message) = check_lengths(&target, published.as_ref()) {
        field.problem(message, report);
        return None;
    }
    Some(unpublish(field, Request { target, published, protocol: protocol?, mode: mode? }, ip, report))
}

fn read_range(field: &Field, report: &mut Report) -> Option<RangeInclusive<u16>> {
    let text = field.text("a port from 1 to 65535", report)?;
    let found = range(text).ok();
    if found.is_none() {
        field.expected("a port from 1 to 65535", report);
    }
    found
}

fn is_single(range: &RangeInclusive<u16>, field: &Field, report: &mut Report) -> bool {
    if range.len() > 1 {
        field.problem("the long form takes one port: write ranges in the short form, `8000-8010:8000-8010`", report);
    }
    range.len() == 1
}

fn read_ip(field: &Field, report: &mut Report) -> Option<IpAddr> {
    let ip = host_ip(field.text("an address of the host", report)?).ok();
    if ip.is_none() {
        field.expected("an address of the host", report);
    }
    ip
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        match short(text) {
            Ok((Request { target, published, protocol, .. }, ip)) => {
                let published = published.map_or("none".to_owned(), |range| format!("{range:?}"));
                format!(
                    "{published} to {target:?} {} {}",
                    protocol.name(),
                    ip.map_or("any".to_owned(), |ip| ip.to_string())
                )
            }
            Err(message) => message,
        }
    }

    #[test]
    fn every_short_form_is_read() {
        for (text, meaning) in [
            ("80", "none to 80..=80 tcp any"),
            ("8080:80", "8080..=8080 to 80..=80 tcp any"),
            ("53:53/udp", "53..=53 to 53..=53 udp any"),
            ("53/UDP", "none to 53..=53 udp any"),
            ("3000-3002", "none to 3000..=3002 tcp any"),
            ("9000-9002:80-82", "9000..=9002 to 80..=82 tcp any"),
            ("127.0.0.1:8001:80", "8001..=8001 to 80..=80 tcp 127.0.0.1"),
            ("127.0.0.1::80", "none to 80..=80 tcp 127.0.0.1"),
            ("[::1]:8001:80", "8001..=8001 to 80..=80 tcp ::1"),
            (":80", "none to 80..=80 tcp any"),
        ] {
            assert_eq!(parsed(text), meaning, "{text}");
        }
    }

    #[test]
    fn what_is_no_port_says_why() {
        for (text, part) in [
            ("0", "from 1 to 65535"),
            ("0:80", "from 1 to 65535"),
            ("70000:80", "from 1 to 65535"),
            ("99999999999999999999", "from 1 to 65535"),
            ("", "is no port"),
            ("eighty", "is no port"),
            ("+80", "is no port"),
            ("-1", "is no port"),
            ("80:", "is no port"),
            ("web:80:80", "is no port"),
            ("80/sctp", "unknown protocol"),
            ("90-80", "backwards"),
            ("8000-8003:80", "any of 4"),
            ("8000-8001:80-82", "same length"),
        ] {
            assert!(parsed(text).contains(part), "{text}: {}", parsed(text));
        }
    }
}
