//! Clients that try to take the server: what they cannot take is what others need.

use std::fs;

use serde_json::json;

use crate::server::http::Client;
use crate::server::program::{Home, Server, eventually};
use crate::server::socket::Socket;

/// How much memory a server has used at the most, in MiB.
fn memory_max_mib(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() / 1_024
}

/// A stream of all events to come that is never read.
fn unread_stream(server: &Server) -> Client {
    let mut client = server.client();
    let request = "GET /api/leasehold/events HTTP/1.1\r\nhost: localhost\r\naccept: \
                   text/event-stream\r\n\r\n";
    client.write(request.as_bytes()).unwrap();
    client
}

/// A subscriber that is never read.
fn unread_socket(server: &Server) -> Socket {
    let mut socket = Socket::connect(server, "/api/events/out");
    socket.say(&json!({"type": "filter", "filter": {}}));
    socket
}

#[test]
fn streams_and_sockets_that_are_never_read_cost_little_memory() {
    let home = Home::new();
    let server = home.start(&[]);
    let before = memory_max_mib(&server);
    let _streams: Vec<_> = (0..100).map(|_| unread_stream(&server)).collect();
    let _sockets: Vec<_> = (0..100).map(|_| unread_socket(&server)).collect();
    let mut client = Socket::connect(&server, "/api/events/in");
    let payload = json!({"text": "x".repeat(900_000)});
    let small = json!({"text": "x".repeat(60_000)});
    for payload in [&payload, &small].repeat(40) {
        let resource = json!({"prefect.resource.id": "x"});
        let event = json!({"occurred": "2026-11-20T20:57:00Z", "event": "x.happened",
                           "resource": resource, "related": [], "payload": payload});
        client.say(&event);
    }
    let mut operator = server.client();
    eventually("all events are in the log", || {
        let page = operator.get("/api/leasehold/events?kind=x.happened").json();
        (page["events"].as_array().unwrap().len() == 80).then_some(())
    });
    let used = memory_max_mib(&server) - before;
    assert!(used < 150, "{used} MiB");
}
