//! Slots that stay taken although no live client holds them.

use axum::body::Body;
use leasehold_engine::Span;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

use crate::fixture::{LIMITS, TAGS, TestApp, lease_of, run, until, with_json};

#[tokio::test]
async fn d01_a_restart_leaves_no_slot_that_its_holder_cannot_give_back() {
    let app = TestApp::init().on_disk().start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    let app = app.restart(Span::from_seconds(60)).await;
    app.renew(&lease).await.expect(204);
    let app = app.restart(Span::ZERO).await;
    app.release(&lease).await.expect(204);
    let app = app.restart(Span::ZERO).await;
    app.renew(&lease).await.expect(410);
    app.lease(&["db"], 1).await;
}

#[tokio::test]
async fn d01_a_holder_that_died_with_the_server_loses_its_slot_at_its_deadline() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    app.lease(&["db"], 1).await;
    let app = app.crash(Span::from_seconds(3_600));
    app.sleep(299.0);
    app.acquire(&["db"], 1).await.expect(423);
    // The journal may lag behind the time of the crash by at most one heartbeat.
    app.sleep(2.0);
    app.lease(&["db"], 1).await;
}

#[tokio::test]
async fn d02_a_tag_that_was_reset_is_free() {
    let app = TestApp::start();
    app.tag("db", 1).await;
    app.tag_increment(&["db"], &run(1)).await.expect(200);
    app.tag_reset("db", None).await.expect(200);
    app.tag_increment(&["db"], &run(2)).await.expect(200);
}

#[tokio::test]
async fn d03_deleting_one_tag_of_a_lease_gives_the_other_back_in_time() {
    let app = TestApp::start();
    app.tag("a", 1).await;
    app.tag("b", 1).await;
    app.lease_for(&["tag:a", "tag:b"], &run(1)).await;
    app.delete(&format!("{TAGS}/tag/a")).await.expect(200);
    app.acquire(&["tag:b"], 1).await.expect(423);
    // The holder died and does not release.
    app.sleep(300.0);
    assert_eq!(app.taken("tag:b").await, 0);
    app.lease_for(&["tag:b"], &run(2)).await;
}

#[tokio::test]
async fn d04_a_limit_disabled_while_it_was_held_leaks_nothing() {
    let app = TestApp::start();
    app.limit("db", 2).await;
    let lease = app.lease(&["db"], 1).await;
    app.lease(&["db"], 1).await;
    app.update("db", &json!({"active": false})).await;
    app.release(&lease).await.expect(204);
    app.sleep(300.0);
    app.update("db", &json!({"active": true})).await;
    assert_eq!(app.taken("db").await, 0);
    app.lease(&["db"], 2).await;
}

#[tokio::test]
async fn d05_a_crash_leaves_both_the_slot_and_its_lease_or_neither() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    app.journal.hold();
    let begun = app.journal.commits_begun();
    let asking = tokio::spawn(app.router().oneshot(acquire_db()));
    until(async || app.journal.commits_begun() > begun).await;
    assert!(!asking.is_finished(), "nothing is answered before it is durable");
    let crashed = app.journal.image();
    app.journal.let_go();
    let granted = crate::fixture::Answer::read(asking.await.unwrap().unwrap()).await.expect(200);

    let app = app.crash(Span::from_seconds(1));
    app.renew(&lease_of(&granted)).await.expect(204);
    assert_eq!(app.taken("db").await, 1);
    assert_eq!(crashed.leases(), []);
}

#[tokio::test]
async fn d06_an_expiry_that_could_not_be_made_durable_frees_nothing_twice() {
    let app = TestApp::start();
    app.limit("db", 2).await;
    let dead = app.lease(&["db"], 1).await;
    app.sleep(299.0);
    let live = app.lease(&["db"], 1).await;
    app.journal.fail(true);
    app.sleep(1.0);
    app.acquire(&["db"], 1).await.expect(503);
    app.recover().await;
    // No client could renew since the last commit, a second ago: the lease gets that much longer.
    assert_eq!(app.taken("db").await, 2);
    app.sleep(1.0);
    app.renew(&dead).await.expect(410);
    app.renew(&live).await.expect(204);
    assert_eq!(app.taken("db").await, 1);
    assert_eq!(app.journal.leases().len(), 1);
}

/// A client of the tag API cannot renew, so its lease has no deadline. But lists show the lease,
/// and an operator can revoke it.
#[tokio::test]
async fn d07_the_slot_of_an_old_client_that_crashed_is_seen_and_can_be_taken_away() {
    let app = TestApp::start();
    app.tag("db", 1).await;
    app.tag_increment(&["db"], &run(1)).await.expect(200);
    app.sleep(100_000.0);
    let [lease] = &app.leases("tag:db").await[..] else { panic!("one lease") };
    assert_eq!(lease["holder"], json!({"type": "task_run", "id": run(1)}));
    assert_eq!(lease["deadline"], json!(null));
    app.revoke(lease["id"].as_str().unwrap(), &json!({})).await.expect(204);
    app.tag_increment(&["db"], &run(2)).await.expect(200);
}

fn acquire_db() -> axum::http::Request<Body> {
    let path = format!("{LIMITS}/increment-with-lease");
    with_json("POST", &path, &json!({"names": ["db"], "slots": 1}))
}

async fn nothing_is_held(app: &TestApp) {
    until(async || app.taken("db").await == 0).await;
    until(async || app.journal.leases().is_empty()).await;
}

#[tokio::test]
async fn d08_a_caller_cancelled_while_its_grant_is_made_durable_leaves_nothing() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    app.journal.hold();
    let begun = app.journal.commits_begun();
    let asking = tokio::spawn(app.router().oneshot(acquire_db()));
    until(async || app.journal.commits_begun() > begun).await;
    asking.abort();
    app.journal.let_go();
    nothing_is_held(&app).await;
}

#[tokio::test]
async fn d08_an_answer_that_is_never_written_leaves_nothing() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    app.tag("db", 1).await;
    for path in [format!("{LIMITS}/increment-with-lease"), format!("{LIMITS}/increment")] {
        let request = with_json("POST", &path, &json!({"names": ["db"], "slots": 1}));
        let answer = app.router().oneshot(request).await.unwrap();
        assert_eq!((answer.status().as_u16(), app.taken("db").await), (200, 1));
        drop(answer);
        nothing_is_held(&app).await;
    }
    let body = json!({"names": ["db"], "task_run_id": run(1)});
    let request = with_json("POST", &format!("{TAGS}/increment"), &body);
    drop(app.router().oneshot(request).await.unwrap());
    until(async || app.holders("db").await == json!([])).await;
}

/// The journal fails while the server gives the grant back. The server finishes when the journal
/// works again.
#[tokio::test]
async fn d08_an_answer_that_is_never_written_leaves_nothing_on_a_journal_that_fails() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let request =
        with_json("POST", &format!("{LIMITS}/increment"), &json!({"names": ["db"], "slots": 1}));
    let answer = app.router().oneshot(request).await.unwrap();
    app.journal.fail(true);
    let begun = app.journal.commits_begun();
    drop(answer);
    until(async || app.journal.commits_begun() > begun).await;
    app.recover().await;
    assert_eq!(app.taken("db").await, 0);
}

/// A repeated request of a holder gets the same answer as the first. If that answer is lost, the
/// holder must keep the slot of the first request.
#[tokio::test]
async fn d08_a_lost_answer_to_a_repeated_request_takes_nothing_away() {
    let app = TestApp::start();
    app.tag("db", 1).await;
    app.tag_increment(&["db"], &run(1)).await.expect(200);
    let body = json!({"names": ["db"], "task_run_id": run(1)});
    let request = with_json("POST", &format!("{TAGS}/increment"), &body);
    drop(app.router().oneshot(request).await.unwrap());
    // The server handles the drop before it answers these requests.
    for _ in 0..3 {
        assert_eq!(app.holders("db").await, json!([run(1)]));
    }
}

#[tokio::test]
async fn d08_a_client_that_hangs_up_while_it_acquires_leaves_nothing() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let address = app.listen().await;
    app.journal.hold();
    let begun = app.journal.commits_begun();
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(acquire_over_tcp("db").as_bytes()).await.unwrap();
    until(async || app.journal.commits_begun() > begun).await;
    drop(client);
    // The server sees the end of that connection before it answers these requests.
    for _ in 0..2 {
        exchange(address, "GET /api/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    }
    app.journal.let_go();
    nothing_is_held(&app).await;
}

#[tokio::test]
async fn d08_a_client_that_stays_keeps_what_it_was_granted() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let address = app.listen().await;
    let answer = exchange(address, &acquire_over_tcp("db")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let [lease] = &app.leases("db").await[..] else { panic!("one lease") };
    assert!(answer.contains(lease["id"].as_str().unwrap()), "{answer}");
}

fn acquire_over_tcp(name: &str) -> String {
    let body = json!({"names": [name], "slots": 1}).to_string();
    format!(
        "POST {LIMITS}/increment-with-lease HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn exchange(address: std::net::SocketAddr, request: &str) -> String {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn d09_junk_leases_do_not_delay_the_slot_of_a_dead_holder() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    app.limit_with(&json!({"name": "off", "limit": 1, "active": false})).await;
    for _ in 0..750 {
        app.lease(&["nope"], 1).await;
        app.lease(&["off"], 1).await;
    }
    assert_eq!(app.journal.leases(), []);
    app.lease(&["db"], 1).await;
    app.sleep(300.0);
    // Without any request for the limit: the deadline alone frees the slot.
    until(async || app.journal.leases().is_empty()).await;
    app.lease(&["db"], 1).await;
}

#[tokio::test]
async fn d09_1500_dead_leases_are_gone_together() {
    let app = TestApp::start();
    app.limit("db", 1_500).await;
    for _ in 0..1_500 {
        app.lease(&["db"], 1).await;
    }
    app.sleep(300.0);
    app.lease(&["db"], 1_500).await;
}

#[tokio::test]
async fn d10_what_is_taken_is_the_sum_of_what_is_held_whatever_happened() {
    let app = TestApp::start();
    app.limit("db", 20).await;
    let mut leases = Vec::new();
    for round in 1..=60 {
        let answer = app.acquire(&["db", "nope"], round % 3 + 1).await;
        if answer.status == 200 {
            leases.push(lease_of(&answer));
        }
        let some = leases[usize::try_from(round * 7).unwrap() % leases.len()].clone();
        match round % 5 {
            0 => drop(app.release(&some).await.expect(204)),
            1 => drop(app.renew(&some).await),
            2 => drop(app.revoke(&some, &json!({})).await),
            3 => app.update("db", &json!({"active": round % 2 == 0, "active_slots": 0})).await,
            _ => app.sleep(45.0),
        }
        let held = app.leases("db").await;
        let held = held.iter().map(|lease| lease["limits"][0]["slots"].as_u64().unwrap());
        assert_eq!(app.taken("db").await, held.sum::<u64>(), "after {round} rounds");
    }
    app.sleep(300.0);
    assert_eq!(app.taken("db").await, 0);
}
