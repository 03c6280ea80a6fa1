//! Limits that move, with clocks that the test advances.

use std::fs;

use leasehold_engine::{CreateLimit, LimitId, LimitRef, Scope, Span};
use serde_json::{Value, json};
use uuid::Uuid;

use super::before;
use crate::fixture::{LIMITS, TestApp, until};

const MIGRATION: &str = "/api/leasehold/migration";

async fn limit(server: &TestApp, name: &str, slots: u64) -> String {
    let made = server.post(&format!("{LIMITS}/"), &json!({"name": name, "limit": slots})).await;
    made.expect(201).json()["id"].as_str().unwrap().to_owned()
}

async fn taken(server: &TestApp, name: &str) -> u64 {
    let limit = server.get(&format!("{LIMITS}/{name}")).await.expect(200).json();
    limit["active_slots"].as_u64().unwrap()
}

async fn take_plain(server: &TestApp, name: &str, slots: u64) {
    let body = json!({"names": [name], "slots": slots});
    server.post(&format!("{LIMITS}/increment"), &body).await.expect(200);
}

async fn status(gateway: &TestApp, name: &str) -> Value {
    let all = gateway.get(MIGRATION).await.expect(200).json();
    let all = all["limits"].as_array().unwrap();
    all.iter().find(|limit| limit["name"] == name).cloned().unwrap_or_default()
}

/// A grant must not lack a limit that has left the ledger since the request was routed there.
#[tokio::test]
async fn a_limit_that_left_the_ledger_is_asked_for_upstream() {
    let upstream = TestApp::init().with_records().start();
    let gateway = before(upstream.listen().await, |_| {});
    for name in ["db", "other"] {
        let id: Uuid = limit(&upstream, name, 1).await.parse().unwrap();
        let create = CreateLimit::new(LimitId(id.as_u128()), name, 1);
        gateway.ledger().create_limit(create).await.unwrap();
    }
    // What the ledger has at the start is ours.
    let gateway = gateway.restart(Span::from_seconds(1)).await;
    until(async || status(&gateway, "db").await["phase"] == "leasehold").await;
    let limit = LimitRef::Name("db".into());
    gateway.ledger().delete_limit(limit, Scope::All).await.unwrap();
    let body = json!({"names": ["db", "other"], "slots": 1, "lease_duration": 60});
    let took = gateway.post(&format!("{LIMITS}/increment-with-lease"), &body).await.expect(200);
    assert_eq!(took.json()["limits"].as_array().unwrap().len(), 2);
    assert_eq!((taken(&upstream, "db").await, taken(&upstream, "other").await), (1, 0));
}

/// A crash while covers were taken, and then one of the upstream, which forgot its leases: it
/// counts slots that no lease holds, and Leasehold has no id of them.
#[tokio::test]
async fn covers_whose_ids_are_lost_are_given_back() {
    let directory = tempfile::tempdir().unwrap();
    let upstream = TestApp::init().with_records().start();
    let id = limit(&upstream, "db", 5).await;
    take_plain(&upstream, "db", 3).await;
    let asked = directory.path().join("prefect-covers-asked.json");
    fs::write(&asked, json!({id: 2}).to_string()).unwrap();
    let file = directory.path().join("dropped.json");
    let gateway = before(upstream.listen().await, |config| {
        config.dropped_phantoms_file = Some(file);
    });
    until(async || status(&gateway, "db").await["unexplained"] == 3).await;
    gateway.clock.advance(Span::from_seconds(400));
    until(async || status(&gateway, "db").await["phantoms"] == 3).await;
    assert_eq!(taken(&upstream, "db").await, 3, "their leases may still run out");
    gateway.clock.advance(Span::from_seconds(300));
    until(async || taken(&upstream, "db").await == 1).await;
    gateway.clock.advance(Span::from_seconds(700));
    until(async || status(&gateway, "db").await["phantoms"] == 1).await;
    assert_eq!(fs::read_to_string(&asked).unwrap(), "{}", "they are given back once");
    assert_eq!(taken(&upstream, "db").await, 1, "the other one is not ours");
}

/// A lease of an hour is held since before the start, and slots are unexplained.
#[tokio::test]
async fn slots_are_not_judged_while_a_lease_from_before_may_hold_them() {
    let upstream = TestApp::init().with_records().start();
    limit(&upstream, "db", 9).await;
    let body = json!({"names": ["db"], "slots": 4, "lease_duration": 3600});
    let took = upstream.post(&format!("{LIMITS}/increment-with-lease"), &body).await.expect(200);
    let lease = took.json()["lease_id"].as_str().unwrap().to_owned();
    let gateway = before(upstream.listen().await, |_| {});
    until(async || status(&gateway, "db").await["unexplained"] == 4).await;
    let warning = status(&gateway, "db").await["warning"].as_str().unwrap().to_owned();
    assert!(warning.contains("cannot be judged yet"), "{warning}");
    let renewal = format!("{LIMITS}/leases/{lease}/renew");
    gateway.post(&renewal, &json!({"lease_duration": 3600})).await.expect(204);
    gateway.clock.advance(Span::from_seconds(3_500));
    gateway.post(&renewal, &json!({"lease_duration": 3600})).await.expect(204);
    gateway.clock.advance(Span::from_seconds(200));
    let judged = status(&gateway, "db").await;
    assert_eq!(judged["phantoms"], 0, "one lease may hold all four: {judged}");
    let warning = judged["warning"].as_str().unwrap();
    assert!(warning.contains("1 leases that were granted before"), "{warning}");
    // Nobody renews it for its whole length.
    gateway.clock.advance(Span::from_seconds(3_601));
    until(async || status(&gateway, "db").await["phantoms"] == 4).await;
}
