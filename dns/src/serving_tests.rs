//! The server over real sockets on loopback: `dig` as the foreign client, upstreams of every kind.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::fixture::{APP, STRANGER, VAULT, WEB, assignment, ip, query, view};
use crate::message::A;
use crate::server::{ResolveError, Server};
use crate::stats::Counter;
use crate::upstreams::Upstreams;
use crate::view::{Local, View};

fn local(port: u16) -> SocketAddr {
    SocketAddr::new(ip("127.0.0.1"), port)
}

pub(crate) fn start(upstreams: Vec<SocketAddr>) -> Server {
    Server::start(vec![local(0)], view(), Upstreams::fixed(upstreams)).expect("loopback is free")
}

/// `dig`'s exit and output, or `None` where it is not installed.
async fn dig(server: &Server, arguments: &[&str]) -> Option<String> {
    let port = server.addresses()[0].port().to_string();
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let ran = tokio::task::spawn_blocking(move || {
        Command::new("dig").args(["@127.0.0.1", "-p", &port, "+tries=1", "+timeout=5"]).args(arguments).output()
    });
    match ran.await.expect("not cancelled") {
        Ok(output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        Err(cause) => {
            eprintln!("skipped: dig cannot be run ({cause}); install bind9-dnsutils");
            None
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dig_understands_every_answer() {
    let server = start(Vec::new());
    let cases: [(&[&str], &[&str]); 9] = [
        (&["web.shop"], &["status: NOERROR", "flags: qr aa rd ra;", "ANSWER: 3", "udp: 1232"]),
        (&["web.shop", "+tcp"], &["status: NOERROR", "ANSWER: 3", "(TCP)"]),
        (&["WEB.Shop", "AAAA"], &["status: NOERROR", "ANSWER: 0", "AUTHORITY: 1", "dns.remuda.internal."]),
        (&["nope.shop"], &["status: NXDOMAIN", "AUTHORITY: 1"]),
        (&["-x", WEB], &["status: NOERROR", "shop-web-1.shop.default.remuda.internal."]),
        (&["web.shop", "ANY"], &["status: NOERROR", "HINFO"]),
        (&["web.shop", "AXFR"], &["Transfer failed"]),
        (&["web.shop", "+edns=1", "+noednsneg"], &["status: BADVERS"]),
        (&["web.shop", "+opcode=NOTIFY"], &["status: NOTIMP"]),
    ];
    for (arguments, expected) in cases {
        let Some(output) = dig(&server, arguments).await else { return };
        for part in expected {
            assert!(output.contains(part), "dig {arguments:?} lacks `{part}`:\n{output}");
        }
        let is_clean = !output.contains("WARNING") && !output.contains("malformed");
        assert!(is_clean || arguments.contains(&"+opcode=NOTIFY"), "dig {arguments:?}:\n{output}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dig_comes_back_over_tcp_for_an_answer_too_large_for_udp() {
    let mut fleet = assignment();
    fleet.endpoints.extend((0..200).map(|n| remuda_api::assignment::Endpoint {
        id: 1000 + n,
        name: format!("shop-web-{}", 100 + n),
        service_id: 1,
        ip: format!("10.42.7.{n}"),
        serving: true,
        ..Default::default()
    }));
    let server = start(Vec::new());
    server.publish(View::build(&fleet, &Local::default()));
    let Some(output) = dig(&server, &["web.shop"]).await else { return };
    assert!(output.contains("retrying in TCP") && output.contains("ANSWER: 203"), "{output}");
}

/// What `dig` would be told, without dig: (code, answers).
pub(crate) async fn asked(server: &Server, asker: &str, name: &str) -> (String, Vec<String>) {
    let answer = server.resolve(ip(asker), name, "A").await.expect("an answer");
    (answer.rcode, answer.answers)
}

#[tokio::test]
async fn a_published_view_answers_the_next_query() {
    let server = start(Vec::new());
    assert_eq!(asked(&server, WEB, "vip.web").await.1, ["vip.web. 1 IN A 10.43.0.1"]);
    let mut fleet = assignment();
    fleet.generation = 43;
    fleet.services[0].vip = "10.43.9.9".into();
    server.publish(View::build(&fleet, &Local::default()));
    let answer = server.resolve(ip(WEB), "vip.web", "A").await.expect("an answer");
    assert_eq!(answer.answers, ["vip.web. 1 IN A 10.43.9.9"]);
    assert_eq!((answer.generation, answer.host.as_str(), answer.rcode.as_str()), (43, "h1", "NOERROR"));
}

#[tokio::test]
async fn what_cannot_be_looked_up_says_why() {
    let server = start(Vec::new());
    let ask = async |asker: &str, name: &str, kind: &str| server.resolve(ip(asker), name, kind).await.unwrap_err();
    assert!(matches!(ask(STRANGER, "web.shop", "A").await, ResolveError::UnknownAsker(_)));
    assert!(matches!(ask(WEB, "a..b", "A").await, ResolveError::Name(_)));
    assert!(matches!(ask(WEB, &"x".repeat(64), "A").await, ResolveError::Name(_)));
    assert!(matches!(ask(WEB, "web.shop", "NONSENSE").await, ResolveError::Kind(_)));
}

#[tokio::test]
async fn an_address_that_is_taken_is_an_error_that_says_what_to_do() {
    let holder = std::net::UdpSocket::bind(local(0)).expect("loopback is free");
    let address = holder.local_addr().expect("bound");
    let error = Server::start(vec![address], view(), Upstreams::fixed(Vec::new())).err().expect("refused").to_string();
    assert!(error.contains(&address.to_string()) && error.contains("ss -lnp"), "{error}");
}

#[tokio::test]
async fn an_address_the_host_does_not_have_yet_can_be_listened_on() {
    let address = SocketAddr::new(ip("192.0.2.77"), 0);
    Server::start(vec![address], view(), Upstreams::fixed(Vec::new())).expect("IP_FREEBIND");
}

/// How an upstream behaves, given a query (id and question as they came).
type Behaviour = fn(&[u8]) -> Vec<Vec<u8>>;

/// An upstream on loopback: sends whatever `behaviour` says for each query.
pub(crate) async fn upstream(behaviour: Behaviour) -> SocketAddr {
    let socket = UdpSocket::bind(local(0)).await.expect("loopback is free");
    let address = socket.local_addr().expect("bound");
    let listener = TcpListener::bind(address).await.expect("the same port over TCP");
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok((len_bytes, from)) = socket.recv_from(&mut buffer).await {
            for answer in behaviour(&buffer[..len_bytes]) {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let len_bytes = stream.read_u16().await.expect("a length");
            let mut asked = vec![0; len_bytes.into()];
            stream.read_exact(&mut asked).await.expect("a query");
            let mut answer = honest(&asked).remove(0);
            answer[3] |= 0x20; // AD: came over TCP
            stream.write_u16(answer.len() as u16).await.expect("sent");
            stream.write_all(&answer).await.expect("sent");
        }
    });
    address
}

/// 198.51.100.1, with an odd extra section that must arrive untouched.
pub(crate) fn honest(asked: &[u8]) -> Vec<Vec<u8>> {
    let question_end = 12 + asked[12..].iter().position(|byte| *byte == 0).expect("a name") + 5;
    let mut answer = asked[..question_end].to_vec();
    answer[2] |= 0x80;
    answer[3] |= 0x80;
    answer[7] = 1;
    answer[10..12].copy_from_slice(&[0, 1]);
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 77, 0, 4, 198, 51, 100, 1]);
    answer.extend([0xc0, 12, 0xff, 0x01, 0, 1, 0, 0, 0, 9, 0, 3, 1, 2, 3]); // type 65281, unknown to everyone
    vec![answer]
}

fn silent(_: &[u8]) -> Vec<Vec<u8>> {
    Vec::new()
}

fn failing(asked: &[u8]) -> Vec<Vec<u8>> {
    let mut answer = asked.to_vec();
    answer[2] |= 0x80;
    answer[3] = 0x82;
    vec![answer]
}

fn truncating(asked: &[u8]) -> Vec<Vec<u8>> {
    let mut answer = asked.to_vec();
    answer[2] |= 0x82;
    vec![answer]
}

/// Garbage, a wrong id, another question, a question to us; then the right answer in capitals.
fn lying(asked: &[u8]) -> Vec<Vec<u8>> {
    let mut right = honest(asked).remove(0);
    let mut wrong_id = right.clone();
    wrong_id[0] ^= 1;
    let mut other_question = right.clone();
    other_question[13] = b'z';
    right[13..17].make_ascii_uppercase();
    vec![vec![1, 2, 3], wrong_id, other_question, asked.to_vec(), right]
}

pub(crate) const FORWARDED: &str = "example.org. 77 IN A 198.51.100.1";

#[tokio::test]
async fn other_names_come_from_the_upstream_with_code_sections_and_ttl_untouched() {
    let server = start(vec![upstream(honest).await]);
    let packet = query("eXample.org", A);
    let bytes = exchange(&server, &packet).await;
    let mut expected = honest(&packet).remove(0);
    expected[..2].copy_from_slice(&packet[..2]);
    assert_eq!(bytes, expected, "every byte as the upstream sent it, our client's id and spelling");
    assert_eq!(server.stats().get(Counter::Forwarded), 1);
}

/// One query over UDP from loopback.
pub(crate) async fn exchange(server: &Server, packet: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind(local(0)).await.expect("loopback is free");
    socket.send_to(packet, server.addresses()[0]).await.expect("sent");
    let mut buffer = vec![0; 4096];
    let received = tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut buffer)).await;
    let len_bytes = received.expect("an answer in time").expect("received");
    buffer.truncate(len_bytes);
    buffer
}

#[tokio::test]
async fn a_slow_a_dead_and_a_failing_upstream_are_stepped_over_and_the_good_one_is_remembered() {
    let dead = UdpSocket::bind(local(0)).await.expect("free").local_addr().expect("bound"); // closed again: refuses
    let server = start(vec![dead, upstream(failing).await, upstream(silent).await, upstream(honest).await]);
    assert_eq!(asked(&server, WEB, "example.org").await.1[0], FORWARDED);
    let begin = Instant::now();
    assert_eq!(asked(&server, APP, "example.org").await.1[0], FORWARDED);
    assert!(begin.elapsed() < Duration::from_secs(1), "asks the one that answered first: {:?}", begin.elapsed());
}

#[tokio::test]
async fn lies_in_front_of_the_right_answer_are_passed_over_and_counted() {
    let server = start(vec![upstream(lying).await]);
    assert_eq!(asked(&server, WEB, "example.org").await, ("NOERROR".into(), vec![FORWARDED.into()]));
    assert_eq!(server.stats().get(Counter::UpstreamForgeries), 4);
}

#[tokio::test]
async fn a_failure_is_handed_on_when_nobody_knows_better() {
    let server = start(vec![upstream(failing).await]);
    assert_eq!(asked(&server, WEB, "example.org").await, ("SERVFAIL".into(), vec![]));
}

#[tokio::test]
async fn a_truncated_answer_is_fetched_over_tcp_for_tcp_and_handed_on_for_udp() {
    let server = start(vec![upstream(truncating).await]);
    assert_eq!(asked(&server, WEB, "example.org").await.1[0], FORWARDED);
    let bytes = exchange(&server, &query("example.org", A)).await;
    assert_eq!((bytes[2] & 0x02, bytes[7]), (0x02, 0));
}

#[tokio::test]
async fn without_an_upstream_the_failure_comes_at_once() {
    let server = start(Vec::new());
    let begin = Instant::now();
    assert_eq!(asked(&server, WEB, "example.org").await.0, "SERVFAIL");
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn silent_upstreams_end_in_servfail_before_the_client_gives_up() {
    let server = start(vec![upstream(silent).await, upstream(silent).await]);
    let begin = Instant::now();
    assert_eq!(asked(&server, WEB, "example.org").await.0, "SERVFAIL");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn internal_containers_reach_no_upstream() {
    let server = start(vec![upstream(honest).await]);
    assert_eq!(asked(&server, VAULT, "unique-label.example.org").await.0, "NXDOMAIN");
    assert_eq!(server.stats().get(Counter::UpstreamQueries), 0);
}

#[tokio::test]
async fn one_asker_waiting_for_a_slow_upstream_leaves_own_names_and_other_askers_alone() {
    let server = start(vec![upstream(silent).await]);
    let socket = UdpSocket::bind(local(0)).await.expect("free");
    let storm = query("example.org", A);
    for _ in 0..200 {
        socket.send_to(&storm, server.addresses()[0]).await.expect("sent");
    }
    let begin = Instant::now();
    exchange(&server, &query("web.shop", A)).await;
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    while server.stats().get(Counter::QueriesUdp) < 201 {
        tokio::task::yield_now().await;
    }
    let stats = server.stats();
    assert_eq!((stats.get(Counter::UpstreamQueries), stats.get(Counter::ForwardOverLimit)), (64, 136));
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.addresses()[0]).await.expect("connected")
}

fn framed(packet: &[u8]) -> Vec<u8> {
    [&(packet.len() as u16).to_be_bytes(), packet].concat()
}

async fn read_framed(stream: &mut TcpStream) -> Vec<u8> {
    let len_bytes = stream.read_u16().await.expect("a length");
    let mut answer = vec![0; len_bytes.into()];
    stream.read_exact(&mut answer).await.expect("an answer");
    answer
}

#[tokio::test]
async fn pipelined_queries_are_all_answered_and_a_slow_one_does_not_hold_up_the_rest() {
    let server = start(vec![upstream(silent).await]);
    let mut stream = connect(&server).await;
    let mut slow = query("slow.example.org", A);
    slow[0] = 0xee;
    let all: Vec<u8> =
        [slow].into_iter().chain((0..20).map(|_| query("web.shop", A))).flat_map(|q| framed(&q)).collect();
    let (first, second) = all.split_at(77); // in the middle of a message
    stream.write_all(first).await.expect("sent");
    stream.flush().await.expect("sent");
    stream.write_all(second).await.expect("sent");
    for _ in 0..20 {
        assert_eq!(read_framed(&mut stream).await[..2], [0x12, 0x34]);
    }
    let last = read_framed(&mut stream).await;
    assert_eq!((last[0], last[3] & 0x0f), (0xee, 2), "SERVFAIL in the end");
}

#[tokio::test]
async fn idle_connections_are_closed_and_one_asker_cannot_hold_more_than_its_share() {
    let server = start(Vec::new());
    let mut held = Vec::new();
    for _ in 0..40 {
        held.push(connect(&server).await);
    }
    while server.stats().get(Counter::DropTcpLimit) < 8 {
        tokio::task::yield_now().await;
    }
    let begin = Instant::now();
    for stream in &mut held {
        let _ = stream.read_u8().await.expect_err("closed by the server");
    }
    assert!(begin.elapsed() < Duration::from_secs(9), "{:?}", begin.elapsed());
    let mut next = connect(&server).await;
    next.write_all(&framed(&query("web.shop", A))).await.expect("sent");
    assert_eq!(read_framed(&mut next).await[7], 3);
}

#[tokio::test]
async fn a_length_no_query_has_closes_the_connection() {
    let server = start(Vec::new());
    for length in [0u16, 11, 4097, 65_535] {
        let mut stream = connect(&server).await;
        stream.write_u16(length).await.expect("sent");
        stream.read_u8().await.expect_err("closed");
    }
    assert_eq!(server.stats().get(Counter::DropTcpBadLength), 4);
}

#[tokio::test]
async fn after_the_drop_the_address_is_free_again() {
    let server = start(Vec::new());
    let address = server.addresses()[0];
    drop(server);
    tokio::task::yield_now().await;
    Server::start(vec![address], view(), Upstreams::fixed(Vec::new())).expect("the port is free");
}

#[tokio::test]
async fn counters_have_metric_names_and_labels() {
    let server = start(Vec::new());
    exchange(&server, &query("web.shop", A)).await;
    let stats = server.stats();
    let moved: Vec<_> = stats.rows().filter(|(_, _, count)| *count > 0).collect();
    assert_eq!(
        moved,
        [
            ("dns_queries_total", ("transport", "udp"), 1),
            ("dns_answers_total", ("rcode", "NOERROR"), 1),
            ("dns_answered_types_total", ("type", "A"), 1),
        ]
    );
}
