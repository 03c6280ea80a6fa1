//! The end of a server: asked to, it stops within five seconds, with 0, whatever its clients do.

use rustix::process::Signal;
use serde_json::json;

use crate::server::program::{Home, STOP_TIMEOUT};

fn check_stops(signal: Signal) {
    let home = Home::new();
    let server = home.start(&[]);
    assert_eq!(server.client().get("/api/health").text(), "true");
    server.signal(signal);
    let (status, log) = server.wait(STOP_TIMEOUT);
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopped"), "{log}");
}

#[test]
fn sigterm_stops_it() {
    check_stops(Signal::TERM);
}

#[test]
fn ctrl_c_stops_it() {
    check_stops(Signal::INT);
}

#[test]
fn idle_connections_do_not_keep_it() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut clients: Vec<_> = (0..8).map(|_| server.client()).collect();
    for client in &mut clients {
        client.get("/api/health");
    }
    server.stop();
}

#[test]
fn half_a_request_does_not_keep_it() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut half_a_head = server.client();
    half_a_head.write(b"POST /api/v2/concurrency_limits/ HTTP/1.1\r\nhost: loc").unwrap();
    let mut half_a_body = server.client();
    half_a_body
        .write(
            b"POST /api/v2/concurrency_limits/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: \
              100\r\n\r\n{\"name\":",
        )
        .unwrap();
    // Answered after the two were accepted.
    server.client().get("/api/health");
    server.stop();
}

#[test]
fn an_open_web_socket_does_not_keep_it() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut socket = server.client();
    socket
        .write(
            b"GET /api/events/in HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: \
              websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: \
              dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    assert_eq!(socket.read_answer().unwrap().status, 101);
    server.stop();
}

#[test]
fn what_was_held_is_held_after_a_restart() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut client = server.client();
    client.create_limit("db", 2);
    let lease = client.acquire(&["db"], 1).json();
    server.stop();

    let server = home.start(&[]);
    let mut client = server.client();
    assert_eq!(client.active_slots("db"), 1);
    let path = format!("/api/leases/{}", lease["lease_id"].as_str().unwrap());
    let held = client.get(&path).json();
    assert_eq!(held["fencing_token"], lease["fencing_token"]);
    // Both are in UTC with six digits: their texts have the order of their times.
    assert!(held["deadline"].as_str() >= lease["deadline"].as_str(), "{held} {lease}");
    let renewal =
        format!("/api/v2/concurrency_limits/leases/{}/renew", lease["lease_id"].as_str().unwrap());
    assert_eq!(client.post(&renewal, &json!({})).status, 204);
}
