//! Requests that wait: the server holds them open until it grants or refuses them, or until their
//! time is over.

use serde_json::{Value, json};

use super::{id, waiting};
use crate::fixture::{FIRST_TOKEN, LIMITS, TestApp, is_pending};

#[tokio::test]
async fn a_waiter_is_granted_the_moment_a_slot_is_free() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let held = app.hold(&["db"], json!({})).await;
    let first = app.queue(&["db"], waiting(60.0)).await;
    let mut second = app.queue(&["db"], waiting(60.0)).await;
    app.give_back(id(&held)).await.expect(200);
    let lease = first.await.expect(201).json();
    assert!(is_pending(&mut second).await);
    // The other way in which a slot comes back: its lease expires.
    app.sleep(59.999_999);
    assert!(is_pending(&mut second).await);
    let renewed = app.renew_at_door(id(&lease), 1.0).await.expect(200).json();
    assert_eq!(renewed["deadline"], "2026-11-20T20:54:00.999999Z");
    drop(second);
}

#[tokio::test]
async fn a_waiter_is_granted_when_a_lease_expires() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    app.hold(&["db"], json!({"ttl_seconds": 10})).await;
    let next = app.queue(&["db"], waiting(60.0)).await;
    app.sleep(10.0);
    let lease = next.await.expect(201).json();
    assert_eq!(lease["created"], "2026-11-20T20:53:10.000000Z");
    assert_eq!(lease["deadline"], "2026-11-20T20:54:10.000000Z", "its full time");
}

#[tokio::test]
async fn a_waiter_whose_time_is_over_gets_its_position_and_what_it_waits_for() {
    let app = TestApp::start();
    let db = app.limit("db", 1).await;
    app.lease(&["db"], 1).await;
    let before = app.queue(&["db"], waiting(60.0)).await;
    let mut short = app.queue(&["db"], waiting(5.0)).await;
    app.sleep(4.999_999);
    assert!(is_pending(&mut short).await);
    app.sleep(0.000_001);
    let answer = short.await.expect(423);
    let told = answer.json();
    assert_eq!(told["position"], 2);
    assert_eq!(told["waiting_for"][0]["id"], db);
    assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    // A request that does not wait gets the same answer at once.
    let told = app.ask(&["db"], json!({})).await.expect(423).json();
    assert_eq!(told["position"], 2);
    let urgent = app.ask(&["db"], json!({"priority": 1})).await.expect(423).json();
    assert_eq!(urgent["position"], 1);
    drop(before);
}

#[tokio::test]
async fn the_higher_priority_goes_first_and_equal_ones_in_order_of_arrival() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let mut held = app.hold(&["db"], json!({})).await;
    let mut line = Vec::new();
    for (number, priority) in [(1, 0), (2, 5), (3, -1), (4, 5), (5, 0)] {
        let holder = json!({"kind": "job", "id": number.to_string(), "labels": {"n": "x"}});
        let more = json!({"priority": priority, "wait_seconds": 60, "holder": holder});
        line.push((number, app.queue(&["db"], more).await));
    }
    let shown = app.waiters("db").await;
    let order: Vec<_> = shown.iter().map(|it| it["holder"]["id"].as_str().unwrap()).collect();
    assert_eq!(order, ["2", "4", "1", "5", "3"]);
    assert_eq!(shown[0]["position"], 1);
    assert_eq!(shown[0]["labels"], json!({"n": "x"}));
    assert_eq!(shown[0]["blocked_by"], json!(["db"]));
    for expected in [2, 4, 1, 5, 3] {
        app.give_back(id(&held)).await.expect(200);
        let at = line.iter().position(|(number, _)| *number == expected).unwrap();
        let (_, next) = line.remove(at);
        held = next.await.expect(201).json();
        assert_eq!(held["holder"]["id"], expected.to_string());
    }
}

#[tokio::test]
async fn a_waiter_that_hangs_up_leaves_the_line() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let held = app.hold(&["db"], json!({})).await;
    drop(app.queue(&["db"], waiting(60.0)).await);
    app.nobody_waits("db").await;
    app.give_back(id(&held)).await.expect(200);
    assert_eq!(app.taken("db").await, 0);
}

#[tokio::test]
async fn a_waiter_that_hangs_up_at_its_turn_leaves_the_slot_to_the_next() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let held = app.hold(&["db"], json!({})).await;
    let first = app.queue(&["db"], waiting(60.0)).await;
    let second = app.queue(&["db"], waiting(60.0)).await;
    app.give_back(id(&held)).await.expect(200);
    drop(first);
    second.await.expect(201);
}

/// With a key, the grant stays until its client returns with that key.
#[tokio::test]
async fn a_waiter_that_hangs_up_at_its_turn_finds_the_lease_by_its_key() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let held = app.hold(&["db"], json!({})).await;
    let request = json!({"idempotency_key": "k", "wait_seconds": 60});
    let first = app.queue(&["db"], request.clone()).await;
    app.give_back(id(&held)).await.expect(200);
    drop(first);
    let lease = app.ask(&["db"], request).await.expect(200).json();
    assert_eq!(lease["fencing_token"], FIRST_TOKEN + 1);
}

#[tokio::test]
async fn an_operators_change_answers_a_waiter_at_once() {
    let check = async |change: Value, status: u16| {
        let app = TestApp::start();
        app.limit("db", 2).await;
        app.lease(&["db"], 2).await;
        let waits = app.queue(&["db"], waiting(3_600.0)).await;
        app.update("db", &change).await;
        waits.await.expect(status).json()
    };
    assert_eq!(check(json!({"limit": 3}), 201).await["limits"][0]["slots"], 1);
    let disabled = check(json!({"active": false}), 201).await;
    assert_eq!((&disabled["limits"], &disabled["fencing_token"]), (&json!([]), &json!(null)));
    assert_eq!(check(json!({"active_slots": 1}), 201).await["limits"][0]["name"], "db");
    let never = check(json!({"limit": 0}), 422).await;
    let sentence = "The limit 'db' has 0 slots, and 1 were asked for: there will never be room.";
    assert_eq!(never["detail"], sentence);
}

#[tokio::test]
async fn a_waiter_for_deleted_limits_gets_their_names() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    app.limit("cpu", 1).await;
    app.lease(&["db"], 1).await;
    let insists = app.queue(&["db", "cpu"], waiting(60.0)).await;
    let skip = json!({"wait_seconds": 60, "if_missing": "skip"});
    let skips = app.queue(&["db", "cpu"], skip).await;
    app.delete(&format!("{LIMITS}/db")).await.expect(204);
    assert_eq!(insists.await.expect(404).json()["missing"], json!(["db"]));
    assert_eq!(skips.await.expect(201).json()["limits"][0]["name"], "cpu");
}

#[tokio::test]
async fn a_rate_limit_grants_at_the_moment_when_it_has_drained_enough() {
    let app = TestApp::start();
    app.rate_limit("api", 2, 0.5).await;
    app.increment(&["api"], 2).await.expect(200);
    let body = json!({
        "limits": [{"name": "api", "slots": 2}], "mode": "rate_limit", "wait_seconds": 60,
    });
    let mut waits = app.queue(&["api"], body).await;
    app.sleep(3.999_999);
    assert_eq!(app.waiters("api").await.len(), 1);
    assert!(is_pending(&mut waits).await);
    app.sleep(0.000_001);
    waits.await.expect(201);
}

#[tokio::test]
async fn a_stopping_server_refuses_its_waiters_at_once() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    app.lease(&["db"], 1).await;
    let waits = app.queue(&["db"], waiting(3_600.0)).await;
    app.ledger().send_waiters_away();
    let answer = waits.await.expect(503);
    assert!(answer.retry_after() > 0.0);
}

#[tokio::test]
async fn a_waiter_for_several_limits_holds_none_until_it_gets_all() {
    let app = TestApp::start();
    app.limit("a", 1).await;
    app.limit("b", 1).await;
    let (a, b) = (app.hold(&["a"], json!({})).await, app.hold(&["b"], json!({})).await);
    let mut both = app.queue(&["a", "b"], waiting(60.0)).await;
    app.give_back(id(&a)).await.expect(200);
    assert!(is_pending(&mut both).await);
    assert_eq!(app.taken("a").await, 0);
    app.hold(&["a"], json!({"ttl_seconds": 1})).await;
    app.give_back(id(&b)).await.expect(200);
    app.sleep(1.0);
    let lease = both.await.expect(201).json();
    assert_eq!(lease["limits"].as_array().unwrap().len(), 2);
}

/// A holder needs a connection to renew its lease, so waiters may not take all connections.
#[tokio::test]
async fn a_request_is_refused_at_once_when_the_line_is_full() {
    let app = TestApp::init().with_config(|config| config.waiters_max = 2).start();
    app.limit("db", 1).await;
    app.limit("free", 1).await;
    let held = app.hold(&["db"], json!({})).await;
    let first = app.queue(&["db"], waiting(60.0)).await;
    let second = app.queue(&["db"], waiting(60.0)).await;
    let refused = app.ask(&["db"], waiting(60.0)).await.expect(423);
    assert_eq!(refused.json()["position"], 3);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(app.waiters("db").await.len(), 2);
    app.hold(&["free"], waiting(60.0)).await;

    // A waiter makes room when it hangs up or is granted.
    drop(second);
    app.nobody_waits_behind("db", 1).await;
    let third = app.queue(&["db"], waiting(60.0)).await;
    app.give_back(id(&held)).await.expect(200);
    first.await.expect(201);
    let fourth = app.queue(&["db"], waiting(60.0)).await;
    app.ask(&["db"], waiting(60.0)).await.expect(423);
    drop((third, fourth));
}
