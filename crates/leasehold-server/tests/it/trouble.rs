//! Failures: a journal that fails, too many requests, clients that break off, bodies that are too
//! large or never arrive.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures_util::future::{join_all, poll_immediate};
use http_body_util::StreamBody;
use leasehold_engine::Span;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

use crate::fixture::{Answer, LIMITS, TestApp, until, with_json};

fn acquire_request(name: &str) -> Request<Body> {
    let path = format!("{LIMITS}/increment-with-lease");
    with_json("POST", &path, &json!({"names": [name], "slots": 1}))
}

/// The 503 on which clients of the recorded server try again.
fn is_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(answer.json(), json!({"exception_message": "Service Unavailable"}));
    assert!(answer.retry_after() > 0.0);
}

#[tokio::test]
async fn the_server_acknowledges_nothing_that_a_failing_journal_did_not_keep() {
    let app = TestApp::start();
    app.limit("db", 2).await;
    let kept = app.lease(&["db"], 1).await;
    app.journal.fail(true);
    is_unavailable(&app.acquire(&["db"], 1).await);
    is_unavailable(&app.increment(&["db"], 1).await);
    is_unavailable(&app.release(&kept).await);
    is_unavailable(&app.renew(&kept).await);
    let made = app.post(&format!("{LIMITS}/"), &json!({"name": "new", "limit": 1})).await;
    is_unavailable(&made);
    app.recover().await;

    app.get(&format!("{LIMITS}/new")).await.expect(404);
    assert_eq!(app.taken("db").await, 1);
    app.renew(&kept).await.expect(204);
    app.lease(&["db"], 1).await;
    app.acquire(&["db"], 1).await.expect(423);
    app.release(&kept).await.expect(204);
    let app = app.crash(Span::ZERO);
    assert_eq!(app.taken("db").await, 1);
}

#[tokio::test]
async fn requests_behind_a_failed_commit_are_refused_and_leave_nothing() {
    let app = TestApp::start();
    app.limit("db", 10).await;
    app.journal.hold();
    let begun = app.journal.commits_begun();
    let first = tokio::spawn(app.router().oneshot(acquire_request("db")));
    until(async || app.journal.commits_begun() > begun).await;
    // The engine steps these while the first one's commit is under way.
    let mut behind: Vec<_> =
        (0..3).map(|_| Box::pin(app.router().oneshot(acquire_request("db")))).collect();
    for asking in &mut behind {
        assert!(poll_immediate(asking).await.is_none());
    }
    until(async || app.journal.commits_begun() > begun).await;
    tokio::task::yield_now().await;
    app.journal.fail(true);
    app.journal.let_go();
    is_unavailable(&Answer::read(first.await.unwrap().unwrap()).await);
    for asking in behind {
        is_unavailable(&Answer::read(asking.await.unwrap()).await);
    }
    app.recover().await;
    assert_eq!(app.taken("db").await, 0);
}

#[tokio::test]
async fn reads_are_answered_while_nothing_can_be_written() {
    let app = TestApp::start();
    app.limit("db", 2).await;
    app.lease(&["db"], 1).await;
    app.journal.fail(true);
    for _ in 0..10 {
        app.sleep(0.5);
        is_unavailable(&app.increment(&["db"], 1).await);
        assert_eq!(app.taken("db").await, 1);
        assert_eq!(app.leases("db").await.len(), 1);
        app.get("/api/health").await.expect(200);
    }
}

/// While there are leases, the server writes a heartbeat every second. On a journal that fails it
/// must not retry without a pause.
#[tokio::test]
async fn a_journal_that_fails_is_not_hammered() {
    let app = TestApp::start();
    app.limit("db", 2).await;
    app.lease(&["db"], 1).await;
    app.journal.fail(true);
    app.sleep(2.0);
    is_unavailable(&app.increment(&["db"], 1).await);
    let begun = app.journal.commits_begun();
    for _ in 0..500 {
        app.get(&format!("{LIMITS}/db")).await;
    }
    let commits = app.journal.commits_begun() - begun;
    assert!(commits < 10, "{commits} commits");
}

/// The heartbeat resumes by itself when the journal works again.
#[tokio::test]
async fn a_journal_that_failed_is_tried_again() {
    let app = TestApp::start();
    app.limit("db", 2).await;
    app.lease(&["db"], 1).await;
    app.journal.fail(true);
    app.sleep(2.0);
    is_unavailable(&app.increment(&["db"], 1).await);
    app.journal.fail(false);
    let begun = app.journal.commits_begun();
    app.sleep(0.5);
    until(async || app.journal.commits_begun() > begun).await;
    app.increment(&["db"], 1).await.expect(200);
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_is_tried_again_until_it_can() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    let loads = app.journal.loads();
    app.journal.fail(true);
    app.journal.hide(true);
    is_unavailable(&app.release(&lease).await);
    until(async || {
        // No request waits for the journal meanwhile.
        is_unavailable(&app.renew(&lease).await);
        is_unavailable(&app.get(&format!("{LIMITS}/db")).await);
        app.sleep(0.5);
        app.journal.loads() >= loads + 3
    })
    .await;
    app.journal.fail(false);
    app.journal.hide(false);
    until(async || {
        app.sleep(0.5);
        app.renew(&lease).await.status == 204
    })
    .await;
    assert_eq!(app.taken("db").await, 1);
}

#[tokio::test]
async fn a_server_can_be_stopped_while_its_journal_cannot_be_read() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    app.journal.fail(true);
    app.journal.hide(true);
    is_unavailable(&app.increment(&["db"], 1).await);
    let began = tokio::time::Instant::now();
    app.stop().await;
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn more_requests_than_can_wait_are_refused_at_once() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    app.journal.hold();
    let begun = app.journal.commits_begun();
    let first = tokio::spawn(app.router().oneshot(acquire_request("db")));
    until(async || app.journal.commits_begun() > begun).await;
    // Some wait for the disk, the others wait for the engine.
    let mut waiting = Vec::new();
    let refused = loop {
        let mut asking = Box::pin(app.ledger().holders());
        match poll_immediate(&mut asking).await {
            Some(refused) => break refused,
            None => waiting.push(asking),
        }
        if waiting.len().is_multiple_of(1_000) {
            tokio::task::yield_now().await;
        }
        assert!(waiting.len() < 100_000, "the queue has no bound");
    };
    assert!(refused.is_err());
    let path = format!("{LIMITS}/db");
    let answer = poll_immediate(Box::pin(app.get(&path))).await.expect("an answer at once");
    is_unavailable(&answer);
    assert_eq!(answer.retry_after(), 1.0);
    app.journal.let_go();
    first.await.unwrap().unwrap();
    for answer in join_all(waiting).await {
        answer.unwrap();
    }
    app.get(&path).await.expect(200);
}

#[tokio::test]
async fn a_body_of_more_than_a_mebibyte_is_refused() {
    let app = TestApp::start();
    let path = format!("{LIMITS}/filter");
    let body = |bytes: usize| {
        let filler = "x".repeat(bytes - r#"{"":""}"#.len());
        crate::fixture::request("POST", &path)
            .body(Body::from(format!(r#"{{"":"{filler}"}}"#)))
            .unwrap()
    };
    app.send(body(1 << 20)).await.expect(200);
    let refused = app.send(body((1 << 20) + 1)).await.expect(413);
    assert_eq!(refused.detail(), "The request body is larger than 1048576 bytes.");
}

/// A stream without a length: the server reads no more than the limit.
#[tokio::test]
async fn a_body_without_an_end_is_refused() {
    let app = TestApp::start();
    let chunk = || Ok::<_, std::io::Error>(http_body::Frame::data(vec![b' '; 65_536].into()));
    let endless: StreamBody<_> = StreamBody::new(futures_util::stream::repeat_with(chunk));
    let endless = Body::new(endless);
    let request = crate::fixture::request("POST", &format!("{LIMITS}/filter"));
    app.send(request.body(endless).unwrap()).await.expect(413);
}

#[tokio::test(start_paused = true)]
async fn a_truncated_body_holds_nothing_and_is_not_waited_for() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let began = tokio::time::Instant::now();
    let half = futures_util::stream::iter([Ok::<_, std::io::Error>(http_body::Frame::data(
        axum::body::Bytes::from_static(br#"{"names": ["db"], "slots""#),
    ))]);
    let half = futures_util::StreamExt::chain(half, futures_util::stream::pending());
    let request = crate::fixture::request("POST", &format!("{LIMITS}/increment"))
        .body(Body::new(StreamBody::new(half)))
        .unwrap();
    let refused = app.send(request).await.expect(408);
    assert_eq!(refused.header("connection"), Some("close"));
    assert_eq!(began.elapsed().as_secs(), 30);
    assert_eq!(app.taken("db").await, 0);
}

/// All that a connection receives until it ends.
async fn rest(connection: &mut TcpStream) -> String {
    let mut text = String::new();
    connection.read_to_string(&mut text).await.unwrap();
    text
}

async fn say(address: SocketAddr, text: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(text.as_bytes()).await.unwrap();
    connection
}

#[tokio::test]
async fn a_client_that_breaks_off_in_the_middle_of_a_body_holds_nothing() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let address = app.listen().await;
    let head = format!(
        "POST {LIMITS}/increment-with-lease HTTP/1.1\r\nhost: x\r\n\
         content-type: application/json\r\ncontent-length: 1000\r\n\r\n"
    );
    for part in ["", "{", r#"{"names": ["db"], "slots": 1}"#] {
        drop(say(address, &format!("{head}{part}")).await);
    }
    // Complete JSON, but less than the length of the body. The client closes its half.
    let mut half = say(address, &format!(r#"{head}{{"names": ["db"], "slots": 1}}"#)).await;
    half.shutdown().await.unwrap();
    let answer = rest(&mut half).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(app.taken("db").await, 0);
    assert_eq!(app.journal.leases(), []);
}

/// The answer to a client that sends its whole request and closes its half of the connection.
async fn answer_to_the_last(address: SocketAddr, request: &str) -> String {
    let mut half = say(address, request).await;
    half.shutdown().await.unwrap();
    rest(&mut half).await
}

#[tokio::test]
async fn a_client_that_closes_its_half_gets_its_whole_answer() {
    let app = TestApp::start();
    for number in 0..3_000 {
        app.limit(&format!("{number:04}{}", "x".repeat(900)), 1).await;
    }
    let lease = app.lease(&[&format!("0000{}", "x".repeat(900))], 1).await;
    let address = app.listen().await;
    let wire = |method: &str, path: &str, body: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for (request, status) in [
        (wire("GET", "/api/health", ""), "200"),
        (wire("GET", "/api/nothing", ""), "404"),
        (wire("POST", &format!("{LIMITS}/"), r#"{"name": "db", "limit": 1}"#), "201"),
        (wire("POST", &format!("{LIMITS}/leases/{lease}/renew"), "{}"), "204"),
        (wire("POST", &format!("{LIMITS}/decrement-with-lease"), "{}"), "422"),
        (wire("DELETE", &format!("/api/leases/{lease}"), ""), "200"),
    ] {
        let answer = answer_to_the_last(address, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
    }
    // The server does not wait for the rest of a truncated request.
    let began = std::time::Instant::now();
    let whole = wire("POST", &format!("{LIMITS}/"), r#"{"name": "no", "limit": 1}"#);
    let answer = answer_to_the_last(address, &whole[..whole.len() - 1]).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(began.elapsed().as_secs() < 20);
    // More than the system buffers for a client that does not read yet.
    let page = wire("POST", &format!("{LIMITS}/filter"), r#"{"limit": 200}"#);
    let mut half = say(address, &page.repeat(20)).await;
    half.shutdown().await.unwrap();
    let answers = rest(&mut half).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 20);
    assert!(answers.len() > 20 * 200 * 900 && answers.ends_with("}]"), "{}", answers.len());
}

#[tokio::test(start_paused = true)]
async fn a_truncated_head_is_not_waited_for() {
    let app = TestApp::start();
    let address = app.listen().await;
    let began = tokio::time::Instant::now();
    let mut idle = say(address, "POST /api/v2/concurrency_limits/ HTTP/1.1\r\nhost: x\r\n").await;
    let answer = rest(&mut idle).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(began.elapsed().as_secs(), 10);
}

/// Clients keep idle connections for 25 s, and proxies for 60 s. A paused clock runs ahead of the
/// network, so the test pauses it only while the connection is idle.
#[tokio::test]
async fn an_idle_connection_is_kept_for_a_minute() {
    let app = TestApp::start();
    let address = app.listen().await;
    let ask = "GET /api/health HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut connection = say(address, ask).await;
    let mut answer = vec![0; 4_096];
    for _ in 0..3 {
        let length = connection.read(&mut answer).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200 OK"), "the connection was closed");
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(60)).await;
        tokio::time::resume();
        connection.write_all(ask.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_bare_line_feed_in_a_head_is_refused_and_one_in_a_body_is_not() {
    let app = TestApp::start();
    let address = app.listen().await;
    let health = "GET /api/health HTTP/1.1\r\nhost: x\r\n\r\n";
    for head in [
        "GET /api/health HTTP/1.1\nhost: x\n\n",
        "GET /api/health HTTP/1.1\r\nhost: x\r\na: b\nc: d\r\n\r\n",
        "GET /api/health HTTP/1.1\r\nhost: x\r\n\n",
    ] {
        let answer = rest(&mut say(address, head).await).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head:?}: {answer}");
        // Also on a connection that has carried requests before.
        let mut connection = say(address, health).await;
        assert!(connection.read(&mut [0; 4_096]).await.unwrap() > 0);
        connection.write_all(head.as_bytes()).await.unwrap();
        let answer = rest(&mut connection).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{head:?}: {answer}");
    }
    let body = "{\n\"name\": \"db\",\n\"limit\": 1}\n";
    let post =
        format!("POST {LIMITS}/ HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    let mut connection = say(address, &post).await;
    connection.write_all(body.as_bytes()).await.unwrap();
    let mut answer = [0; 4_096];
    let length = connection.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 201"));
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_75_seconds() {
    let app = TestApp::start();
    let address = app.listen().await;
    let mut connection = say(address, "GET /api/health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(connection.read(&mut [0; 4_096]).await.unwrap() > 0);
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    rest(&mut connection).await;
    assert!((75..77).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_stopping_server_answers_503() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let router = app.router();
    let app = app.restart(Span::ZERO).await;
    let answer = Answer::read(router.oneshot(acquire_request("db")).await.unwrap()).await;
    is_unavailable(&answer);
    assert_eq!(app.taken("db").await, 0);
}
