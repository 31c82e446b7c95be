//! The naming rules as sentences: who asks what, and what comes back, read by hickory as a foreign decoder.

use std::collections::HashMap;

use hickory_proto::op::{Message, MessageType};
use hickory_proto::rr::RecordType;
use proptest::prelude::*;
use remuda_api::assignment::{Assignment, Endpoint, Environment};

use crate::fixture::{APP, HOST, STRANGER, VAULT, WEB, assignment, ip, query, query_edns, view};
use crate::message::{A, AAAA, ANY, AXFR, IXFR, NS, PTR, SOA};
use crate::reply::{Reply, Silence, Transport, reply};
use crate::view::{Local, View};

const TXT: u16 = 16;
const MX: u16 = 15;
const HTTPS: u16 = 65;

/// "CODE data data … [SOA of zone]", data sorted; "forwarded"; "dropped".
pub(crate) fn said(view: &View, asker: &str, name: &str, kind: u16) -> String {
    let packet = query(name, kind);
    match reply(view, ip(asker), &packet, Transport::Udp, 7) {
        Reply::Forward { alias, .. } => alias.map_or("forwarded".into(), |name| format!("looked for behind {name}")),
        Reply::Drop(_) => "dropped".into(),
        Reply::Send { bytes, .. } => told(&bytes),
    }
}

fn told(bytes: &[u8]) -> String {
    let message = Message::from_vec(bytes).expect("hickory reads what we write");
    let mut data: Vec<String> = message.answers.iter().map(|record| record.data.to_string()).collect();
    data.sort();
    let soa = message.authorities.iter().map(|record| format!("[SOA of {}]", record.name));
    let code = match u16::from(message.metadata.response_code) {
        0 => "NOERROR".into(),
        3 => "NXDOMAIN".into(),
        5 => "REFUSED".into(),
        other => format!("code {other}"),
    };
    [code].into_iter().chain(data).chain(soa).collect::<Vec<String>>().join(" ")
}

#[track_caller]
fn assert_said(cases: &[(&str, &str, u16, &str)]) {
    let view = view();
    assert!(view.complaints().is_empty(), "{:?}", view.complaints());
    for (asker, name, kind, expected) in cases {
        assert_eq!(said(&view, asker, name, *kind), *expected, "{asker} asks {name} type {kind}");
    }
}

const WEB_LIST: &str = "NOERROR 10.42.0.5 10.42.1.2 10.42.1.3";

#[test]
fn a_service_answers_its_serving_members_by_every_spelling_of_its_name() {
    assert_said(&[
        (WEB, "web", A, WEB_LIST),
        (WEB, "WEB", A, WEB_LIST),
        (WEB, "web.shop", A, WEB_LIST),
        (APP, "Web.SHOP", A, WEB_LIST),
        (APP, "web.shop.default.remuda.internal", A, WEB_LIST),
        (HOST, "web.shop", A, WEB_LIST),
        (HOST, "web.shop.default.remuda.internal", A, WEB_LIST),
        (WEB, "tasks.web", A, WEB_LIST),
        (APP, "tasks.web.shop", A, WEB_LIST),
        (APP, "tasks.web.shop.default.remuda.internal", A, WEB_LIST),
    ]);
}

#[test]
fn every_service_has_a_vip_and_only_endpoint_mode_vip_puts_it_behind_the_plain_name() {
    assert_said(&[
        (WEB, "vip.web", A, "NOERROR 10.43.0.1"),
        (APP, "vip.web.shop", A, "NOERROR 10.43.0.1"),
        (APP, "vip.web.shop.default.remuda.internal", A, "NOERROR 10.43.0.1"),
        (WEB, "api", A, "NOERROR 10.43.0.2"),
        (APP, "api.shop", A, "NOERROR 10.43.0.2"),
        (APP, "tasks.api.shop", A, "NOERROR 10.42.1.21"),
    ]);
}

#[test]
fn bare_names_are_seen_in_the_own_stack_and_on_shared_networks_only() {
    assert_said(&[
        (WEB, "vault", A, "NOERROR 10.42.0.7"),
        (WEB, "app", A, "forwarded"),
        (WEB, "store", A, "forwarded"),
        (APP, "web", A, "forwarded"),
        (APP, "vip.web", A, "forwarded"),
        (HOST, "web", A, "forwarded"),
        (APP, "store", A, "NOERROR 10.42.1.61 10.42.1.71"),
        (WEB, "www", A, WEB_LIST),
        (APP, "www", A, "forwarded"),
        (VAULT, "www", A, "NXDOMAIN"),
    ]);
}

#[test]
fn containers_are_found_by_their_own_names_from_everywhere_while_they_serve() {
    assert_said(&[
        (APP, "shop-web-2", A, "NOERROR 10.42.1.2"),
        (HOST, "shop-web-2", A, "NOERROR 10.42.1.2"),
        (APP, "shop-web-2.shop", A, "NOERROR 10.42.1.2"),
        (APP, "shop-web-2.shop.default.remuda.internal", A, "NOERROR 10.42.1.2"),
        (APP, "shop-web-2.default.remuda.internal", A, "NOERROR 10.42.1.2"),
        (APP, "shop-web-4.shop", A, "NOERROR [SOA of shop.]"),
        (APP, "shop-web-2.blog", A, "NXDOMAIN [SOA of blog.]"),
    ]);
}

#[test]
fn an_existing_name_with_nothing_to_give_is_no_data_and_never_no_such_name() {
    assert_said(&[
        (WEB, "idle", A, "NOERROR [SOA of idle.]"),
        (WEB, "idle.shop", A, "NOERROR [SOA of shop.]"),
        (WEB, "web", AAAA, "NOERROR [SOA of web.]"),
        (WEB, "web.shop", AAAA, "NOERROR [SOA of shop.]"),
        (WEB, "web.shop", HTTPS, "NOERROR [SOA of shop.]"),
        (WEB, "web.shop", MX, "NOERROR [SOA of shop.]"),
        (WEB, "vip.web.shop", TXT, "NOERROR [SOA of shop.]"),
        (WEB, "web.shop", 65_280, "NOERROR [SOA of shop.]"),
        (WEB, "shop-web-1", AAAA, "NOERROR [SOA of shop-web-1.]"),
        (WEB, "web.shop.default.remuda.internal", AAAA, "NOERROR [SOA of remuda.internal.]"),
        (WEB, "shop.default.remuda.internal", A, "NOERROR [SOA of remuda.internal.]"),
        (WEB, "default.remuda.internal", A, "NOERROR [SOA of remuda.internal.]"),
        (WEB, "remuda.internal", A, "NOERROR [SOA of remuda.internal.]"),
        (HOST, "shop", A, "NOERROR [SOA of shop.]"),
    ]);
}

#[test]
fn what_does_not_exist_in_our_zone_or_in_a_stack_is_no_such_name_and_is_not_forwarded() {
    assert_said(&[
        (WEB, "nope.shop", A, "NXDOMAIN [SOA of shop.]"),
        (WEB, "vip.nope.shop", A, "NXDOMAIN [SOA of shop.]"),
        (WEB, "nope.web.shop", A, "NXDOMAIN [SOA of shop.]"),
        (WEB, "nope.shop.default.remuda.internal", A, "NXDOMAIN [SOA of remuda.internal.]"),
        (WEB, "web.nope.default.remuda.internal", A, "NXDOMAIN [SOA of remuda.internal.]"),
        (WEB, "web.shop.other.remuda.internal", A, "NXDOMAIN [SOA of remuda.internal.]"),
        (WEB, "web.remuda.internal", AAAA, "NXDOMAIN [SOA of remuda.internal.]"),
    ]);
}

#[test]
fn all_other_names_are_forwarded_but_never_for_containers_on_internal_networks() {
    assert_said(&[
        (WEB, "example.org", A, "forwarded"),
        (WEB, "intranet", A, "forwarded"),
        (WEB, "metadata.google.internal", A, "forwarded"),
        (WEB, "pkg.go.shop", A, "forwarded"),
        (WEB, "example.web", A, "forwarded"),
        (WEB, "", NS, "forwarded"),
        (WEB, "1.2.0.192.in-addr.arpa", PTR, "forwarded"),
        (VAULT, "secret.example.org", A, "NXDOMAIN"),
        (VAULT, "web.shop", A, WEB_LIST),
    ]);
}

#[test]
fn nothing_of_an_environment_without_egress_is_forwarded() {
    let environment = Environment { no_egress: true, ..assignment().environment.expect("it has one") };
    let closed = Assignment { environment: Some(environment), ..assignment() };
    let view = View::build(&closed, &Local::default());
    assert_eq!(said(&view, WEB, "example.org", A), "NXDOMAIN");
    assert_eq!(said(&view, HOST, "example.org", A), "forwarded");
}

#[test]
fn localhost_is_this_very_machine_and_invalid_never_exists() {
    assert_said(&[
        (WEB, "localhost", A, "NOERROR 127.0.0.1"),
        (WEB, "api.localhost", AAAA, "NOERROR ::1"),
        (WEB, "localhost", MX, "NOERROR [SOA of localhost.]"),
        (WEB, "foo.invalid", A, "NXDOMAIN [SOA of invalid.]"),
    ]);
}

#[test]
fn addresses_of_the_pools_have_names_and_the_rest_of_the_pools_has_none() {
    assert_said(&[
        (WEB, "5.0.42.10.in-addr.arpa", PTR, "NOERROR shop-web-1.shop.default.remuda.internal."),
        (WEB, "1.0.43.10.IN-ADDR.arpa", PTR, "NOERROR vip.web.shop.default.remuda.internal."),
        (WEB, "5.0.42.10.in-addr.arpa", A, "NOERROR [SOA of 42.10.in-addr.arpa.]"),
        (WEB, "99.99.42.10.in-addr.arpa", PTR, "NXDOMAIN [SOA of 42.10.in-addr.arpa.]"),
        (WEB, "x.0.42.10.in-addr.arpa", PTR, "forwarded"),
    ]);
}

#[test]
fn the_apex_has_soa_and_ns_and_the_name_server_has_an_address() {
    let soa = "NOERROR dns.remuda.internal. hostmaster.remuda.internal. 42 60 60 60 1";
    assert_said(&[
        (WEB, "remuda.internal", SOA, soa),
        (WEB, "remuda.internal", NS, "NOERROR dns.remuda.internal."),
        (WEB, "dns.remuda.internal", A, "NOERROR 169.254.169.250"),
    ]);
}

#[test]
fn any_gets_one_small_record_and_transfers_are_refused() {
    assert_said(&[
        (WEB, "web.shop", ANY, "NOERROR RFC8482 "),
        (WEB, "web.shop", AXFR, "REFUSED"),
        (WEB, "example.org", IXFR, "REFUSED"),
        (WEB, "web.shop", 41, "code 1"),
    ]);
}

#[test]
fn classes_other_than_internet_are_refused() {
    let view = view();
    for class in [0, 3, 4, 254, 255] {
        let mut packet = query("version.bind", TXT);
        let end = packet.len();
        packet[end - 1] = class;
        let Reply::Send { bytes, .. } = reply(&view, ip(WEB), &packet, Transport::Udp, 1) else { panic!("an answer") };
        assert_eq!(told(&bytes), "REFUSED", "class {class}");
    }
}

#[test]
fn strangers_get_no_answer_and_all_addresses_of_the_host_do() {
    let view = view();
    let packet = query("web.shop", A);
    for stranger in [STRANGER, "10.42.1.2", "10.42.0.0", "8.8.8.8"] {
        let got = reply(&view, ip(stranger), &packet, Transport::Udp, 1);
        assert!(matches!(got, Reply::Drop(Silence::UnknownAsker)), "{stranger}: {got:?}");
    }
    for own in ["127.0.0.1", "127.0.0.53", "169.254.169.250", "192.0.2.1", "10.42.0.1", "::ffff:10.42.0.5"] {
        assert_eq!(said(&view, own, "web.shop", A), WEB_LIST, "{own}");
    }
}

#[test]
fn before_the_first_assignment_nobody_is_answered() {
    assert_eq!(said(&View::default(), HOST, "example.org", A), "dropped");
}

#[test]
fn an_assignment_that_names_no_environment_is_that_of_the_default_one() {
    let view = View::build(&Assignment { environment: None, ..assignment() }, &Local::default());
    assert_eq!(said(&view, HOST, "web.shop.default.remuda.internal", A), WEB_LIST);
}

#[test]
fn members_on_the_network_of_one_host_are_one_address() {
    let mut fleet = assignment();
    for id in [91, 92] {
        let on_host = Endpoint { id, service_id: 3, serving: true, host_network: true, ..Endpoint::default() };
        fleet.endpoints.push(Endpoint { name: format!("shop-idle-{id}"), ip: "192.0.2.1".into(), ..on_host });
    }
    assert_eq!(said(&View::build(&fleet, &Local::default()), WEB, "idle", A), "NOERROR 192.0.2.1");
}

#[test]
fn the_question_comes_back_as_it_was_spelt_with_ttl_1_and_owned_by_the_answer() {
    let packet = query("wEb.ShOp", A);
    let Reply::Send { bytes, .. } = reply(&view(), ip(WEB), &packet, Transport::Udp, 1) else { panic!("an answer") };
    assert_eq!(bytes[12..packet.len()], packet[12..], "the question, byte for byte");
    let message = Message::from_vec(&bytes).expect("readable");
    let metadata = &message.metadata;
    assert!(metadata.authoritative && metadata.recursion_available && metadata.recursion_desired);
    assert!(!metadata.truncation && !metadata.authentic_data);
    assert_eq!((metadata.id, metadata.message_type), (0x1234, MessageType::Response));
    for record in &message.answers {
        assert_eq!((record.name.to_ascii(), record.ttl, record.record_type()), ("wEb.ShOp.".into(), 1, RecordType::A));
    }
}

#[test]
fn a_member_known_here_to_be_gone_leaves_every_name_at_once() {
    let local = Local { gone: [12, 13].into(), ..Local::default() };
    let view = View::build(&assignment(), &local);
    assert_eq!(said(&view, WEB, "web", A), "NOERROR 10.42.0.5");
    assert_eq!(said(&view, WEB, "shop-web-2", A), "NOERROR [SOA of shop-web-2.]");
}

#[test]
fn a_draining_member_is_in_no_answer() {
    let mut fleet = assignment();
    fleet.endpoints[0].draining = true;
    assert_eq!(said(&View::build(&fleet, &Local::default()), WEB, "web", A), "NOERROR 10.42.1.2 10.42.1.3");
}

#[test]
fn one_bad_record_takes_no_other_name_away() {
    let mut broken = assignment();
    broken.services[1].vip = "10.43.0".into();
    broken.endpoints.push(Endpoint { id: 99, name: "lost-1".into(), service_id: 77, ..Endpoint::default() });
    let view = View::build(&broken, &Local::default());
    assert_eq!(view.complaints().len(), 2, "{:?}", view.complaints());
    assert_eq!(said(&view, WEB, "web", A), WEB_LIST);
}

#[test]
fn edns_is_answered_with_one_opt_and_a_higher_version_with_badvers() {
    let view = view();
    let answer = |version| match reply(&view, ip(WEB), &query_edns("web.shop", A, 4096, version), Transport::Udp, 1) {
        Reply::Send { bytes, .. } => Message::from_vec(&bytes).expect("readable"),
        other => panic!("an answer, not {other:?}"),
    };
    let plain = answer(0);
    let edns = plain.edns.as_ref().expect("one OPT");
    assert_eq!((edns.version(), edns.max_payload(), plain.answers.len()), (0, 1232, 3));
    let newer = answer(1);
    assert_eq!((u16::from(newer.metadata.response_code), newer.answers.len()), (16, 0));
    assert_eq!(newer.edns.expect("one OPT").version(), 0);
}

/// A service with `count` members.
fn crowd(count: u32) -> View {
    let mut fleet = assignment();
    fleet.endpoints.retain(|endpoint| endpoint.service_id != 1);
    fleet.endpoints.extend((0..count).map(|n| Endpoint {
        id: 1000 + n,
        name: format!("shop-web-{n}"),
        service_id: 1,
        ip: format!("10.42.{}.{}", 100 + n / 250, 1 + n % 250),
        serving: true,
        ..Endpoint::default()
    }));
    View::build(&fleet, &Local::default())
}

#[test]
fn what_does_not_fit_a_datagram_is_left_out_and_marked_and_tcp_has_it_all() {
    let view = crowd(200);
    let cases = [
        (query("web.shop", A), Transport::Udp, 512, 30, true),
        (query_edns("web.shop", A, 100, 0), Transport::Udp, 512, 29, true),
        (query_edns("web.shop", A, 900, 0), Transport::Udp, 900, 53, true),
        (query_edns("web.shop", A, 65_535, 0), Transport::Udp, 1232, 74, true),
        (query("web.shop", A), Transport::Tcp, 65_535, 200, false),
    ];
    for (packet, transport, limit_bytes, members, is_truncated) in cases {
        let Reply::Send { bytes, .. } = reply(&view, ip(WEB), &packet, transport, 1) else { panic!("an answer") };
        let message = Message::from_vec(&bytes).expect("readable");
        assert!(bytes.len() <= limit_bytes, "{} bytes in {limit_bytes}", bytes.len());
        assert_eq!((message.answers.len(), message.metadata.truncation), (members, is_truncated), "{limit_bytes}");
        assert_eq!(message.edns.is_some(), packet[11] == 1, "the OPT is never what is left out");
    }
}

fn order(view: &View, packet: &[u8], seed: u64) -> Vec<String> {
    let Reply::Send { bytes, .. } = reply(view, ip(WEB), packet, Transport::Udp, seed) else { panic!("an answer") };
    Message::from_vec(&bytes).expect("readable").answers.iter().map(|record| record.data.to_string()).collect()
}

#[test]
fn each_of_three_members_is_first_in_a_third_of_1000_answers() {
    let (view, packet) = (view(), query("web", A));
    let mut first: HashMap<String, u32> = HashMap::new();
    for seed in 0..1_000 {
        *first.entry(order(&view, &packet, seed).swap_remove(0)).or_default() += 1;
    }
    assert_eq!(first.len(), 3);
    assert!(first.values().all(|count| (280..=390).contains(count)), "{first:?}");
}

#[test]
fn each_order_of_four_members_is_equally_likely_over_24000_answers() {
    let (view, packet) = (crowd(4), query("web", A));
    let mut seen: HashMap<Vec<String>, f64> = HashMap::new();
    for seed in 0..24_000u64 {
        *seen.entry(order(&view, &packet, seed.wrapping_mul(0x5851_f42d_4c95_7f2d))).or_default() += 1.0;
    }
    let expected = 1_000.0;
    let chi_square: f64 = seen.values().map(|count| (count - expected).powi(2) / expected).sum();
    assert_eq!(seen.len(), 24);
    assert!(chi_square < 49.7, "chi-square {chi_square} with 23 degrees of freedom exceeds the 0.1 % point");
}

proptest! {
    #[test]
    fn any_bytes_get_silence_a_forward_or_a_sane_answer(packet in proptest::collection::vec(any::<u8>(), 0..300)) {
        check_sane(&packet)?;
    }

    #[test]
    fn a_query_with_any_bytes_changed_gets_silence_a_forward_or_a_sane_answer(
        name in "(vip\\.|tasks\\.)?(web|idle|api|x)?(\\.shop)?(\\.default\\.remuda\\.internal)?",
        kind: u16,
        changes in proptest::collection::vec((0usize..80, any::<u8>()), 0..4),
    ) {
        let name = name.trim_matches('.').replace("..", ".");
        let mut packet = query_edns(&name, kind, 1232, 0);
        for (at, byte) in changes {
            let at = at % packet.len();
            packet[at] = byte;
        }
        check_sane(&packet)?;
    }
}

/// The answer is a response with the client's id, fits, is read by another decoder, and has the question unless it
/// is a refusal.
fn check_sane(packet: &[u8]) -> Result<(), TestCaseError> {
    for transport in [Transport::Udp, Transport::Tcp] {
        let Reply::Send { bytes, rcode, .. } = reply(&view(), ip(WEB), packet, transport, 3) else { continue };
        prop_assert!(bytes.len() >= 12 && (transport == Transport::Tcp || bytes.len() <= 1232));
        prop_assert_eq!(&bytes[..2], &packet[..2]);
        prop_assert!(bytes[2] & 0x80 != 0);
        prop_assert_eq!(u16::from(bytes[3] & 0x0f), rcode as u16 & 0x0f);
        if bytes.len() > 12 {
            let question_len_bytes = crate::question::read(packet).expect("it was read").question.len();
            prop_assert_eq!(&bytes[12..12 + question_len_bytes], &packet[12..12 + question_len_bytes]);
            prop_assert!(Message::from_vec(&bytes).is_ok(), "hickory cannot read {:?}", bytes);
        }
    }
    Ok(())
}
