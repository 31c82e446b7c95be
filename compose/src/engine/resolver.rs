//! `dns`, `dns_search` and `dns_opt`: whom a container asks for names.

use std::net::IpAddr;

use super::read_word;
use crate::field::Field;
use crate::report::Report;

const NOT_OURS: &str = "these resolvers are asked instead of the fleet's: the names of services are not known to them";

/// Addresses of resolvers, one or a list.
pub(super) fn read_servers(field: &Field, report: &mut Report) -> Vec<String> {
    let expected = "the address of a resolver such as `9.9.9.9`, or a list of them";
    let mut servers = Vec::new();
    for item in field.one_or_more(expected, report) {
        match item.line(expected, report).map(str::parse::<IpAddr>) {
            Some(Ok(ip)) => {
                report.notice(field.key_place(), NOT_OURS.to_owned());
                servers.push(ip.to_string());
            }
            Some(Err(_)) => item.expected(expected, report),
            None => {}
        }
    }
    servers
}

/// Domains to search, or options such as `ndots:2`.
pub(super) fn read_words(field: &Field, report: &mut Report) -> Vec<String> {
    let items = field.one_or_more("one word, or a list of them", report);
    items.iter().map(|item| read_word(item, "one word", report)).collect()
}
