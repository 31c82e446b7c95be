//! A small fleet for tests, and queries to ask it.

use std::net::IpAddr;

use remuda_api::assignment::{Assignment, Attachment, Container, Endpoint, Environment, Fleet, Node, Service};

use crate::view::{Local, View};

/// Container `shop-web-1` of this host, on network `shop_default`.
pub(crate) const WEB: &str = "10.42.0.5";
/// Container `blog-app-1` of this host, on `blog_default` and the shared network `backbone`.
pub(crate) const APP: &str = "10.42.0.6";
/// Container `shop-vault-1` of this host: internal networks only.
pub(crate) const VAULT: &str = "10.42.0.7";
pub(crate) const HOST: &str = "127.0.0.1";
pub(crate) const STRANGER: &str = "192.0.2.66";

/// Stack `shop`: web (3 members), api (`endpoint_mode: vip`), idle (no member serves), vault.
/// Stack `blog`: app; db, which has the alias `store` on `backbone`. Service `Web` is spelt with a capital.
pub(crate) fn assignment() -> Assignment {
    Assignment {
        generation: 42,
        node_id: 1,
        fleet: Some(Fleet {
            overlay_pools: vec!["10.42.0.0/16".into()],
            vip_pools: vec!["10.43.0.0/16".into()],
            dns_ip: "169.254.169.250".into(),
            ..Fleet::default()
        }),
        environment: Some(Environment { id: 1, name: "default".into(), ..Environment::default() }),
        nodes: vec![Node {
            id: 1,
            name: "h1".into(),
            underlay_ip: "192.0.2.1".into(),
            blocks: vec!["10.42.0.0/26".into()],
            ..Node::default()
        }],
        services: vec![
            service(1, "shop", "Web", "list", &[("shop_default", &["www"])]),
            service(2, "shop", "api", "vip", &[("shop_default", &[])]),
            service(3, "shop", "idle", "list", &[("shop_default", &[])]),
            service(4, "shop", "vault", "list", &[("shop_safe", &[])]),
            service(5, "blog", "app", "list", &[("blog_default", &[]), ("backbone", &[])]),
            service(6, "blog", "db", "list", &[("blog_default", &[]), ("backbone", &["store"])]),
            service(7, "crm", "store", "list", &[("backbone", &[])]),
        ],
        endpoints: vec![
            endpoint(11, "shop-Web-1", 1, WEB),
            endpoint(12, "shop-Web-2", 1, "10.42.1.2"),
            endpoint(13, "shop-Web-3", 1, "10.42.1.3"),
            Endpoint { serving: false, ..endpoint(14, "shop-Web-4", 1, "10.42.1.4") },
            endpoint(21, "shop-api-1", 2, "10.42.1.21"),
            Endpoint { serving: false, ..endpoint(31, "shop-idle-1", 3, "10.42.1.31") },
            endpoint(41, "shop-vault-1", 4, VAULT),
            endpoint(51, "blog-app-1", 5, APP),
            endpoint(61, "blog-db-1", 6, "10.42.1.61"),
            endpoint(71, "crm-store-1", 7, "10.42.1.71"),
        ],
        checks: Vec::new(),
        containers: vec![
            container("shop-Web-1", "shop", WEB, &["shop_default"]),
            container("blog-app-1", "blog", APP, &["blog_default", "backbone"]),
            Container { internal: true, ..container("shop-vault-1", "shop", VAULT, &["shop_safe"]) },
        ],
    }
}

pub(crate) fn view() -> View {
    View::build(&assignment(), &Local::default())
}

fn service(id: u32, stack: &str, name: &str, mode: &str, networks: &[(&str, &[&str])]) -> Service {
    let attachment = |(network, aliases): &(&str, &[&str])| Attachment {
        network: (*network).into(),
        aliases: aliases.iter().map(|alias| (*alias).into()).collect(),
    };
    Service {
        id,
        stack: stack.into(),
        name: name.into(),
        vip: format!("10.43.0.{id}"),
        endpoint_mode: mode.into(),
        ports: Vec::new(),
        networks: networks.iter().map(attachment).collect(),
        ..Service::default()
    }
}

fn endpoint(id: u32, name: &str, service_id: u32, ip: &str) -> Endpoint {
    Endpoint { id, name: name.into(), service_id, node_id: 1, ip: ip.into(), serving: true, ..Endpoint::default() }
}

fn container(name: &str, stack: &str, ip: &str, networks: &[&str]) -> Container {
    Container {
        name: name.into(),
        stack: stack.into(),
        ip: ip.into(),
        networks: networks.iter().map(|network| (*network).into()).collect(),
        ..Container::default()
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// A query for `name`, id 0x1234, recursion desired, without EDNS.
pub(crate) fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut packet = crate::message::write_query(name, kind).expect("a name");
    packet[..2].copy_from_slice(&[0x12, 0x34]);
    packet
}

/// An OPT record.
pub(crate) fn opt(payload_bytes: u16, version: u8, flags: u16) -> Vec<u8> {
    let [size_high, size_low] = payload_bytes.to_be_bytes();
    let [flags_high, flags_low] = flags.to_be_bytes();
    vec![0, 0, 41, size_high, size_low, 0, version, flags_high, flags_low, 0, 0]
}

/// The same query with EDNS.
pub(crate) fn query_edns(name: &str, kind: u16, payload_bytes: u16, version: u8) -> Vec<u8> {
    let mut packet = [query(name, kind), opt(payload_bytes, version, 0)].concat();
    packet[11] = 1;
    packet
}
