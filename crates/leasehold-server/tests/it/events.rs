//! The log of events: what is told of limits, of leases, and of those who wait.

use leasehold_engine::Span;
use serde_json::json;

use crate::fixture::{TestApp, lease_of, run};
use crate::waiting::{PARK_SECONDS, body, retry};

fn start() -> TestApp {
    TestApp::init().with_records().with_config(|config| config.park_seconds = PARK_SECONDS).start()
}

/// A server with the limit `db` of one slot, and a lease that holds it.
async fn held() -> (TestApp, String) {
    let app = start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    (app, lease)
}

fn of_waiters(told: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
    told.iter().map(|(kind, reason)| ((*kind).to_owned(), reason.map(str::to_owned))).collect()
}

#[tokio::test]
async fn who_waits_and_is_granted_is_told_under_the_lease_that_it_got() {
    let (app, lease) = held().await;
    app.acquire_with(&body(1)).await.expect(423);
    let held = retry(&app, 1).await;
    app.release(&lease).await.expect(204);
    let granted = lease_of(&held.await.expect(200));
    let told = app.told(&format!("lease={granted}"), 2).await;
    assert_eq!(told, of_waiters(&[("waiter.queued", None), ("lease.granted", None)]));
    let queued = &app.events("kind=waiter").await[0];
    assert_eq!((&queued["limit"], &queued["holder"]["id"]), (&json!("db"), &json!(run(1))));
}

#[tokio::test]
async fn a_refusal_that_did_not_wait_is_not_told() {
    let (app, _) = held().await;
    for client in 1..=5 {
        app.acquire_with(&body(client)).await.expect(423);
    }
    app.limit("after", 1).await;
    app.told("kind=limit", 2).await;
    assert_eq!(app.events("kind=waiter").await.len(), 0);
}

#[tokio::test]
async fn who_leaves_the_line_is_told_with_the_reason() {
    let (app, lease) = held().await;
    let mut expected = Vec::new();
    let mut check = async |app: &TestApp, reason| {
        expected.extend([("waiter.queued", None), ("waiter.left", Some(reason))]);
        assert_eq!(app.told("kind=waiter", expected.len()).await, of_waiters(&expected));
    };
    app.acquire_with(&body(1)).await.expect(423);
    drop(retry(&app, 1).await);
    check(&app, "its client hung up").await;

    app.acquire_with(&body(2)).await.expect(423);
    let held = retry(&app, 2).await;
    app.clock.advance(Span::from_seconds_f64(PARK_SECONDS));
    held.await.expect(423);
    check(&app, "it had waited for as long as a request is held open").await;

    let held = retry(&app, 2).await;
    app.update("db", &json!({"limit": 0})).await;
    held.await.expect(422);
    check(&app, "the limit was changed, and it can have no lease any longer").await;

    app.update("db", &json!({"limit": 1})).await;
    app.acquire_with(&body(3)).await.expect(423);
    let held = retry(&app, 3).await;
    app.journal.fail(true);
    app.renew(&lease).await.expect(503);
    held.await.expect(503);
    app.recover().await;
    check(&app, "the journal failed").await;

    app.acquire_with(&body(4)).await.expect(423);
    let held = retry(&app, 4).await;
    app.ledger().send_waiters_away();
    held.await.expect(503);
    check(&app, "the server stopped").await;
}

#[tokio::test]
async fn who_gets_slots_without_a_lease_is_told_to_have_left_with_them() {
    let (app, lease) = held().await;
    app.increment(&["db"], 1).await.expect(423);
    let held = app.increment(&["db"], 1);
    let release = async {
        app.told("kind=waiter.queued", 1).await;
        app.release(&lease).await.expect(204);
    };
    let (answer, ()) = tokio::join!(held, release);
    answer.expect(200);
    let left = ("waiter.left", Some("it got its slots, without a lease"));
    assert_eq!(app.told("kind=waiter", 2).await, of_waiters(&[("waiter.queued", None), left]));
}

#[tokio::test]
async fn the_log_survives_a_restart_and_goes_on() {
    let (app, lease) = held().await;
    let app = app.restart(Span::from_seconds(5)).await;
    app.release(&lease).await.expect(204);
    let told = app.told("limit=db", 3).await;
    let kinds: Vec<_> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["limit.created", "lease.granted", "lease.released"]);
}
