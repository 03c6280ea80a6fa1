//! Clients that poll get their turn: the first refusal is immediate, and the retry is held open in
//! the place that the refusal gave it.

use leasehold_engine::Span;
use serde_json::json;

use crate::fixture::{LIMITS, PARK_SECONDS, TestApp, is_pending, lease_of, run, until, with_json};

fn start() -> TestApp {
    TestApp::init().with_config(|config| config.park_seconds = PARK_SECONDS).start()
}

#[tokio::test]
async fn d22_a_freed_slot_goes_to_the_client_that_came_back_for_it() {
    let app = start();
    let lease = app.full(&[]).await;
    let first = app.ask_as(1).await.expect(423);
    assert!(first.retry_after() < 0.1, "it sleeps {} s", first.retry_after());
    let retry = app.retry(1).await;
    app.release(&lease).await.expect(204);
    retry.await.expect(200);
}

#[tokio::test]
async fn the_client_refused_first_goes_first_even_if_another_comes_back_first() {
    let app = start();
    let (lease, first, second) = app.two_in_line().await;
    let holders: Vec<_> =
        app.waiters("db").await.iter().map(|waiter| waiter["holder"]["id"].clone()).collect();
    assert_eq!(holders, [run(1), run(2)]);
    app.release(&lease).await.expect(204);
    let granted = first.await.expect(200);
    app.release(&lease_of(&granted)).await.expect(204);
    second.await.expect(200);
}

#[tokio::test]
async fn a_client_that_hangs_up_while_it_waits_leaves_the_line() {
    let app = start();
    let lease = app.full(&[1]).await;
    drop(app.retry(1).await);
    until(async || app.waiters("db").await.is_empty()).await;
    app.release(&lease).await.expect(204);
    assert_eq!(app.taken("db").await, 0);
}

#[tokio::test]
async fn a_place_is_kept_when_a_client_hangs_up_in_it() {
    let app = start();
    let (lease, first, second) = app.two_in_line().await;
    drop(first);
    until(async || app.waiters("db").await.len() == 1).await;
    let first = app.retry(1).await;
    app.release(&lease).await.expect(204);
    let granted = first.await.expect(200);
    app.release(&lease_of(&granted)).await.expect(204);
    second.await.expect(200);
}

#[tokio::test]
async fn a_try_lock_that_is_tried_twice_is_refused_at_once_both_times() {
    for pause in [0.0, 0.005, 0.02, 0.1, 1.0, 10.0] {
        let app = start();
        app.full(&[]).await;
        app.ask_as(1).await.expect(423);
        app.sleep(pause);
        app.ask_as(1).await.expect(423);
    }
}

#[tokio::test]
async fn a_refusal_gives_a_cookie_to_a_client_that_has_none() {
    let app = start();
    app.full(&[]).await;
    let body = json!({"names": ["db"], "slots": 1});
    let refused = app.acquire_with(&body).await.expect(423);
    let cookie = refused.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let again = || async {
        let mut request = with_json("POST", &format!("{LIMITS}/increment-with-lease"), &body);
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
        app.send(request).await
    };
    let again = again().await.expect(423);
    assert_eq!(again.header("set-cookie"), None);
}

#[tokio::test]
async fn a_client_is_held_open_by_its_cookie_and_another_one_is_not() {
    let app = start();
    app.full(&[]).await;
    let body = json!({"names": ["db"], "slots": 1});
    let ask = |cookie: &'static str| {
        let mut request = with_json("POST", &format!("{LIMITS}/increment-with-lease"), &body);
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
        request.headers_mut().insert("user-agent", "prefect/3.8.8 (API 0.8.4)".parse().unwrap());
        app.send(request)
    };
    let (mine, yours) = ("leasehold-client=mine", "leasehold-client=yours");
    ask(mine).await.expect(423);
    app.sleep(0.02);
    ask(yours).await.expect(423);
    let tested = ask(mine).await.expect(423);
    app.sleep(tested.retry_after());
    ask(yours).await.expect(423);
    let _held = app.held_open("db", ask(mine)).await;
}

#[tokio::test]
async fn a_grant_whose_client_hung_up_goes_to_the_next_in_line() {
    let app = start();
    let (lease, first, second) = app.two_in_line().await;
    app.release(&lease).await.expect(204);
    // The first client is granted its slot, and hangs up before it reads the answer.
    drop(first);
    second.await.expect(200);
}

#[tokio::test]
async fn a_request_is_held_open_for_so_long_and_then_refused_with_its_place_kept() {
    let app = start();
    let (lease, older, younger) = app.two_in_line().await;
    app.clock.advance(Span::from_seconds_f64(PARK_SECONDS));
    older.await.expect(423);
    younger.await.expect(423);
    let younger = app.retry(2).await;
    let older = app.retry(1).await;
    app.release(&lease).await.expect(204);
    older.await.expect(200);
    drop(younger);
}

#[tokio::test]
async fn a_rate_limit_answers_at_the_moment_when_it_has_drained_enough() {
    let app = start();
    app.rate_limit("db", 1, 0.5).await;
    let granted = app.clock.now();
    app.ask_as(1).await.expect(200);
    app.ask_as(2).await.expect(423);
    let mut held = app.retry(2).await;
    let drained = granted + Span::from_seconds(2);
    app.clock.advance(Span::from_micros(drained.since(app.clock.now()).as_micros() - 1));
    assert_eq!(app.waiters("db").await.len(), 1);
    assert!(is_pending(&mut held).await);
    app.clock.advance(Span::from_micros(1));
    held.await.expect(200);
}

#[tokio::test]
async fn a_waiter_is_sent_away_at_once_when_the_server_stops() {
    let app = start();
    app.full(&[1]).await;
    let held = app.retry(1).await;
    app.ledger().send_waiters_away();
    let answer = held.await.expect(423);
    assert_eq!(answer.retry_after(), 1.0);
}

#[tokio::test]
async fn a_waiter_is_sent_away_when_the_journal_fails_and_can_come_back() {
    let app = start();
    let lease = app.full(&[1]).await;
    let held = app.retry(1).await;
    app.journal.fail(true);
    app.release(&lease).await.expect(503);
    held.await.expect(503);
    app.journal.fail(false);
    app.release(&lease).await.expect(204);
    app.ask_as(1).await.expect(200);
}

#[tokio::test]
async fn a_client_that_finds_the_line_full_is_not_asked_to_come_back_at_once() {
    let app = TestApp::init()
        .with_config(|config| {
            config.park_seconds = PARK_SECONDS;
            config.waiters_max = 1;
        })
        .start();
    let lease = app.full(&[1, 2]).await;
    let first = app.retry(1).await;
    let refused = app.ask_as(2).await.expect(423);
    assert!(refused.retry_after() > 1.0, "it sleeps {} s", refused.retry_after());

    // Its place is kept, before all clients that came later.
    app.release(&lease).await.expect(204);
    let lease = lease_of(&first.await.expect(200));
    let second = app.retry(2).await;
    app.release(&lease).await.expect(204);
    second.await.expect(200);
}
