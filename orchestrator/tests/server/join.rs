//! Who is let in, and what a certificate opens.

use std::time::Duration;

use crate::common::{Fleet, Identity, csr, facts};
use remuda_api::link::*;
use remuda_api::resource::{Event, TokenCreated};
use serde_json::json;
use tonic::Code;

#[tokio::test(flavor = "multi_thread")]
async fn expired_used_up_truncated_and_foreign_tokens_are_refused_by_name_and_audited() {
    let fleet = Fleet::start().await;
    let (_, made) = fleet.api.send("POST", "/v1/tokens", Some(json!({"uses": 1, "ttl_s": 900}))).await;
    let once: TokenCreated = serde_json::from_value(made).expect("TokenCreated");
    assert_eq!(
        once.join_command,
        format!("echo {} | remuda agent --server {} --token-file -", once.token, fleet.server().ready.address)
    );
    fleet.join(&once.token, facts()).await.expect("the first use");
    let other = HostFacts { name: "h2".into(), underlay_ip: "192.0.2.2".into(), ..facts() };
    let refusal = async |token: &str| fleet.join(token, other.clone()).await.err().expect("refused");
    let used_up = refusal(&once.token).await;
    assert_eq!(used_up.code(), Code::Unauthenticated);
    assert!(used_up.message().contains("used up"), "{used_up}");
    let (_, made) = fleet.api.send("POST", "/v1/tokens", Some(json!({"uses": 1, "ttl_s": 1}))).await;
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert!(refusal(made["token"].as_str().expect("a token")).await.message().contains("expired"));
    let whole = fleet.token();
    assert!(refusal(&whole[..whole.len() - 5]).await.message().contains("incomplete"));
    let foreign = Fleet::start().await;
    assert!(refusal(&foreign.token()).await.message().contains("not known here"));
    let events: Vec<Event> = fleet.api.get("/v1/events").await;
    assert_eq!(events.iter().filter(|event| event.kind == "refused").count(), 4);
    let text = serde_json::to_string(&events).expect("text");
    assert!(!text.contains(whole.rsplit('.').next().expect("a secret")), "no secret in the events");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_join_costs_the_token_no_use() {
    let fleet = Fleet::start().await;
    let (_, made) = fleet.api.send("POST", "/v1/tokens", Some(json!({"uses": 1}))).await;
    let token = made["token"].as_str().expect("a token");
    let refusals = [
        HostFacts { name: "no.dots".into(), ..facts() },
        HostFacts { routes: vec!["default".into(), "10.42.7.0/24".into()], ..facts() },
        HostFacts { underlay_ip: "127.0.0.1".into(), ..facts() },
        HostFacts { protocol_version: 9, ..facts() },
    ];
    for facts in refusals {
        let refused = fleet.join(token, facts).await.err().expect("refused");
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
    }
    fleet.join(token, facts()).await.expect("the use is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_host_of_the_same_name_is_refused_once_the_first_has_reported() {
    let fleet = Fleet::start().await;
    let first = fleet.join(&fleet.token(), facts()).await.expect("joins, and loses its credentials");
    let _host = fleet.host_with(facts()).await;
    fleet.api.until_ready(1).await;
    let again = fleet.join(&fleet.token(), facts()).await.err().expect("refused");
    assert!(again.message().contains("a host named `h1` is in the fleet"), "{again}");
    let mut client = fleet.client(&first).await;
    let lost = crate::common::server_stream::<_, Update>(&mut client, "Assign", AssignRequest::default()).await;
    assert_eq!(lost.expect_err("its record was replaced").code(), Code::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_nothing_but_joining_is_possible() {
    let fleet = Fleet::start().await;
    let mut client = crate::common::client(fleet.address(), &fleet.ca(), None).await.expect("TLS");
    let assign = crate::common::server_stream::<_, Update>(&mut client, "Assign", AssignRequest::default()).await;
    assert_eq!(assign.expect_err("refused").code(), Code::Unauthenticated);
    let renew: Result<Credentials, _> = crate::common::unary(&mut client, "Renew", RenewRequest::default()).await;
    assert_eq!(renew.expect_err("refused").code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_renews_itself_and_does_nothing_else() {
    let fleet = Fleet::start().await;
    let identity = fleet.join(&fleet.token(), facts()).await.expect("joins");
    let key = rcgen::KeyPair::from_pem(&identity.key).expect("its key");
    let ca = &fleet.server().fleet.ca;
    // One second of life, over before the next handshake.
    let short = ca.node_for(identity.node_id, &csr(&key), Duration::from_secs(1)).expect("a certificate");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let expired = Identity { certificate: short.pem, ..identity.clone() };
    let mut client = fleet.client(&expired).await;
    let assign = crate::common::server_stream::<_, Update>(&mut client, "Assign", AssignRequest::default()).await;
    let refused = assign.expect_err("only renewing");
    assert!(refused.message().contains("expired"), "{refused}");
    let new_key = rcgen::KeyPair::generate().expect("a key");
    let renewed: Credentials =
        crate::common::unary(&mut client, "Renew", RenewRequest { csr_pem: csr(&new_key) }).await.expect("renewed");
    assert_eq!(renewed.node_id, identity.node_id);
    let fresh =
        Identity { node_id: renewed.node_id, certificate: renewed.certificate_pem, key: new_key.serialize_pem() };
    let mut client = fleet.client(&fresh).await;
    crate::common::server_stream::<_, Update>(&mut client, "Assign", AssignRequest::default()).await.expect("in again");
    let events: Vec<Event> = fleet.api.get("/v1/events").await;
    assert!(events.iter().any(|e| e.kind == "certificate-renewed" && e.message.contains("expired")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_ca_does_not_get_through_the_handshake() {
    let (fleet, foreign) = (Fleet::start().await, Fleet::start().await);
    let theirs = foreign.join(&foreign.token(), facts()).await.expect("joins there");
    let mut client = match crate::common::client(fleet.address(), &fleet.ca(), Some(&theirs)).await {
        Err(_) => return,
        // TLS 1.3: the client learns it with its first read.
        Ok(client) => client,
    };
    let refused = crate::common::server_stream::<_, Update>(&mut client, "Assign", AssignRequest::default()).await;
    assert!(refused.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_joining_host_that_trusts_another_ca_never_sends_its_secret() {
    let (fleet, foreign) = (Fleet::start().await, Fleet::start().await);
    let refused = crate::common::client(fleet.address(), &foreign.ca(), None).await;
    // Both CAs have one name; what differs is the key.
    assert!(refused.expect_err("refused by the client").contains("InvalidCertificate"));
}
