//! A task run that takes a tag without a deadline is on record before (defect D07).

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::SinkExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::Message;

use super::start;
use crate::fixture::{TAGS, TestApp, run, until};
use crate::replay::sockets::{Socket, connect};

const TELLS: &str = "prefect/3.4.10 (API 0.8.4)";
const FLOW_RUN: &str = "00000000-0000-4000-8000-00000000f100";

/// A client of a server with the tag `db`.
struct Client {
    app: TestApp,
    address: SocketAddr,
    events: Socket,
}

/// A request for a slot of a tag, which was sent.
struct Asked(TcpStream);

impl Client {
    async fn start() -> Self {
        let app = start();
        app.tag("db", 1).await;
        let address = app.listen().await;
        let (events, _) = connect(address, "/api/events/in", &[], &[]).await.unwrap();
        Self { app, address, events }
    }

    /// Sends a request for a tag, as a client with this user agent.
    async fn ask(&self, agent: &str, tag: &str, number: u32) -> Asked {
        let body = json!({"names": [tag], "task_run_id": run(number)}).to_string();
        let head = format!(
            "POST {TAGS}/increment HTTP/1.1\r\nhost: {}\r\nuser-agent: {agent}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            self.address,
            body.len()
        );
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        Asked(connection)
    }

    /// Sends the event of a task run, as its client does before it requests tags.
    async fn tell_of(&mut self, number: u32) {
        let event = json!({
            "occurred": "2026-11-20T20:53:00Z",
            "event": "prefect.task-run.Pending",
            "resource": {
                "prefect.resource.id": format!("prefect.task-run.{}", run(number)),
                "prefect.state-type": "PENDING",
            },
            "related": [{
                "prefect.resource.id": format!("prefect.flow-run.{FLOW_RUN}"),
                "prefect.resource.role": "flow-run",
            }],
        });
        self.events.send(Message::text(event.to_string())).await.unwrap();
    }

    async fn tell_of_and_wait(&mut self, number: u32) {
        self.tell_of(number).await;
        let record = format!("/api/task_runs/{}", run(number));
        until(async || self.app.get(&record).await.status == 200).await;
    }

    async fn gives_back(&self, number: u32) {
        self.app.tag_decrement(&["db"], &run(number)).await.expect(200);
    }
}

impl Asked {
    async fn expect(mut self, status: u16) {
        let mut answer = String::new();
        let read = self.0.read_to_string(&mut answer);
        tokio::time::timeout(Duration::from_secs(60), read).await.unwrap().unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }

    async fn is_not_answered(&mut self) {
        let readable = tokio::time::timeout(Duration::from_millis(100), self.0.readable());
        assert!(readable.await.is_err(), "it is answered, or its connection has ended");
    }
}

#[tokio::test]
async fn d07_a_task_run_gets_its_slots_once_its_flow_run_is_recorded() {
    let mut client = Client::start().await;
    let mut asked = client.ask(TELLS, "db", 1).await;
    // The client repeats its request over another connection: the first may have broken unnoticed.
    let mut again = client.ask(TELLS, "db", 1).await;
    asked.is_not_answered().await;
    again.is_not_answered().await;
    assert_eq!(client.app.taken("tag:db").await, 0);
    client.tell_of(1).await;
    asked.expect(200).await;
    again.expect(200).await;
    let record = client.app.get(&format!("/api/task_runs/{}", run(1))).await.expect(200).json();
    assert_eq!(record["flow_run_id"], FLOW_RUN);
}

#[tokio::test]
async fn d07_a_client_killed_before_its_task_run_is_recorded_holds_nothing() {
    let mut client = Client::start().await;
    let mut asked = client.ask(TELLS, "db", 1).await;
    asked.is_not_answered().await;
    drop(asked);
    client.tell_of_and_wait(1).await;
    client.tell_of_and_wait(2).await;
    client.ask(TELLS, "db", 2).await.expect(200).await;
    assert_eq!(client.app.holders("db").await, json!([run(2)]));
}

#[tokio::test]
async fn a_request_of_a_recorded_task_run_does_not_wait() {
    let mut client = Client::start().await;
    client.tell_of_and_wait(1).await;
    client.ask(TELLS, "db", 1).await.expect(200).await;
}

#[tokio::test]
async fn clients_wait_for_their_record_up_to_3_4_18_and_only_for_limited_tags() {
    let client = Client::start().await;
    client.ask(TELLS, "unlimited", 1).await.expect(200).await;
    for version in ["2.20.26", "3.4.19", "3.4.20", "3.9.1"] {
        client.ask(&format!("prefect/{version} (API 0.8.4)"), "db", 2).await.expect(200).await;
    }
    client.gives_back(2).await;
    for version in ["3.0.0", "3.4.18"] {
        let mut asked = client.ask(&format!("prefect/{version} (API 0.8.4)"), "db", 3).await;
        asked.is_not_answered().await;
    }
    client.ask("curl/8.5.0", "db", 4).await.expect(200).await;
}

#[tokio::test]
async fn a_request_that_waits_for_its_record_is_sent_away_when_the_server_stops() {
    let mut client = Client::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    client.address = listener.local_addr().unwrap();
    let (stop, stopping) = oneshot::channel();
    let stopping = async { stopping.await.unwrap() };
    let serving = tokio::spawn(client.app.server().serve(listener, stopping));
    let mut asked = client.ask(TELLS, "db", 1).await;
    asked.is_not_answered().await;
    // The server waits for all sockets, including that of the events.
    client.events.close(None).await.unwrap();
    stop.send(()).unwrap();
    asked.expect(423).await;
    serving.await.unwrap();
    assert_eq!(client.app.taken("tag:db").await, 0);
}

#[tokio::test]
async fn requests_do_not_wait_for_records_if_events_need_credentials() {
    let secured = TestApp::init().with_records().with_config(|config| {
        config.auth_string = Some("admin:pass".to_owned());
    });
    let app = secured.start();
    let ask = |path: &str, body: &serde_json::Value| {
        let mut request = crate::fixture::with_json("POST", path, body);
        let headers = request.headers_mut();
        headers.insert("authorization", "Basic YWRtaW46cGFzcw==".parse().unwrap());
        headers.insert("user-agent", TELLS.parse().unwrap());
        app.send(request)
    };
    ask(&format!("{TAGS}/"), &json!({"tag": "db", "concurrency_limit": 1})).await.expect(201);
    let body = json!({"names": ["db"], "task_run_id": run(1)});
    ask(&format!("{TAGS}/increment"), &body).await.expect(200);
}
