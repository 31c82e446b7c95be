//! Services without containers: names that lead out of the fleet, and a balancer's.

use remuda_api::assignment::Service;

use crate::fixture::{APP, VAULT, WEB, assignment, query, query_edns};
use crate::message::{A, AAAA, CNAME};
use crate::naming_tests::said;
use crate::server::Server;
use crate::serving_tests::{FORWARDED, asked, exchange, honest, start, upstream};
use crate::view::{Local, View};

const MX: u16 = 15;

/// The fleet with services that lead out of it, and a balancer: `ext`, `alias` and `lb` of stack shop.
fn leading_out() -> View {
    let mut fleet = assignment();
    let service = |id, name: &str, kind: &str| Service {
        id,
        stack: "shop".into(),
        name: name.into(),
        kind: kind.into(),
        endpoint_mode: "list".into(),
        networks: fleet.services[0].networks.clone(),
        ..Service::default()
    };
    let addresses = ["192.0.2.9", "2001:db8::9", "192.0.2.9", "192.0.2.8"].map(str::to_owned).to_vec();
    let more = [
        Service { addresses, ..service(90, "ext", "external") },
        Service { hostname: "db.example.org.".into(), ..service(91, "alias", "external") },
        Service { vip: "10.43.0.92".into(), endpoint_mode: "vip".into(), ..service(92, "lb", "balancer") },
    ];
    fleet.services.extend(more);
    View::build(&fleet, &Local::default())
}

#[test]
fn an_external_service_answers_where_it_leads_and_a_balancer_its_vip() {
    let view = leading_out();
    for (asker, name, kind, expected) in [
        (WEB, "ext", A, "NOERROR 192.0.2.8 192.0.2.9"),
        (APP, "ext.shop", AAAA, "NOERROR 2001:db8::9"),
        (VAULT, "ext.shop", A, "NOERROR 192.0.2.8 192.0.2.9"),
        (WEB, "vip.ext", A, "NOERROR [SOA of ext.]"),
        (WEB, "alias", A, "looked for behind db.example.org"),
        (APP, "alias.shop", MX, "looked for behind db.example.org"),
        (WEB, "alias.shop.default.remuda.internal", AAAA, "looked for behind db.example.org"),
        (WEB, "alias", CNAME, "NOERROR db.example.org."),
        (VAULT, "alias.shop", A, "NOERROR db.example.org."),
        (WEB, "tasks.alias", A, "NOERROR [SOA of alias.]"),
        (WEB, "lb", A, "NOERROR 10.43.0.92"),
        (WEB, "tasks.lb", A, "NOERROR [SOA of lb.]"),
    ] {
        assert_eq!(said(&view, asker, name, kind), expected, "{asker} asks {name} {kind}");
    }
}

/// `db.shop` leads to `name`.
fn leading_to(server: &Server, name: &str) {
    let mut fleet = assignment();
    fleet.services.push(remuda_api::assignment::Service {
        id: 90,
        stack: "shop".into(),
        name: "db".into(),
        kind: "external".into(),
        hostname: name.into(),
        ..Default::default()
    });
    server.publish(View::build(&fleet, &Local::default()));
}

#[tokio::test]
async fn a_name_that_leads_out_of_the_fleet_is_answered_with_what_stands_there() {
    let server = start(vec![upstream(honest).await]);
    leading_to(&server, "example.org");
    let behind = ["db.shop. 1 IN CNAME example.org.", FORWARDED];
    assert_eq!(asked(&server, WEB, "db.shop").await, ("NOERROR".into(), behind.map(str::to_owned).to_vec()));
    for packet in [query("dB.shop", A), query_edns("dB.shop", A, 1232, 0)] {
        let bytes = exchange(&server, &packet).await;
        assert_eq!(bytes[..2], packet[..2], "the client's id");
        assert_eq!(bytes[12..], [&packet[12..24], &bytes[24..]].concat(), "and spelling");
        assert_eq!((bytes[6..8].to_vec(), bytes[11]), (vec![0, 2], packet[11]), "two records, EDNS where it was asked");
    }
}

#[tokio::test]
async fn behind_a_name_may_be_one_of_ours_but_not_itself_nor_nobody() {
    let server = start(Vec::new());
    leading_to(&server, "vip.web.shop");
    let behind = ["db.shop. 1 IN CNAME vip.web.shop.", "vip.web.shop. 1 IN A 10.43.0.1"];
    assert_eq!(asked(&server, WEB, "db.shop").await, ("NOERROR".into(), behind.map(str::to_owned).to_vec()));
    for nowhere in ["db.shop", "example.org"] {
        leading_to(&server, nowhere);
        let cname = format!("db.shop. 1 IN CNAME {nowhere}.");
        assert_eq!(asked(&server, WEB, "db.shop").await, ("SERVFAIL".into(), vec![cname]), "{nowhere}");
    }
}
