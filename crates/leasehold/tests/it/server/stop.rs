//! The end of a server: asked to, it stops within five seconds, with 0, whatever its clients do.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::server::program::{Home, STOP_TIMEOUT};
use crate::server::socket::Socket;

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
fn a_web_socket_that_answers_no_goodbye_does_not_keep_it() {
    let home = Home::new();
    let server = home.start(&[]);
    let _socket = Socket::connect(&server, "/api/events/in");
    let log = server.stop();
    assert!(!log.contains("WARN"), "{log}");
}

#[test]
fn what_a_web_socket_has_sent_before_its_goodbye_is_recorded() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut socket = Socket::connect(&server, "/api/events/in");
    server.signal(Signal::TERM);
    assert_eq!(socket.wait_for_goodbye(), 1001);
    let task_run = "00000000-0000-4000-8000-000000000007";
    socket.say(&json!({
        "occurred": "2026-01-01T00:00:00Z",
        "event": "prefect.task-run.Running",
        "resource": {
            "prefect.resource.id": format!("prefect.task-run.{task_run}"),
            "prefect.resource.name": "load",
            "prefect.state-type": "RUNNING",
        },
    }));
    socket.say_goodbye(1001);
    let (status, log) = server.wait(STOP_TIMEOUT);
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("WARN"), "{log}");

    let recorded = home.start(&[]).client().get(&format!("/api/task_runs/{task_run}"));
    assert_eq!(recorded.json()["state_type"], "RUNNING");
}

#[test]
fn subscribers_are_told_to_come_back() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut sockets = ["/api/events/out", "/api/logs/out"].map(|path| {
        let mut socket = Socket::connect(&server, path);
        socket.say(&json!({"type": "filter", "filter": {}}));
        socket
    });
    server.signal(Signal::TERM);
    for socket in &mut sockets {
        assert_eq!(socket.wait_for_goodbye(), 1012);
        socket.say_goodbye(1012);
    }
    let (status, log) = server.wait(STOP_TIMEOUT);
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("WARN"), "{log}");
}

/// A busy machine may be slow once.
#[test]
fn web_sockets_that_say_goodbye_cost_a_stop_no_second() {
    let is_quick = || {
        let home = Home::new();
        let server = home.start(&[]);
        let mut socket = Socket::connect(&server, "/api/events/in");
        let since = Instant::now();
        server.signal(Signal::TERM);
        let code = socket.wait_for_goodbye();
        socket.say_goodbye(code);
        server.wait(STOP_TIMEOUT);
        since.elapsed() < Duration::from_millis(900)
    };
    assert!((0..5).any(|_| is_quick()));
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
