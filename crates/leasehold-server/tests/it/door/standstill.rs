//! A server that stood still, and a commit that takes longer than a lease. No holder loses time by
//! them, and no answer has a deadline in the past.

use axum::body::Body;
use axum::http::Request;
use leasehold_engine::Span;
use serde_json::json;
use tower::ServiceExt;

use super::{DOOR, id};
use crate::fixture::{Answer, TestApp, until, with_json};

const STANDSTILL: Span = Span::from_seconds(8);

fn renewal(lease: &str, ttl_seconds: f64) -> Request<Body> {
    with_json("POST", &format!("{DOOR}/{lease}/renew"), &json!({"ttl_seconds": ttl_seconds}))
}

#[tokio::test]
async fn a_standstill_longer_than_a_lease_ends_no_lease() {
    let app = TestApp::start();
    app.limit("db", 2).await;
    let lease = app.hold(&["db"], json!({"ttl_seconds": 5})).await;
    let idle = app.hold(&["db"], json!({"ttl_seconds": 5})).await;
    app.clock.stand_still(STANDSTILL);
    let renewed = app.renew_at_door(id(&lease), 5.0).await.expect(200).json();
    assert_eq!(renewed["deadline"], "2026-11-20T20:53:13.000000Z");
    app.sleep(4.999_999);
    app.get(&format!("{DOOR}/{}", id(&idle))).await.expect(200);
    app.sleep(0.000_001);
    app.renew_at_door(id(&idle), 5.0).await.expect(410);
}

#[tokio::test]
async fn the_time_that_leases_keep_after_a_standstill_survives_a_crash() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.hold(&["db"], json!({"ttl_seconds": 5})).await;
    app.clock.stand_still(STANDSTILL);
    app.limit("other", 1).await;
    let app = app.crash(Span::ZERO);
    app.sleep(4.9);
    app.renew_at_door(id(&lease), 5.0).await.expect(200);
}

#[tokio::test]
async fn time_that_passes_while_the_server_runs_ends_leases() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.hold(&["db"], json!({"ttl_seconds": 5})).await;
    app.sleep(8.0);
    app.renew_at_door(id(&lease), 5.0).await.expect(410);
}

#[tokio::test]
async fn a_renewal_whose_commit_outlasts_the_lease_has_a_deadline_in_the_future() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.hold(&["db"], json!({"ttl_seconds": 5})).await;
    let begun = app.journal.commits_begun();
    app.journal.hold();
    let renewing = tokio::spawn(app.router().oneshot(renewal(id(&lease), 5.0)));
    until(async || app.journal.commits_begun() > begun).await;
    app.clock.stand_still(STANDSTILL);
    app.journal.let_go();
    let answer = Answer::read(renewing.await.unwrap().unwrap()).await.expect(200).json();
    assert_eq!(answer["deadline"], "2026-11-20T20:53:13.000000Z");
    app.sleep(4.9);
    app.renew_at_door(id(&lease), 5.0).await.expect(200);
}
