//! The access log, and what never stands in any log.

use serde_json::{Value, json};

use crate::server::program::{Home, Server};

/// `admin:s3cret-of-mine`, and as a client sends it.
const PASSWORD: &str = "s3cret-of-mine";
const ENCODED: &str = "YWRtaW46czNjcmV0LW9mLW1pbmU=";

fn lines(log: &str) -> Vec<Value> {
    let fields = |line: &str| serde_json::from_str::<Value>(line).unwrap()["fields"].take();
    let lines = log.lines().map(fields);
    lines.filter(|fields| fields["message"] == "answered").collect()
}

fn use_limits(server: &Server) -> String {
    let mut client = server.client();
    client.create_limit("db", 1);
    let lease = client.acquire(&["db"], 1).json()["lease_id"].as_str().unwrap().to_owned();
    let renew = format!("/api/leases/{lease}/renew");
    assert_eq!(client.post(&renew, &json!({"ttl_seconds": 60})).status, 200);
    assert_eq!(client.get("/api/leases/?secret=in-the-query").status, 307);
    assert_eq!(client.get("/api/no%0Ape").status, 404);
    lease
}

#[test]
fn each_request_is_a_line_with_its_lease_and_its_limits() {
    let home = Home::new();
    for arguments in [&["--access-log"][..], &["--log-level", "debug"]] {
        let home = Home::new();
        let server = home.start(&[arguments, &["--log-format", "json"]].concat());
        let lease = use_limits(&server);
        let log = server.stop();
        let lines = lines(&log);
        let said: Vec<_> = lines
            .iter()
            .map(|line| (line["method"].as_str().unwrap(), line["status"].as_u64().unwrap()))
            .collect();
        let expected = [("POST", 201), ("POST", 200), ("POST", 200), ("GET", 307), ("GET", 404)];
        assert_eq!(said, expected, "{log}");
        for line in &lines {
            assert_eq!(line["client"], "127.0.0.1", "{line}");
            assert!(line["seconds"].as_f64().unwrap() < 60.0, "{line}");
        }
        assert_eq!((&lines[1]["lease"], &lines[1]["limits"]), (&json!(lease), &json!("[\"db\"]")));
        assert_eq!(lines[2]["lease"], json!(lease));
        assert_eq!(lines[4]["path"], "\"/api/no%0Ape\"");
        assert!(!log.contains("in-the-query"), "{log}");
    }
    assert!(!home.start(&[]).stop().contains("answered"));
}

#[test]
fn a_failed_login_is_logged_and_a_flood_of_them_is_not() {
    let home = Home::new();
    let server = home.start(&["--auth-string", &format!("admin:{PASSWORD}")]);
    let mut client = server.client();
    for _ in 0..50 {
        client
            .write(
                b"GET /api/leases HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic \
                  d3Jvbmc6Z3Vlc3M=\r\n\r\n",
            )
            .unwrap();
        assert_eq!(client.read_answer().unwrap().status, 401);
    }
    let log = server.stop();
    let failed: Vec<_> = log.lines().filter(|line| line.contains("a login failed")).collect();
    assert!((1..40).contains(&failed.len()), "{log}");
    assert!(failed[0].contains("INFO") && failed[0].contains("client=127.0.0.1"), "{log}");
    assert!(!log.contains("guess") && !log.contains("d3Jvbmc6Z3Vlc3M"), "{log}");
}

#[test]
fn no_level_of_the_log_writes_the_password() {
    let home = Home::new();
    let auth_string = format!("admin:{PASSWORD}");
    let server =
        home.start(&["--auth-string", &auth_string, "--log-level", "trace", "--access-log"]);
    let mut client = server.client();
    let head = format!(
        "GET /api/leases HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic {ENCODED}\r\n\r\n"
    );
    client.write(head.as_bytes()).unwrap();
    assert_eq!(client.read_answer().unwrap().status, 200);

    sign_in(&server, &auth_string);
    let log = server.stop();
    assert!(log.contains("answered"), "{log}");
    for secret in [PASSWORD, ENCODED] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_subscriber_whose_login_fails_is_logged() {
    let home = Home::new();
    let server = home.start(&["--auth-string", &format!("admin:{PASSWORD}")]);
    sign_in(&server, "admin:a-guess");
    let log = server.stop();
    let failed: Vec<_> = log.lines().filter(|line| line.contains("a login failed")).collect();
    assert_eq!(failed.len(), 1, "{log}");
    assert!(failed[0].contains("client=127.0.0.1 path=\"/api/events/out\""), "{log}");
    assert!(!log.contains("a-guess"), "{log}");
}

/// A subscriber that signs in by its first message, and waits for the answer.
fn sign_in(server: &Server, auth_string: &str) {
    let mut client = server.client();
    let upgrade = "GET /api/events/out HTTP/1.1\r\nhost: localhost\r\nconnection: \
                   upgrade\r\nupgrade: websocket\r\nsec-websocket-version: \
                   13\r\nsec-websocket-protocol: prefect\r\nsec-websocket-key: \
                   dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write(upgrade.as_bytes()).unwrap();
    assert_eq!(client.read_answer().unwrap().status, 101);
    let login = json!({"type": "auth", "token": auth_string}).to_string();
    let length = u8::try_from(login.len()).unwrap();
    client.write(&[0x81, 0x80 | length, 0, 0, 0, 0]).unwrap();
    client.write(login.as_bytes()).unwrap();
    let mut answer = [0; 2];
    std::io::Read::read_exact(client.stream(), &mut answer).unwrap();
}
