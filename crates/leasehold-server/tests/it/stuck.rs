//! Holders that wait for themselves or for each other: answers, waiters and events show it, and no
//! request is refused for it.

use serde_json::{Value, json};

use crate::fixture::TestApp;

const DOOR: &str = "/api/leases";

fn request(limit: &str, pod: &str, wait_seconds: u64) -> Value {
    json!({
        "limits": [{"name": limit}],
        "holder": {"kind": "pod", "id": pod},
        "wait_seconds": wait_seconds,
    })
}

async fn hold(app: &TestApp, limit: &str, pod: &str) -> Value {
    app.post(DOOR, &request(limit, pod, 0)).await.expect(201).json()["id"].clone()
}

#[tokio::test]
async fn answer_waiters_and_event_show_that_a_holder_waits_for_itself() {
    let app = TestApp::init().with_records().start();
    app.limit("x", 1).await;
    let lease = hold(&app, "x", "a").await;
    let stuck = json!([{
        "limit": "x",
        "lease": lease,
        "holder": {"type": "pod", "id": "a"},
        "origin": null,
        "is_own": true,
        "waits_for": ["x"],
    }]);
    let refused = app.post(DOOR, &request("x", "a", 0)).await.expect(423).json();
    assert_eq!(refused["stuck"], stuck);
    let detail = "There is no room on 'x'. The same holder has 'x': it waits for itself.";
    assert_eq!(refused["detail"], json!(detail));
    let body = request("x", "a", 30);
    let waiting = app.held_open("x", app.post(DOOR, &body)).await;
    assert_eq!(app.waiters("x").await[0]["stuck"], stuck);
    let reason = format!("it holds 'x' itself, by the lease {}", lease.as_str().unwrap());
    let told = app.told("kind=waiter.stuck", 1).await;
    assert_eq!(told, [("waiter.stuck".to_owned(), Some(reason))]);
    // The server does not refuse the request: another thread of the holder may release the slot.
    app.delete(&format!("{DOOR}/{}", lease.as_str().unwrap())).await.expect(200);
    waiting.await.expect(201);
}

#[tokio::test]
async fn waiters_and_event_name_two_holders_that_wait_for_each_other() {
    let app = TestApp::init().with_records().start();
    app.limit("x", 1).await;
    app.limit("y", 1).await;
    let held_by_a = hold(&app, "x", "a").await;
    let held_by_b = hold(&app, "y", "b").await;
    let (of_a, of_b) = (request("y", "a", 30), request("x", "b", 30));
    let _waits = app.held_open("y", app.post(DOOR, &of_a)).await;
    assert_eq!(app.waiters("y").await[0]["stuck"], json!([]));
    let _waits_too = app.held_open("x", app.post(DOOR, &of_b)).await;
    assert_eq!(app.waiters("x").await[0]["stuck"][0]["lease"], held_by_a);
    assert_eq!(app.waiters("y").await[0]["stuck"][0]["lease"], held_by_b);
    app.told("kind=waiter.stuck", 1).await;
    let events = app.events("kind=waiter.stuck").await;
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["limit"], &events[0]["holder"]["id"]), (&json!("x"), &json!("b")));
    let expected =
        format!("pod a holds 'x' by the lease {}, and waits for 'y'", held_by_a.as_str().unwrap());
    assert_eq!(events[0]["reason"], json!(expected));
}
