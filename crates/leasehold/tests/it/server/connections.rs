//! Connections that misbehave hold nothing, and harm nobody.

use serde_json::json;

use crate::server::http::Client;
use crate::server::program::{Home, Server, eventually};

#[test]
fn half_a_request_holds_nothing() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut client = server.client();
    client.create_limit("db", 1);
    let body = json!({"names": ["db"], "slots": 1}).to_string();
    let head = format!(
        "POST /api/v2/concurrency_limits/increment-with-lease HTTP/1.1\r\nhost: \
         localhost\r\ncontent-length: {}\r\n\r\n",
        body.len() + 1
    );
    let mut half_a_head = server.client();
    half_a_head.write(&head.as_bytes()[..head.len() / 2]).unwrap();
    let mut half_a_body = server.client();
    half_a_body.write(format!("{head}{body}").as_bytes()).unwrap();

    assert_eq!(client.active_slots("db"), 0);
    drop((half_a_head, half_a_body));
    assert_eq!(client.acquire(&["db"], 1).status, 200);
}

#[test]
fn a_client_that_hangs_up_after_its_request_holds_nothing_for_long() {
    let home = Home::new();
    let server = home.start(&["--lease-seconds-min", "0.1"]);
    let mut client = server.client();
    client.create_limit("db", 100);
    let body = json!({"names": ["db"], "slots": 1, "lease_duration": 0.1}).to_string();
    for _ in 0..50 {
        let mut hasty = server.client();
        let request = format!(
            "POST /api/v2/concurrency_limits/increment-with-lease HTTP/1.1\r\nhost: \
             localhost\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        hasty.write(request.as_bytes()).unwrap();
    }
    eventually("all slots are free", || (client.active_slots("db") == 0).then_some(()));
}

#[test]
fn a_body_beyond_a_mebibyte_is_refused() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut client = server.client();
    let spaces = " ".repeat(1 << 20);
    let request = |bytes: usize| {
        format!(
            "POST /api/v2/concurrency_limits/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: \
             {bytes}\r\n\r\n"
        )
    };
    let small = r#"{"name":"db","limit":1}"#;
    client.write(request(1 << 20).as_bytes()).unwrap();
    client.write(format!("{small}{}", &spaces[small.len()..]).as_bytes()).unwrap();
    assert_eq!(client.read_answer().unwrap().status, 201);

    // Refused for its length alone, before anything of it has come.
    let mut client = server.client();
    client.write(request((1 << 20) + 1).as_bytes()).unwrap();
    let answer = client.read_answer().unwrap();
    assert_eq!(answer.status, 413);
    assert!(answer.json()["detail"].as_str().unwrap().contains("1048576"), "{answer:?}");
}

#[test]
fn a_body_without_a_length_is_refused_where_it_becomes_too_long() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut client = server.client();
    client
        .write(
            b"POST /api/v2/concurrency_limits/ HTTP/1.1\r\nhost: \
              localhost\r\ntransfer-encoding: chunked\r\n\r\n",
        )
        .unwrap();
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    for _ in 0..17 {
        // The server may have closed already.
        let _ = client.write(chunk.as_bytes());
    }
    assert_eq!(client.read_answer().unwrap().status, 413);
}

#[test]
fn what_is_no_http_is_told_so_and_closed() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut client = server.client();
    client.write(b"hello?\r\n\r\n").unwrap();
    assert_eq!(client.read_answer().unwrap().status, 400);
    client.read_to_end().unwrap();
}

#[test]
fn a_head_without_end_is_refused() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut client = server.client();
    client.write(b"GET /api/health HTTP/1.1\r\n").unwrap();
    let header = format!("x-filler: {}\r\n", "x".repeat(4_000));
    // It closes before all of this is sent.
    let _ = (0..1_000).try_for_each(|_| client.write(header.as_bytes()));
    if let Ok(answer) = client.read_answer() {
        assert_eq!(answer.status, 431);
    }
    assert_eq!(server.client().get("/api/health").status, 200);
}

#[test]
fn one_connection_carries_many_requests() {
    let home = Home::new();
    let server = home.start(&[]);
    let mut client = server.client();
    client.create_limit("db", 1);
    for _ in 0..100 {
        let lease = client.acquire(&["db"], 1).json();
        let body = json!({"lease_id": lease["lease_id"]});
        let release = client.post("/api/v2/concurrency_limits/decrement-with-lease", &body);
        assert_eq!(release.status, 204);
    }
}

/// A server whose limit of open files the shell sets.
pub(crate) fn start_with_ulimit(home: &Home, ulimit: &str) -> Server {
    let script = format!("ulimit {ulimit}; exec \"$0\" \"$@\"");
    let start = home.start_command(&[]);
    let mut command = home.command("sh", ["-c", &script]);
    command.arg(start.get_program()).args(start.get_args());
    Server::start(command)
}

/// A request that waits for `db`, sent and not answered.
fn wait_for_db(mut client: Client) -> Client {
    let body = json!({"limits": [{"name": "db"}], "wait_seconds": 600}).to_string();
    let head = "POST /api/leases HTTP/1.1\r\nhost: localhost\r\ncontent-length:";
    client.write(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).unwrap();
    client
}

#[test]
fn holders_renew_while_as_many_wait_as_there_are_connections_for() {
    let home = Home::new();
    let server = start_with_ulimit(&home, "-n 80");
    let mut operator = server.client();
    operator.create_limit("db", 1);
    let lease = operator.post("/api/leases", &json!({"limits": [{"name": "db"}]})).json();
    // One address has half of the line at the most.
    let other = || Client::connect_from([127, 0, 0, 2], server.address());
    let half = || wait_for_db(server.client());
    let line: Vec<_> = (0..15).flat_map(|_| [half(), wait_for_db(other())]).collect();
    eventually("30 wait", || {
        let waiters = operator.get("/api/v2/concurrency_limits/db/waiters").json();
        (waiters.as_array().unwrap().len() == 30).then_some(())
    });
    let refused = wait_for_db(server.client()).read_answer().unwrap();
    assert_eq!(refused.status, 423);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    let renew = format!("/api/leases/{}/renew", lease["id"].as_str().unwrap());
    assert_eq!(server.client().post(&renew, &json!({"ttl_seconds": 60})).status, 200);
    drop(line);
    let log = server.stop();
    assert!(!log.contains("could not be accepted"), "{log}");
}

#[test]
fn as_many_files_are_opened_as_the_system_allows() {
    let home = Home::new();
    let server = start_with_ulimit(&home, "-Sn 64");
    let mut clients: Vec<_> = (0..80).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(client.get("/api/health").status, 200);
    }
}
