//! A client that keeps its connection loses no request to an answer that came before its body was
//! read.

use std::io;

use crate::server::http::{Answer, Client};
use crate::server::program::{Home, Server};

const BODY: &str = r#"{"limits":[{"name":"db"}]}"#;

/// Sends a head, waits for nothing, and sends the body after it.
fn send_in_two(client: &mut Client, path: &str, more: &str, body: &str) -> io::Result<Answer> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{more}content-length: {}\r\n\r\n",
        body.len()
    );
    client.write(head.as_bytes())?;
    // The head arrives alone: the body is sent after a whole round trip of another client.
    std::thread::yield_now();
    client.write(body.as_bytes())?;
    client.read_answer()
}

fn is_closing(answer: &Answer) -> bool {
    answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

fn check(server: &Server, path: &str, more: &str, status: u16) {
    let mut client = server.client();
    let mut closed = 0;
    for _ in 0..100 {
        let answer = send_in_two(&mut client, path, more, BODY).expect("no request is lost");
        assert_eq!(answer.status, status, "{path}");
        if is_closing(&answer) {
            closed += 1;
            client = server.client();
        }
    }
    assert_eq!(closed, 0, "{path}: a short body is read");
}

#[test]
fn a_keep_alive_client_loses_no_request_after_a_refusal() {
    let home = Home::new();
    let server = home.start(&[]);
    check(&server, "/api/nothing/there", "", 404);
    check(&server, "/api/leases/renew/", "", 307);
    check(&server, "/api/health", "", 405);
    check(&server, "/api/leases", "origin: http://evil.example\r\n", 403);
    server.stop();
    let server = home.start(&["--auth-string", "admin:secret"]);
    check(&server, "/api/leases", "", 401);
}

#[test]
fn a_body_that_is_not_read_ends_the_connection_and_the_answer_says_so() {
    let home = Home::new();
    let server = home.start(&[]);
    let large = " ".repeat(1 << 19);
    let mut client = server.client();
    let head = format!(
        "POST /api/nothing HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        large.len()
    );
    client.write(head.as_bytes()).unwrap();
    let answer = client.read_answer().unwrap();
    assert_eq!((answer.status, is_closing(&answer)), (404, true), "{answer:?}");
    client.read_to_end().unwrap();

    // A client that waits to be asked for its body sends none, and hears at once.
    let mut client = server.client();
    let head = "POST /api/nothing HTTP/1.1\r\nhost: localhost\r\nexpect: \
                100-continue\r\ncontent-length: 9\r\n\r\n";
    client.write(head.as_bytes()).unwrap();
    let answer = client.read_answer().unwrap();
    assert_eq!((answer.status, is_closing(&answer)), (404, true), "{answer:?}");

    let mut client = server.client();
    let head = format!(
        "POST /api/leases HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n",
        (1 << 20) + 1
    );
    client.write(head.as_bytes()).unwrap();
    let answer = client.read_answer().unwrap();
    assert_eq!((answer.status, is_closing(&answer)), (413, true), "{answer:?}");
}
