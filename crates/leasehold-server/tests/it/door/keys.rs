//! Idempotency keys: a request that is sent repeatedly gets one lease.

use std::future::poll_fn;
use std::task::Poll;

use leasehold_engine::Span;
use serde_json::{Value, json};

use super::{DOOR, asking, id};
use crate::fixture::{Answer, FIRST_TOKEN, TestApp, is_pending, run};

fn key(key: &str) -> Value {
    json!({"idempotency_key": key})
}

#[tokio::test]
async fn the_same_key_answers_the_same_lease_as_it_is_now() {
    let app = TestApp::start();
    app.limit("db", 2).await;
    let body = json!({
        "limits": [{"name": "db"}],
        "holder": {"kind": "pod", "id": "a", "labels": {"first": "yes"}},
        "idempotency_key": "k",
    });
    let first = app.post(DOOR, &body).await.expect(201).json();
    app.sleep(10.0);
    app.renew_at_door(id(&first), 100.0).await.expect(200);
    let mut retry = body.clone();
    retry["ttl_seconds"] = json!(7);
    retry["holder"]["labels"] = json!({"second": "yes"});
    let again = app.post(DOOR, &retry).await.expect(200).json();
    let mut expected = first.clone();
    expected["deadline"] = json!("2026-11-20T20:54:50.000000Z");
    assert_eq!(again, expected, "neither ttl nor labels of the retry count");
    assert_eq!(app.taken("db").await, 1);
    let other = app.hold(&["db"], key("other")).await;
    assert_ne!(id(&other), id(&first));
}

#[tokio::test]
async fn a_key_is_known_after_a_restart_and_after_a_crash() {
    for crash in [false, true] {
        let app = TestApp::start();
        app.limit("db", 2).await;
        let first = app.hold(&["db"], key("k")).await;
        let app = match crash {
            true => app.crash(Span::from_seconds(9)),
            false => app.restart(Span::from_seconds(9)).await,
        };
        let again = app.ask(&["db"], key("k")).await.expect(200).json();
        assert_eq!(again["fencing_token"], first["fencing_token"]);
        app.ask(&["nope"], key("k")).await.expect(409);
        assert_eq!(app.taken("db").await, 1);
    }
}

#[tokio::test]
async fn a_key_is_known_from_the_file_that_users_have() {
    let app = TestApp::init().on_disk().start();
    app.limit("db", 2).await;
    let first = app.hold(&["db"], key("k")).await;
    let app = app.restart(Span::from_seconds(9)).await;
    let again = app.ask(&["db"], key("k")).await.expect(200).json();
    assert_eq!(id(&again), id(&first));
}

#[tokio::test]
async fn a_key_that_was_used_for_another_request_is_refused() {
    let app = TestApp::start();
    app.limit("db", 5).await;
    app.limit("cpu", 5).await;
    let body = json!({
        "limits": [{"name": "db"}, {"name": "cpu", "slots": 2}],
        "holder": {"kind": "pod", "id": "a"},
        "idempotency_key": "k",
    });
    app.post(DOOR, &body).await.expect(201);
    let mut turned = body.clone();
    turned["limits"] = json!([{"name": "cpu", "slots": 2}, {"name": "db", "slots": 1}]);
    app.post(DOOR, &turned).await.expect(200);
    for (field, other) in [
        ("limits", json!([{"name": "db"}])),
        ("limits", json!([{"name": "db"}, {"name": "cpu", "slots": 3}])),
        ("holder", json!({"kind": "pod", "id": "b"})),
        ("holder", json!({"kind": "process", "id": "a"})),
        ("holder", json!(null)),
        ("mode", json!("rate_limit")),
    ] {
        let mut different = body.clone();
        different[field] = other;
        let refused = app.post(DOOR, &different).await.expect(409).detail();
        assert!(refused.contains("'k'"), "{refused}");
    }
    assert_eq!((app.taken("db").await, app.taken("cpu").await), (1, 2));
}

#[tokio::test]
async fn a_key_of_an_ended_lease_answers_its_end_and_takes_no_slot() {
    let app = TestApp::start();
    app.limit("db", 5).await;
    let mut leases = Vec::new();
    for name in ["released", "expired", "revoked"] {
        leases.push(id(&app.hold(&["db"], key(name)).await).to_owned());
    }
    app.give_back(&leases[0]).await.expect(200);
    app.revoke(&leases[2], &json!({"reason": "moved", "by": "ops"})).await.expect(204);
    app.sleep(60.0);
    for (name, lease) in ["released", "expired", "revoked"].into_iter().zip(&leases) {
        let told = app.ask(&["db"], key(name)).await.expect(410).json();
        assert_eq!((&told["status"], &told["id"]), (&json!(name), &json!(lease)));
    }
    assert_eq!(app.taken("db").await, 0);
    let app = app.restart(Span::from_seconds(1)).await;
    let told = app.ask(&["db"], key("revoked")).await.expect(410).json();
    assert_eq!((&told["reason"], &told["by"]), (&json!("moved"), &json!("ops")));
}

#[tokio::test]
async fn two_requests_that_wait_with_the_same_key_are_granted_one_lease_together() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    let request = json!({"idempotency_key": "k", "wait_seconds": 3600});
    let first = app.queue(&["db"], request.clone()).await;
    let second = app.queue(&["db"], request).await;
    let mut next = app.queue(&["db"], json!({"wait_seconds": 3600})).await;
    app.release(&lease).await.expect(204);
    let first = first.await.expect(201).json();
    let second = second.await.expect(200).json();
    assert_eq!(first, second);
    assert!(is_pending(&mut next).await, "one slot was granted once");
    app.give_back(id(&first)).await.expect(200);
    next.await.expect(201);
}

#[tokio::test]
async fn a_retry_takes_the_place_of_a_request_that_hung_up_while_it_waited() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    let request = json!({"idempotency_key": "k", "wait_seconds": 3600});
    drop(app.queue(&["db"], request.clone()).await);
    app.nobody_waits("db").await;
    let retry = app.queue(&["db"], request).await;
    app.release(&lease).await.expect(204);
    retry.await.expect(201);
}

#[tokio::test]
async fn a_waiter_owns_its_key() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    app.lease_for(&["db"], &run(1)).await;
    let waits = app.queue(&["db"], json!({"idempotency_key": "k", "wait_seconds": 60})).await;
    let other = json!({"idempotency_key": "k", "holder": {"kind": "pod", "id": "b"}});
    app.post(DOOR, &asking(&["db"], &other)).await.expect(409);
    drop(waits);
}

/// Networks fail: a client gives up at any moment, and sends the same request again.
#[tokio::test]
async fn clients_that_hang_up_at_any_moment_and_come_back_hold_one_lease_each() {
    const ROUNDS: u64 = 5;
    let app = TestApp::start();
    app.limit("db", 3).await;
    let client = async |number: u64| {
        let mut random = fastrand::Rng::with_seed(number);
        for round in 0..ROUNDS {
            let key = format!("{number}-{round}");
            let request = json!({"idempotency_key": key, "wait_seconds": 3600});
            let mut patience = || random.usize(0..8);
            let lease = loop {
                let asked = Box::pin(app.ask(&["db"], request.clone()));
                if let Some(answer) = for_so_many_looks(asked, patience()).await {
                    assert!([200, 201].contains(&answer.status.as_u16()), "{}", answer.text());
                    break answer.json();
                }
            };
            let again = app.ask(&["db"], request.clone()).await.expect(200).json();
            assert_eq!(again, lease);
            assert!(app.taken("db").await <= 3);
            app.give_back(id(&lease)).await.expect(200);
            app.ask(&["db"], request).await.expect(410);
        }
    };
    futures_util::future::join_all((0..24).map(client)).await;
    app.nobody_waits("db").await;
    assert_eq!(app.taken("db").await, 0);
    // Each was granted once: no grant was lost and repeated.
    let last = app.hold(&["db"], json!({})).await;
    assert_eq!(last["fencing_token"], FIRST_TOKEN + 24 * ROUNDS);
}

/// The answer, if it comes within so many polls. Otherwise the client hangs up.
async fn for_so_many_looks(mut request: super::Pending<'_>, mut looks: usize) -> Option<Answer> {
    poll_fn(|context| match request.as_mut().poll(context) {
        Poll::Ready(answer) => Poll::Ready(Some(answer)),
        Poll::Pending if looks == 0 => Poll::Ready(None),
        Poll::Pending => {
            looks -= 1;
            Poll::Pending
        }
    })
    .await
}
