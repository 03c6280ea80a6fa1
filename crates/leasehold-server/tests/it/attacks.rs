//! Clients that take more than their share of connections, sockets, streams and places in line. The
//! server keeps enough for all others, above all for holders of leases.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::fixture::{LIMITS, TestApp, lease_of, until};
use crate::replay::sockets::connect;

const FORWARDED: &str = "x-forwarded-for";
const STREAM: &str = "GET /api/leasehold/events HTTP/1.1\r\nhost: localhost\r\naccept: \
                      text/event-stream\r\n\r\n";

/// A request as it goes over the wire.
fn wire(method: &str, path: &str, body: &serde_json::Value) -> String {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn say(address: SocketAddr, request: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    connection
}

/// As [`say`], for a client whose address a trusted proxy forwards.
async fn say_for(client: &str, address: SocketAddr, request: &str) -> TcpStream {
    let forwarded = format!("\r\n{FORWARDED}: {client}\r\n\r\n");
    say(address, &request.replacen("\r\n\r\n", &forwarded, 1)).await
}

/// The head of an answer in lower case, and the part of its body that came with it.
async fn head(connection: &mut TcpStream) -> String {
    let mut bytes = vec![0; 4_096];
    let length = connection.read(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes[..length]).to_lowercase()
}

fn acquire(name: &str) -> String {
    let body = json!({"names": [name], "slots": 1});
    wire("POST", &format!("{LIMITS}/increment-with-lease"), &body)
}

fn waiting(name: &str) -> String {
    wire("POST", "/api/leases", &json!({"limits": [{"name": name}], "wait_seconds": 60}))
}

#[tokio::test]
async fn a_holder_renews_and_releases_while_all_connections_are_taken() {
    let app = TestApp::init().with_config(|config| config.connections_max = 16).start();
    app.limit("db", 2).await;
    let lease = app.lease(&["db"], 1).await;
    let address = app.listen().await;
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let renew = wire("POST", &format!("{LIMITS}/leases/{lease}/renew"), &json!({}));
    let release =
        wire("POST", &format!("{LIMITS}/decrement-with-lease"), &json!({"lease_id": lease}));
    for (request, status) in [
        (renew, "204"),
        (wire("GET", "/api/health", &json!(null)), "200"),
        (acquire("db"), "503"),
        (release, "204"),
    ] {
        let answer = head(&mut say(address, &request).await).await;
        assert!(answer.starts_with(&format!("http/1.1 {status}")), "{request}: {answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert_eq!(status == "503", answer.contains("retry-after: 1"), "{answer}");
    }
    assert_eq!(app.taken("db").await, 0);
    drop(silent);
    // The closed connections make room for all requests.
    until(async || {
        let answer = head(&mut say(address, &acquire("db")).await).await;
        answer.starts_with("http/1.1 200")
    })
    .await;
}

#[tokio::test]
async fn no_address_has_all_sockets() {
    let app = TestApp::init().with_config(|config| config.connections_max = 8).start();
    let address = app.listen().await;
    let from = [(FORWARDED.to_owned(), "192.0.2.1".to_owned())];
    let open = async || connect(address, "/api/events/in", &[], &from).await;
    let first = open().await.unwrap();
    let _second = open().await.unwrap();
    match open().await {
        Err(Error::Http(refused)) => assert_eq!(refused.status(), 503),
        other => panic!("{other:?}"),
    }
    drop(first);
    until(async || open().await.is_ok()).await;
}

#[tokio::test]
async fn clients_that_share_an_address_have_all_that_there_is() {
    let app = TestApp::init()
        .with_records()
        .with_config(|config| {
            config.waiters_max = 2;
            config.connections_max = 16;
        })
        .start();
    app.limit("db", 1).await;
    app.lease(&["db"], 1).await;
    let address = app.listen().await;
    let _waiters = [say(address, &waiting("db")).await, say(address, &waiting("db")).await];
    until(async || app.waiters("db").await.len() == 2).await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut stream = say(address, STREAM).await;
        assert!(head(&mut stream).await.contains("text/event-stream"));
        streams.push(stream);
    }
    let mut sockets = Vec::new();
    for _ in 0..8 {
        sockets.push(connect(address, "/api/events/in", &[], &[]).await.unwrap());
    }
}

#[tokio::test]
async fn a_socket_counts_as_a_connection() {
    let app = TestApp::init().with_config(|config| config.connections_max = 8).start();
    let address = app.listen().await;
    let _first = connect(address, "/api/events/in", &[], &[]).await.unwrap();
    let _second = connect(address, "/api/events/in", &[], &[]).await.unwrap();
    // With five more, only the reserved connections are left.
    let mut others = Vec::new();
    for _ in 0..5 {
        let mut other = say(address, &wire("GET", "/api/health", &json!(null))).await;
        assert!(head(&mut other).await.starts_with("http/1.1 200"));
        others.push(other);
    }
    let refused = head(&mut say(address, &acquire("db")).await).await;
    assert!(refused.starts_with("http/1.1 503"), "{refused}");
}

#[tokio::test]
async fn no_address_has_all_streams() {
    let app = TestApp::init().with_records().with_config(|it| it.connections_max = 8).start();
    let address = app.listen().await;
    let open = async || say_for("192.0.2.1", address, STREAM).await;
    let mut first = open().await;
    assert!(head(&mut first).await.contains("text/event-stream"));
    let refused = head(&mut open().await).await;
    assert!(refused.starts_with("http/1.1 503"), "{refused}");
    let other = head(&mut say_for("192.0.2.2", address, STREAM).await).await;
    assert!(other.starts_with("http/1.1 200"), "{other}");
    drop(first);
    until(async || head(&mut open().await).await.starts_with("http/1.1 200")).await;
}

#[tokio::test]
async fn a_silent_socket_is_closed() {
    let app = TestApp::init().with_records().start();
    let address = app.listen().await;
    let (mut silent, _) = connect(address, "/api/events/out", &[], &[]).await.unwrap();
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    while let Some(Ok(_)) = silent.next().await {}
    assert!((5..8).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_message_beyond_a_mebibyte_closes_its_socket() {
    let app = TestApp::init().with_records().start();
    let address = app.listen().await;
    let (mut socket, _) = connect(address, "/api/events/in", &[], &[]).await.unwrap();
    let event =
        r#"{"occurred":"2026-11-20T20:57:00Z","event":"x","resource":{"prefect.resource.id":"x"}}"#;
    let longest = format!("{event}{}", " ".repeat((1 << 20) - event.len()));
    socket.send(Message::text(longest)).await.unwrap();
    socket.send(Message::Ping("still there?".into())).await.unwrap();
    assert!(matches!(socket.next().await, Some(Ok(Message::Pong(_)))));
    // A frame that announces two mebibytes and sends none.
    let frame = [0x81, 0xff, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0];
    socket.get_mut().write_all(&frame).await.unwrap();
    while let Some(Ok(message)) = socket.next().await {
        assert!(message.is_close(), "{message:?}");
    }
}

#[tokio::test]
async fn a_silent_reserved_connection_is_closed() {
    let app = TestApp::init().with_config(|config| config.connections_max = 16).start();
    let address = app.listen().await;
    let mut open = Vec::new();
    for _ in 0..14 {
        let mut connection = say(address, &wire("GET", "/api/health", &json!(null))).await;
        assert!(head(&mut connection).await.starts_with("http/1.1 200"));
        open.push(connection);
    }
    let mut left = say(address, "GET /api/health HTTP/1.1\r\n").await;
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let mut rest = Vec::new();
    // With or without an answer, the server closes it.
    let _ = left.read_to_end(&mut rest).await;
    assert!((5..7).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_has_half_a_minute_in_all() {
    let app = TestApp::start();
    let address = app.listen().await;
    let mut slow =
        say(address, "POST /api/leases HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900\r\n\r\n")
            .await;
    let began = std::time::Instant::now();
    tokio::time::pause();
    let at = tokio::time::Instant::now();
    while slow.write_all(b" ").await.is_ok() && slow.try_read(&mut [0; 16]).is_err() {
        tokio::time::advance(std::time::Duration::from_millis(500)).await;
        tokio::task::yield_now().await;
        assert!(began.elapsed().as_secs() < 60, "the body is still waited for");
    }
    assert!((30..40).contains(&at.elapsed().as_secs()), "{:?}", at.elapsed());
}

#[tokio::test]
async fn one_client_cannot_fill_the_line_for_others() {
    let app = TestApp::init().with_config(|config| config.waiters_max = 8).start();
    for name in ["db", "other"] {
        app.limit(name, 1).await;
        app.lease(&[name], 1).await;
    }
    let address = app.listen().await;
    let mut greedy = Vec::new();
    for _ in 0..4 {
        greedy.push(say_for("192.0.2.1", address, &waiting("db")).await);
    }
    until(async || app.waiters("db").await.len() == 4).await;
    let refused = head(&mut say_for("192.0.2.1", address, &waiting("db")).await).await;
    assert!(refused.starts_with("http/1.1 423"), "{refused}");
    let _waits = say_for("192.0.2.2", address, &waiting("other")).await;
    until(async || app.waiters("other").await.len() == 1).await;
}

/// Sends an acquire and waits until it was granted, without reading the answer.
async fn unread_grant(app: &TestApp, address: SocketAddr) -> TcpStream {
    let connection = say(address, &acquire("db")).await;
    until(async || app.taken("db").await == 1).await;
    connection
}

fn reset(connection: TcpStream) {
    SockRef::from(&connection).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(connection);
}

#[tokio::test]
async fn a_grant_that_was_not_read_is_given_back_when_its_connection_is_reset() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let address = app.listen().await;
    for _ in 0..20 {
        let connection = unread_grant(&app, address).await;
        connection.readable().await.unwrap();
        reset(connection);
        until(async || app.taken("db").await == 0).await;
    }
}

#[tokio::test]
async fn a_grant_is_given_back_when_its_client_had_gone_before_the_answer() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let address = app.listen().await;
    // As if the end had been on its way when the server sent the answer: the client's system resets
    // a closed connection when bytes arrive.
    let mut connection = unread_grant(&app, address).await;
    connection.readable().await.unwrap();
    connection.shutdown().await.unwrap();
    // By then the server has seen the end.
    head(&mut say(address, &wire("GET", "/api/health", &json!(null))).await).await;
    assert_eq!(app.taken("db").await, 1);
    reset(connection);
    until(async || app.taken("db").await == 0).await;
}

#[tokio::test]
async fn a_grant_is_kept_when_its_client_sends_more_or_closes_in_order() {
    let app = TestApp::start();
    app.limit("db", 3).await;
    let address = app.listen().await;
    let mut says_more = say(address, &acquire("db")).await;
    assert!(head(&mut says_more).await.starts_with("http/1.1 200"));
    says_more.write_all(wire("GET", "/api/health", &json!(null)).as_bytes()).await.unwrap();
    assert!(head(&mut says_more).await.starts_with("http/1.1 200"));
    reset(says_more);
    let mut ends = say(address, &acquire("db")).await;
    assert!(head(&mut ends).await.starts_with("http/1.1 200"));
    ends.shutdown().await.unwrap();
    assert_eq!(ends.read(&mut [0; 16]).await.unwrap(), 0);
    // The server has seen both ends before it answers this request.
    let answer = app.acquire(&["db"], 1).await.expect(200);
    lease_of(&answer);
    assert_eq!(app.taken("db").await, 3);
}
