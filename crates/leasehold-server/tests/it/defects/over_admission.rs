//! Slots that two holders hold.

use serde_json::json;
use tower::ServiceExt;

use crate::fixture::{LIMITS, TestApp, run, until, with_json};

#[tokio::test]
async fn d11_four_concurrent_releases_of_one_lease_admit_one_more_holder() {
    let app = TestApp::start();
    app.limit("db", 4).await;
    let lease = app.lease(&["db"], 1).await;
    app.lease(&["db"], 3).await;
    let releases = futures_util::future::join_all((0..4).map(|_| app.release(&lease)));
    let (releases, _) = tokio::join!(releases, app.get("/api/health"));
    for release in releases {
        release.expect(204);
    }
    app.lease(&["db"], 1).await;
    app.acquire(&["db"], 1).await.expect(423);
}

#[tokio::test]
async fn d12_releasing_an_expired_lease_frees_no_slot_of_another_holder() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let dead = app.lease(&["db"], 1).await;
    app.sleep(300.0);
    app.lease(&["db"], 1).await;
    app.release(&dead).await.expect(204);
    app.acquire(&["db"], 1).await.expect(423);
}

#[tokio::test]
async fn d13_a_lease_made_while_the_limit_was_inactive_frees_no_slot_of_it() {
    let app = TestApp::start();
    app.limit_with(&json!({"name": "db", "limit": 1, "active": false})).await;
    let outside = app.lease(&["db"], 1).await;
    app.update("db", &json!({"active": true})).await;
    app.lease(&["db"], 1).await;
    app.release(&outside).await.expect(204);
    app.acquire(&["db"], 1).await.expect(423);
}

#[tokio::test]
async fn d14_a_decrement_of_one_tag_frees_no_slot_of_another() {
    let app = TestApp::start();
    app.tag("a", 1).await;
    app.tag("b", 1).await;
    app.tag_increment(&["a"], &run(1)).await.expect(200);
    app.tag_increment(&["b"], &run(1)).await.expect(200);
    app.tag_decrement(&["a"], &run(1)).await.expect(200);
    app.tag_increment(&["b"], &run(2)).await.expect(423);
    app.tag_increment(&["a"], &run(2)).await.expect(200);
}

#[tokio::test]
async fn d15_a_task_run_that_asks_twice_holds_one_slot() {
    let app = TestApp::start();
    app.tag("db", 2).await;
    app.tag_increment(&["db"], &run(1)).await.expect(200);
    app.tag_increment(&["db"], &run(1)).await.expect(200);
    app.tag_increment(&["db"], &run(2)).await.expect(200);
    // It gives the slot back once.
    app.tag_decrement(&["db"], &run(1)).await.expect(200);
    assert_eq!(app.holders("db").await, json!([run(2)]));
}

#[tokio::test]
async fn d16_a_lease_on_a_decaying_limit_gives_back_only_what_has_not_drained() {
    let app = TestApp::start();
    app.rate_limit("api", 10, 1.0).await;
    let lease = app.lease(&["api"], 4).await;
    app.spend(&["api"], 6).await.expect(200);
    app.sleep(7.0);
    // The six slots without a lease have drained, and one of the lease's four: three are left.
    assert_eq!(app.taken("api").await, 3);
    app.release(&lease).await.expect(204);
    assert_eq!(app.taken("api").await, 0);

    let lease = app.lease(&["api"], 4).await;
    app.sleep(5.0);
    app.spend(&["api"], 10).await.expect(200);
    app.release(&lease).await.expect(204);
    app.spend(&["api"], 1).await.expect(423);
}

#[tokio::test]
async fn d17_a_renewal_that_came_before_the_deadline_wins() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    app.sleep(299.999_999);
    app.renew(&lease).await.expect(204);
    app.sleep(299.999_999);
    app.acquire(&["db"], 1).await.expect(423);
    app.renew(&lease).await.expect(204);
}

/// The engine has stepped the renewal, which waits for the disk while the deadline passes.
#[tokio::test]
async fn d17_a_renewal_under_way_while_the_deadline_passes_is_not_lost() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    app.limit("other", 1).await;
    app.sleep(299.0);
    // A commit now, so that the next one is not the heartbeat's.
    app.lease(&["other"], 1).await;
    app.journal.hold();
    let begun = app.journal.commits_begun();
    let path = format!("{LIMITS}/leases/{lease}/renew");
    let renewal = tokio::spawn(app.router().oneshot(with_json("POST", &path, &json!({}))));
    until(async || app.journal.commits_begun() > begun).await;
    app.sleep(2.0);
    let path = format!("{LIMITS}/increment-with-lease");
    let body = json!({"names": ["db"], "slots": 1});
    let rival = tokio::spawn(app.router().oneshot(with_json("POST", &path, &body)));
    tokio::task::yield_now().await;
    app.journal.let_go();
    assert_eq!(renewal.await.unwrap().unwrap().status(), 204);
    assert_eq!(rival.await.unwrap().unwrap().status(), 423);
    app.renew(&lease).await.expect(204);
}

/// By contract a release answers 204 whether or not the lease has ended. A client that wants to
/// know reads the lease.
#[tokio::test]
async fn d18_a_caller_who_has_lost_its_lease_can_learn_of_it() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    app.sleep(300.0);
    app.renew(&lease).await.expect(410);
    let expired = "Lease not found - it expired at 2026-11-20T20:58:00.000000Z";
    let path = format!("/api/leases/{lease}");
    assert_eq!(app.get(&path).await.expect(404).detail(), expired);
    let revoked = app.revoke(&lease, &serde_json::json!({})).await;
    assert_eq!(revoked.expect(404).detail(), expired);
}
