//! Clients that poll, and get their turn: the first refusal is immediate, the retry is held
//! open in the place that the refusal gave it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use leasehold_engine::Span;
use serde_json::{Value, json};

use crate::fixture::{Answer, LIMITS, TestApp, lease_of, run, until};

pub(crate) type Pending<'app> = Pin<Box<dyn Future<Output = Answer> + 'app>>;

pub(crate) const PARK_SECONDS: f64 = 20.0;

fn start() -> TestApp {
    TestApp::init().with_config(|config| config.park_seconds = PARK_SECONDS).start()
}

/// What the client with this number sends to take a slot of `db`.
pub(crate) fn body(client: u32) -> Value {
    let holder = json!({"type": "task_run", "id": run(client)});
    json!({"names": ["db"], "slots": 1, "lease_duration": 300, "holder": holder})
}

/// A client's retry, sent and in line, but not answered.
pub(crate) async fn retry(app: &TestApp, client: u32) -> Pending<'_> {
    let before = waiters(app).await.len();
    let request = async move { app.acquire_with(&body(client)).await };
    let mut pending: Pending<'_> = Box::pin(request);
    while waiters(app).await.len() == before {
        assert!(is_pending(&mut pending).await, "it was not held open");
    }
    pending
}

async fn is_pending(request: &mut Pending<'_>) -> bool {
    poll_fn(|context| Poll::Ready(request.as_mut().poll(context).is_pending())).await
}

async fn waiters(app: &TestApp) -> Vec<Value> {
    let answer = app.get(&format!("{LIMITS}/db/waiters")).await.expect(200);
    answer.json().as_array().unwrap().clone()
}

#[tokio::test]
async fn d22_a_freed_slot_goes_to_the_client_that_came_back_for_it() {
    let app = start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    let first = app.acquire_with(&body(1)).await.expect(423);
    assert!(first.retry_after() < 0.1, "it sleeps {} s", first.retry_after());
    let retry = retry(&app, 1).await;
    app.release(&lease).await.expect(204);
    retry.await.expect(200);
}

#[tokio::test]
async fn who_was_refused_first_goes_first_whoever_comes_back_first() {
    let app = start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    app.acquire_with(&body(1)).await.expect(423);
    app.acquire_with(&body(2)).await.expect(423);
    let second = retry(&app, 2).await;
    let first = retry(&app, 1).await;
    let holders: Vec<_> =
        waiters(&app).await.iter().map(|waiter| waiter["holder"]["id"].clone()).collect();
    assert_eq!(holders, [run(1), run(2)]);
    app.release(&lease).await.expect(204);
    let granted = first.await.expect(200);
    app.release(&lease_of(&granted)).await.expect(204);
    second.await.expect(200);
}

#[tokio::test]
async fn a_client_that_hangs_up_while_it_waits_leaves_the_line() {
    let app = start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    app.acquire_with(&body(1)).await.expect(423);
    drop(retry(&app, 1).await);
    until(async || waiters(&app).await.is_empty()).await;
    app.release(&lease).await.expect(204);
    assert_eq!(app.taken("db").await, 0);
}

#[tokio::test]
async fn a_place_is_still_there_when_somebody_who_asked_the_same_hung_up_in_it() {
    let app = start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    app.acquire_with(&body(1)).await.expect(423);
    app.acquire_with(&body(2)).await.expect(423);
    let second = retry(&app, 2).await;
    drop(retry(&app, 1).await);
    until(async || waiters(&app).await.len() == 1).await;
    let first = retry(&app, 1).await;
    app.release(&lease).await.expect(204);
    let granted = first.await.expect(200);
    app.release(&lease_of(&granted)).await.expect(204);
    second.await.expect(200);
}

#[tokio::test]
async fn who_asks_again_long_after_a_refusal_is_refused_at_once_again() {
    let app = start();
    app.limit("db", 1).await;
    app.lease(&["db"], 1).await;
    for _ in 0..3 {
        app.acquire_with(&body(1)).await.expect(423);
        app.sleep(10.0);
    }
}

#[tokio::test]
async fn a_grant_whose_client_hung_up_goes_to_the_next_in_line() {
    let app = start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    app.acquire_with(&body(1)).await.expect(423);
    app.acquire_with(&body(2)).await.expect(423);
    let first = retry(&app, 1).await;
    let second = retry(&app, 2).await;
    app.release(&lease).await.expect(204);
    // Granted, and gone before it read the answer.
    drop(first);
    second.await.expect(200);
}

#[tokio::test]
async fn a_request_is_held_open_for_so_long_and_then_refused_with_its_place_kept() {
    let app = start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    app.acquire_with(&body(1)).await.expect(423);
    let held = retry(&app, 1).await;
    app.acquire_with(&body(2)).await.expect(423);
    let younger = retry(&app, 2).await;
    app.clock.advance(Span::from_seconds_f64(PARK_SECONDS));
    held.await.expect(423);
    younger.await.expect(423);
    let younger = retry(&app, 2).await;
    let older = retry(&app, 1).await;
    app.release(&lease).await.expect(204);
    older.await.expect(200);
    drop(younger);
}

#[tokio::test]
async fn a_rate_limit_answers_at_the_moment_when_it_has_drained_enough() {
    let app = start();
    app.rate_limit("db", 1, 0.5).await;
    app.acquire_with(&body(1)).await.expect(200);
    app.acquire_with(&body(2)).await.expect(423);
    let mut held = retry(&app, 2).await;
    app.clock.advance(Span::from_micros(1_999_999));
    assert_eq!(waiters(&app).await.len(), 1);
    assert!(is_pending(&mut held).await);
    app.clock.advance(Span::from_micros(1));
    held.await.expect(200);
}

#[tokio::test]
async fn who_waits_when_the_server_stops_is_sent_away_at_once() {
    let app = start();
    app.limit("db", 1).await;
    app.lease(&["db"], 1).await;
    app.acquire_with(&body(1)).await.expect(423);
    let held = retry(&app, 1).await;
    app.ledger().send_waiters_away();
    let answer = held.await.expect(503);
    assert!(answer.retry_after() > 0.0);
}

#[tokio::test]
async fn who_waits_when_the_journal_fails_is_sent_away_and_can_come_back() {
    let app = start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    app.acquire_with(&body(1)).await.expect(423);
    let held = retry(&app, 1).await;
    app.journal.fail(true);
    app.release(&lease).await.expect(503);
    held.await.expect(503);
    app.journal.fail(false);
    app.release(&lease).await.expect(204);
    app.acquire_with(&body(1)).await.expect(200);
}

#[tokio::test]
async fn a_client_that_finds_the_line_full_is_not_told_to_come_back_at_once() {
    let app = TestApp::init()
        .with_config(|config| {
            config.park_seconds = PARK_SECONDS;
            config.waiters_max = 1;
        })
        .start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    for client in 1..=2 {
        app.acquire_with(&body(client)).await.expect(423);
    }
    let first = retry(&app, 1).await;
    let refused = app.acquire_with(&body(2)).await.expect(423);
    assert!(refused.retry_after() > 1.0, "it sleeps {} s", refused.retry_after());

    // Its place is kept: it goes before whoever came later.
    app.release(&lease).await.expect(204);
    let lease = lease_of(&first.await.expect(200));
    let second = retry(&app, 2).await;
    app.release(&lease).await.expect(204);
    second.await.expect(200);
}
