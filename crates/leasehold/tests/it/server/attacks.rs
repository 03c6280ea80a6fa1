//! Clients that try to take the server: what they cannot take is what others need.
//!
//! `LEASEHOLD_TEST_ATTACK_SECONDS` says for how long they try.

use std::env;
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::server::connections::start_with_ulimit;
use crate::server::http::Client;
use crate::server::program::{Home, Server, eventually};
use crate::server::socket::Socket;

/// How long an attack goes on.
fn attack_duration() -> Duration {
    let seconds = env::var("LEASEHOLD_TEST_ATTACK_SECONDS");
    Duration::from_secs(seconds.map_or(5, |text| text.parse().expect("seconds are a number")))
}

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

/// Writes as many requests as a server takes, and reads no answer. Whether the server still
/// listens.
fn pipeline(connection: &mut TcpStream) -> bool {
    let requests = "GET /api/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(20);
    loop {
        match connection.write(requests.as_bytes()) {
            // Half a request at the end makes the next one nonsense, which is as good.
            Ok(1..) => {}
            Ok(0) => return false,
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// Keeps `count` such connections open until `is_over`, and replaces each that is closed.
fn pipeline_on(address: SocketAddr, count: usize, is_over: &AtomicBool) {
    let connect = || {
        let connection = TcpStream::connect(address).ok()?;
        connection.set_nonblocking(true).ok()?;
        Some(connection)
    };
    let mut connections: Vec<_> = (0..count).map(|_| connect()).collect();
    while !is_over.load(Ordering::Relaxed) {
        for connection in &mut connections {
            if !connection.as_mut().is_some_and(pipeline) {
                *connection = connect();
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_holder_renews_while_345_connections_pipeline_and_never_read() {
    let home = Home::new();
    // As many connections as are served: none is left but for renewals and releases.
    let server = start_with_ulimit(&home, "-n 409");
    let mut operator = server.client();
    operator.create_limit("db", 1);
    let body = json!({"limits": [{"name": "db"}], "ttl_seconds": 10});
    let lease = operator.post("/api/leases", &body).json();
    let renew = format!("/api/leases/{}/renew", lease["id"].as_str().unwrap());
    drop(operator);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| pipeline_on(server.address(), 345, &is_over));
        let began = Instant::now();
        let mut slowest = Duration::ZERO;
        while began.elapsed() < attack_duration() {
            let asked = Instant::now();
            // Each on a connection of its own, as a client that was just started has it.
            let body = json!({"ttl_seconds": 10});
            let renewed = server.client().send("POST", &renew, Some(&body));
            if let Ok(renewed) = renewed {
                assert_eq!(renewed.status, 200, "after {:?}: {}", began.elapsed(), renewed.text());
                slowest = slowest.max(asked.elapsed());
            }
            assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
            thread::sleep(Duration::from_millis(200));
        }
        is_over.store(true, Ordering::Relaxed);
        println!("the slowest renewal took {slowest:?}");
        assert!(slowest > Duration::ZERO, "no renewal came through");
    });
    eventually("there is room for others again", || {
        let limit = server.client().send("GET", "/api/v2/concurrency_limits/db", None).ok()?;
        (limit.status == 200).then(|| assert_eq!(limit.json()["active_slots"], 1))
    });
}
