//! What a query costs: `cargo run --release -p remuda-dns --example cpu_per_query`.
//!
//! Prints the time of the pure step (bytes to bytes), of building a view of 10,000 services, and the server's CPU per
//! query over loopback, where this process is the client and a second copy of it the server.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use remuda_api::assignment::{Assignment, Endpoint, Environment, Fleet, Service};
use remuda_dns::reply::{Reply, Transport, reply};
use remuda_dns::{Local, Server, Upstreams, View, message};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const MEMBERS: u32 = 5;
const QUERIES: u32 = 200_000;

fn main() {
    if std::env::args().nth(1).as_deref() == Some("serve") {
        return serve();
    }
    pure();
    build();
    for in_flight in [1, 32] {
        over_loopback(in_flight);
    }
}

fn pure() {
    let view = View::build(&fleet(1_000), &Local::default());
    let packets = packets(1_000);
    let begin = Instant::now();
    let mut sent_bytes = 0;
    for turn in 0..1_000_000usize {
        match reply(&view, LOOPBACK, &packets[turn % packets.len()], Transport::Udp, turn as u64) {
            Reply::Send { bytes, .. } => sent_bytes += bytes.len(),
            other => panic!("an answer, not {other:?}"),
        }
    }
    let each_ns = begin.elapsed().as_nanos() / 1_000_000;
    println!("pure step: {each_ns} ns per query, {} bytes per answer", sent_bytes / 1_000_000);
}

fn build() {
    let fleet = fleet(10_000);
    let before_kib = resident_kib(std::process::id());
    let begin = Instant::now();
    let view = View::build(&fleet, &Local::default());
    let elapsed = begin.elapsed();
    let memory_kib = resident_kib(std::process::id()) - before_kib;
    println!("view of 10,000 services x {MEMBERS}: built in {elapsed:?}, {memory_kib} KiB");
    drop(view);
}

fn over_loopback(in_flight: usize) {
    let mut server = Command::new(std::env::current_exe().expect("this program"))
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a second copy");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("piped")).read_line(&mut line).expect("its address");
    let address: SocketAddr = line.trim().parse().expect("an address");
    let before = cpu(server.id());
    let begin = Instant::now();
    drive(address, in_flight);
    let (elapsed, used) = (begin.elapsed(), cpu(server.id()) - before);
    println!(
        "loopback, {in_flight} in flight: {:.1} us server CPU per query, {:.0} queries/s, {:.1} us each way and back, RSS {} KiB",
        used.as_secs_f64() * 1e6 / f64::from(QUERIES),
        f64::from(QUERIES) / elapsed.as_secs_f64(),
        elapsed.as_secs_f64() * 1e6 / f64::from(QUERIES) * in_flight as f64,
        resident_kib(server.id()),
    );
    drop(server.stdin.take());
    server.wait().expect("it ends with its input");
}

fn drive(address: SocketAddr, in_flight: usize) {
    let socket = UdpSocket::bind((LOOPBACK, 0)).expect("loopback is free");
    socket.connect(address).expect("connected");
    socket.set_read_timeout(Some(Duration::from_secs(2))).expect("set");
    let packets = packets(1_000);
    let mut buffer = [0; 2048];
    let send = |turn: u32| socket.send(&packets[turn as usize % packets.len()]).expect("sent");
    (0..in_flight as u32).for_each(|turn| assert!(send(turn) > 0));
    for turn in 0..QUERIES {
        socket.recv(&mut buffer).expect("an answer within 2 s");
        if turn + (in_flight as u32) < QUERIES {
            send(turn);
        }
    }
}

/// The server: prints its address, ends when its input does.
fn serve() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let view = View::build(&fleet(1_000), &Local::default());
    let _guard = runtime.enter();
    let listen = vec![SocketAddr::new(LOOPBACK, 0)];
    let server = Server::start(listen, view, Upstreams::fixed(Vec::new())).expect("loopback is free");
    println!("{}", server.addresses()[0]);
    std::io::stdout().flush().expect("printed");
    std::io::stdin().lines().for_each(drop);
}

fn fleet(services: u32) -> Assignment {
    let name = |id: u32| format!("service{id}");
    let endpoint = |id: u32, member: u32| Endpoint {
        id: id * MEMBERS + member,
        name: format!("stack-service{id}-{member}"),
        service_id: id,
        ip: Ipv4Addr::from(0x0a2a_0000 + id * MEMBERS + member).to_string(),
        serving: true,
        ..Endpoint::default()
    };
    Assignment {
        generation: 1,
        fleet: Some(Fleet { overlay_pools: vec!["10.42.0.0/16".into()], ..Fleet::default() }),
        environment: Some(Environment { id: 1, name: "default".into(), ..Environment::default() }),
        services: (0..services)
            .map(|id| Service { id, stack: "stack".into(), name: name(id), ..Service::default() })
            .collect(),
        endpoints: (0..services).flat_map(|id| (0..MEMBERS).map(move |member| endpoint(id, member))).collect(),
        ..Assignment::default()
    }
}

fn packets(services: u32) -> Vec<Vec<u8>> {
    let query = |id| message::write_query(&format!("service{id}.stack"), message::A).expect("a name");
    (0..services).map(query).collect()
}

/// User and system time of a process, in steps of 10 ms.
fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name in brackets").split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 10)
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
    line.split_whitespace().nth(1).expect("a number").parse().expect("KiB")
}
