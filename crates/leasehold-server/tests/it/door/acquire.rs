//! New leases: the answers to grants and refusals.

use axum::body::Body;
use leasehold_engine::Span;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{DOOR, asking, id};
use crate::fixture::{FIRST_TOKEN, LIMITS, TestApp, assert_json, until, with_json};

#[tokio::test]
async fn a_grant_and_a_later_read_show_the_whole_lease() {
    let app = TestApp::start();
    let db = app.limit("db", 5).await;
    let cpu = app.limit("cpu", 8).await;
    let body = json!({
        "limits": [{"name": "db"}, {"name": "cpu", "slots": 4}],
        "holder": {"kind": "process", "id": "host-1:77", "labels": {"team": "data"}},
        "ttl_seconds": 1.5,
    });
    let answer = app.post(DOOR, &body).await.expect(201);
    let lease = answer.json();
    let expected = json!({
        "id": id(&lease),
        "limits": [
            {"id": db, "name": "db", "slots": 1},
            {"id": cpu, "name": "cpu", "slots": 4},
        ],
        "holder": {"kind": "process", "id": "host-1:77", "labels": {"team": "data"}},
        "origin": null,
        "created": "2026-11-20T20:53:00.000000Z",
        "deadline": "2026-11-20T20:53:01.500000Z",
        "fencing_token": FIRST_TOKEN,
    });
    assert_json(&answer, &expected);
    assert_json(&app.get(&format!("{DOOR}/{}", id(&lease))).await.expect(200), &expected);
    assert_eq!((app.taken("db").await, app.taken("cpu").await), (1, 4));
    let on_limit = &app.leases("db").await[0];
    assert_eq!(on_limit["labels"], json!({"team": "data"}));
    app.sleep(1.5);
    assert_eq!(app.taken("cpu").await, 0);
}

#[tokio::test]
async fn labels_survive_a_restart_and_are_no_part_of_the_holder() {
    let app = TestApp::init().on_disk().start();
    app.limit("db", 2).await;
    let holder = |labels: Value| json!({"holder": {"kind": "pod", "id": "a", "labels": labels}});
    let first = app.hold(&["db"], holder(json!({"zone": "☃"}))).await;
    let second = app.hold(&["db"], holder(json!({}))).await;
    let app = app.restart(Span::from_seconds(5)).await;
    let listed = app.get(&format!("{DOOR}?holder_kind=pod&holder_id=a")).await.expect(200).json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[0]["holder"], first["holder"]);
    assert_eq!(listed[1]["holder"], second["holder"]);
}

#[tokio::test]
async fn a_lease_holds_the_active_limits_and_one_without_any_is_kept_nowhere() {
    let app = TestApp::start();
    app.limit("on", 1).await;
    app.limit_with(&json!({"name": "off", "limit": 1, "active": false})).await;
    let lease = app.hold(&["on", "off"], json!({})).await;
    assert_eq!(lease["limits"].as_array().unwrap().len(), 1);
    let commits = app.journal.commits_begun();
    let key = json!({"idempotency_key": "k"});
    let empty = app.hold(&["off"], key.clone()).await;
    assert_eq!(empty["limits"], json!([]));
    assert_eq!((&empty["deadline"], &empty["fencing_token"]), (&json!(null), &json!(null)));
    assert_eq!(app.journal.commits_begun(), commits);
    let renewed = app.renew_at_door(id(&empty), 5.0).await.expect(200).json();
    assert_eq!((&renewed["status"], &renewed["deadline"]), (&json!("renewed"), &json!(null)));
    app.give_back(id(&empty)).await.expect(200);
    let again = app.hold(&["off"], key).await;
    assert_eq!(id(&again), id(&empty), "the same key, the same lease");
    app.get(&format!("{DOOR}/{}", id(&empty))).await.expect(404);
}

#[tokio::test]
async fn missing_limits_are_listed_in_an_error_or_skipped_on_request() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let answer = app.ask(&["nope", "db", "neither"], json!({})).await.expect(404);
    let expected = json!({
        "detail": "There are no limits named 'nope', 'neither'.",
        "missing": ["nope", "neither"],
    });
    assert_json(&answer, &expected);
    let one = app.ask(&["nope"], json!({})).await.expect(404);
    assert_eq!(one.detail(), "There is no limit named 'nope'.");
    assert_eq!(app.taken("db").await, 0);
    let lease = app.hold(&["nope", "db"], json!({"if_missing": "skip"})).await;
    assert_eq!(lease["limits"][0]["name"], "db");
}

#[tokio::test]
async fn a_request_that_can_never_be_granted_is_an_error_with_its_numbers() {
    let app = TestApp::start();
    app.limit("db", 4).await;
    app.rate_limit("api", 5, 1.0).await;
    let body = json!({"limits": [{"name": "db", "slots": 5}], "wait_seconds": 60});
    let sentence = "The limit 'db' has 4 slots, and 5 were asked for: there will never be room.";
    assert_eq!(app.post(DOOR, &body).await.expect(422).detail(), sentence);
    let rate = json!({"mode": "rate_limit", "wait_seconds": 60});
    let refused = app.ask(&["db", "api"], rate.clone()).await.expect(422).detail();
    assert!(refused.ends_with("'db'"), "{refused}");
    app.hold(&["api"], rate).await;
}

#[tokio::test]
async fn a_request_that_does_not_wait_is_refused_with_what_blocks_it() {
    let app = TestApp::start();
    let db = app.limit("db", 2).await;
    let api = app.rate_limit("api", 4, 2.0).await;
    app.limit("free", 1).await;
    app.lease(&["db"], 2).await;
    app.increment(&["api"], 4).await.expect(200);
    let limits = json!([{"name": "db"}, {"name": "free"}, {"name": "api", "slots": 3}]);
    let answer = app.post(DOOR, &json!({"limits": limits})).await.expect(423);
    let told = answer.json();
    assert_eq!(told["detail"], "There is no room on 'db', 'api'.");
    assert_eq!(told["position"], 1);
    let waiting_for = json!([
        {"id": db, "name": "db", "limit": 2, "slots": 1, "why": "held",
         "drained_after_seconds": null, "slots_without_lease": []},
        {"id": api, "name": "api", "limit": 4, "slots": 3, "why": "draining",
         "drained_after_seconds": 1.5,
         "slots_without_lease": [app.leases("api").await[0]["without_lease"]]},
    ]);
    assert_eq!(told["waiting_for"], waiting_for);
    let seconds = told["retry_after_seconds"].as_f64().unwrap();
    assert!((1.0..=2.0).contains(&seconds), "{seconds}");
    assert_eq!(answer.header("retry-after"), Some(format!("{}", seconds.ceil()).as_str()));
    assert_eq!(app.taken("free").await, 0);
}

#[tokio::test]
async fn an_invalid_request_is_answered_in_the_shape_of_all_errors() {
    let app = TestApp::start();
    let wrong = async |body: Value| {
        let refused = app.post(DOOR, &body).await.expect(422).json();
        let detail = &refused["exception_detail"][0];
        (detail["type"].as_str().unwrap().to_owned(), detail["loc"].clone())
    };
    let duplicates = wrong(asking(&["a", "b", "a"], &json!({}))).await;
    assert_eq!(duplicates, ("duplicate".to_owned(), json!(["body", "limits", 2])));
    let unknown = wrong(asking(&["a"], &json!({"wait": 5}))).await;
    assert_eq!(unknown, ("extra_forbidden".to_owned(), json!(["body", "wait"])));
    assert_eq!(wrong(json!([])).await.1, json!(["body"]));
    let empty = crate::fixture::request("POST", DOOR).body(Body::empty()).unwrap();
    app.send(empty).await.expect(422);
}

#[tokio::test]
async fn a_grant_whose_client_hung_up_before_it_was_written_is_given_back() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let request = with_json("POST", DOOR, &asking(&["db"], &json!({})));
    let Ok(response) = app.router().oneshot(request).await;
    assert_eq!(response.status(), 201);
    assert_eq!(app.taken("db").await, 1);
    drop(response);
    until(async || app.taken("db").await == 0).await;
}

/// The client returns with its key. If the server gave the grant back, that client would hold a
/// lease that has ended.
#[tokio::test]
async fn a_grant_with_a_key_is_kept_when_its_client_hangs_up() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let body = asking(&["db"], &json!({"idempotency_key": "k", "ttl_seconds": 5}));
    let Ok(response) = app.router().oneshot(with_json("POST", DOOR, &body)).await;
    drop(response);
    let again = app.post(DOOR, &body).await.expect(200).json();
    assert_eq!(again["fencing_token"], FIRST_TOKEN);
    assert_eq!(app.taken("db").await, 1);
    app.sleep(5.0);
    assert_eq!(app.taken("db").await, 0, "its client did not return: it expired");
}

#[tokio::test]
async fn a_failed_commit_is_answered_with_503_and_leaves_no_lease() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    app.journal.fail(true);
    let key = json!({"idempotency_key": "k"});
    app.ask(&["db"], key.clone()).await.expect(503);
    app.recover().await;
    assert_eq!(app.taken("db").await, 0);
    app.hold(&["db"], key).await;
    let limit = app.get(&format!("{LIMITS}/db")).await.expect(200).json();
    assert_eq!(limit["active_slots"], 1);
}
