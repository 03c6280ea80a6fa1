//! Who holds a tag without a deadline is on record before it holds it (defect D07).

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::SinkExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
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

/// A request for a slot of a tag that was sent.
struct Asked(TcpStream);

impl Client {
    async fn start() -> Self {
        let app = start();
        app.tag("db", 1).await;
        let address = app.listen().await;
        let (events, _) = connect(address, "/api/events/in", &[], &[]).await.unwrap();
        Self { app, address, events }
    }

    /// Asks as a client that calls itself so.
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

    /// Tells of a task run, as its client does before it asks.
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

    async fn is_granted(&self) {
        until(async || self.app.taken("tag:db").await == 1).await;
    }

    async fn gives_back(&self, number: u32) {
        self.app.tag_decrement(&["db"], &run(number)).await.expect(200);
    }
}

impl Asked {
    async fn expect(mut self, status: &str) {
        let mut answer = String::new();
        self.0.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }

    async fn is_not_answered(&mut self) {
        let readable = tokio::time::timeout(Duration::from_millis(100), self.0.readable());
        assert!(readable.await.is_err(), "it is answered, or its connection has ended");
    }
}

#[tokio::test]
async fn d07_a_task_run_gets_its_slots_when_it_is_known_in_which_flow_run_it_is() {
    let mut client = Client::start().await;
    let mut asked = client.ask(TELLS, "db", 1).await;
    client.is_granted().await;
    asked.is_not_answered().await;
    client.tell_of(1).await;
    asked.expect("200").await;
    let record = client.app.get(&format!("/api/task_runs/{}", run(1))).await.expect(200).json();
    assert_eq!(record["flow_run_id"], FLOW_RUN);
}

#[tokio::test]
async fn d07_a_client_that_is_killed_before_it_has_told_of_its_task_run_holds_nothing() {
    let client = Client::start().await;
    let asked = client.ask(TELLS, "db", 1).await;
    client.is_granted().await;
    drop(asked);
    until(async || client.app.taken("tag:db").await == 0).await;
    client.app.tag_increment(&["db"], &run(2)).await.expect(200);
}

#[tokio::test]
async fn who_was_told_of_before_is_not_waited_for() {
    let mut client = Client::start().await;
    client.tell_of(1).await;
    client.ask(TELLS, "db", 1).await.expect("200").await;
}

#[tokio::test]
async fn only_grants_wait_and_only_those_of_clients_that_tell() {
    let client = Client::start().await;
    // It holds nothing.
    client.ask(TELLS, "unlimited", 1).await.expect("200").await;
    for agent in ["curl/8.5.0", "prefect/2.20.26 (API 0.8.4)"] {
        client.ask(agent, "db", 2).await.expect("200").await;
        // Somebody may want to know now whether there is room.
        client.ask(TELLS, "db", 3).await.expect("423").await;
        client.gives_back(2).await;
    }
}

#[tokio::test]
async fn a_client_whose_events_do_not_come_is_waited_for_once() {
    let mut client = Client::start().await;
    let mut asked = client.ask(TELLS, "db", 1).await;
    client.is_granted().await;
    asked.is_not_answered().await;
    let answered = tokio::spawn(asked.expect("200"));
    until(async || {
        client.app.sleep(1.0);
        answered.is_finished()
    })
    .await;
    answered.await.unwrap();
    client.gives_back(1).await;

    client.ask(TELLS, "db", 2).await.expect("200").await;
    client.gives_back(2).await;

    // Its events come again.
    client.tell_of(3).await;
    let record = format!("/api/task_runs/{}", run(3));
    until(async || client.app.get(&record).await.status == 200).await;
    let mut asked = client.ask(TELLS, "db", 4).await;
    client.is_granted().await;
    asked.is_not_answered().await;
    client.tell_of(4).await;
    asked.expect("200").await;
}
