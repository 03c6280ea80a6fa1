//! What passes is evidence, as without a gateway.

use std::sync::Arc;

use futures_util::SinkExt;
use leasehold_engine::{Acquire, Acquired, Hold, Holder, LeaseId, LimitId};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{before, pair};
use crate::fixture::{TestApp, until};
use crate::replay::sockets::connect;

/// A grace period, and a little more.
const GRACE_SECONDS: f64 = 7.0;

/// A slot of ours that this run holds and cannot renew.
async fn held_by(gateway: &TestApp, kind: &str, run: &str) {
    let ledger = gateway.ledger();
    let name: Arc<str> = "tag:database".into();
    ledger.put_tag_limit(LimitId(7), name.clone(), 9).await.unwrap();
    let hold = Hold::Holder { id: LeaseId(71), holder: Holder::new(kind, run) };
    let (acquired, undo) = ledger.try_acquire(Acquire::new([(name, 1)], hold)).await.unwrap();
    assert!(matches!(acquired, Acquired::Granted(_)), "{acquired:?}");
    undo.keep();
}

async fn is_free(gateway: &TestApp) -> bool {
    gateway.ledger().holders().await.unwrap().is_empty()
}

/// The grace period passes, and the slot is free.
async fn becomes_free(gateway: &TestApp) {
    until(async || {
        gateway.sleep(1.0);
        is_free(gateway).await
    })
    .await;
}

/// Records a task run in a flow run, both through the gateway. Returns their ids.
async fn runs(gateway: &TestApp) -> (String, String) {
    let id = |answer: Value| answer["id"].as_str().unwrap().to_owned();
    let flow = id(gateway.post("/api/flows/", &json!({"name": "etl"})).await.json());
    let body = json!({"flow_id": flow, "state": {"type": "PENDING"}});
    let flow_run = id(gateway.post("/api/flow_runs/", &body).await.expect(201).json());
    let body = json!({"flow_run_id": flow_run, "task_key": "load", "dynamic_key": "0"});
    let task_run = id(gateway.post("/api/task_runs/", &body).await.expect(201).json());
    for (kind, run) in [("flow_runs", &flow_run), ("task_runs", &task_run)] {
        enter(gateway, kind, run, "RUNNING").await;
    }
    (flow_run, task_run)
}

async fn enter(gateway: &TestApp, kind: &str, run: &str, state: &str) {
    let path = format!("/api/{kind}/{run}/set_state");
    gateway.post(&path, &json!({"state": {"type": state}})).await.expect(201);
}

#[tokio::test]
async fn a_task_run_that_is_reported_as_over_loses_what_it_held() {
    let (_upstream, gateway) = pair().await;
    let (_, task_run) = runs(&gateway).await;
    held_by(&gateway, Holder::TASK_RUN, &task_run).await;
    enter(&gateway, "task_runs", &task_run, "CRASHED").await;
    assert!(!is_free(&gateway).await, "its own release comes first");
    becomes_free(&gateway).await;
}

#[tokio::test]
async fn a_task_run_in_a_flow_run_that_crashed_loses_what_it_held() {
    let (_upstream, gateway) = pair().await;
    let (flow_run, task_run) = runs(&gateway).await;
    held_by(&gateway, Holder::TASK_RUN, &task_run).await;
    enter(&gateway, "flow_runs", &flow_run, "CRASHED").await;
    becomes_free(&gateway).await;
}

#[tokio::test]
async fn a_deleted_flow_run_loses_what_its_task_runs_held_at_once() {
    let (_upstream, gateway) = pair().await;
    let (flow_run, task_run) = runs(&gateway).await;
    held_by(&gateway, Holder::TASK_RUN, &task_run).await;
    gateway.delete(&format!("/api/flow_runs/{flow_run}")).await.expect(204);
    assert!(is_free(&gateway).await);
}

#[tokio::test]
async fn a_deleted_run_that_no_record_knows_loses_what_it_held() {
    let (upstream, gateway) = pair().await;
    let flow = upstream.post("/api/flows/", &json!({"name": "etl"})).await.json();
    let body = json!({"flow_id": flow["id"]});
    let run = upstream.post("/api/flow_runs/", &body).await.expect(201).json();
    let run = run["id"].as_str().unwrap();
    held_by(&gateway, Holder::FLOW_RUN, run).await;
    gateway.delete(&format!("/api/flow_runs/{run}")).await.expect(204);
    assert!(is_free(&gateway).await);
}

#[tokio::test]
async fn what_the_upstream_refuses_is_no_evidence() {
    let (_upstream, gateway) = pair().await;
    let nobody = "00000000-0000-4000-8000-00000000abcd";
    held_by(&gateway, Holder::TASK_RUN, nobody).await;
    let path = format!("/api/task_runs/{nobody}/set_state");
    gateway.post(&path, &json!({"state": {"type": "CRASHED"}})).await.expect(404);
    gateway.delete(&format!("/api/flow_runs/{nobody}")).await.expect(404);
    gateway.sleep(GRACE_SECONDS);
    assert!(!is_free(&gateway).await);
}

/// The event with which a client reports that its task run has crashed.
fn crashed(task_run: &str) -> Message {
    let event = json!({
        "occurred": "2026-11-20T20:53:00Z",
        "event": "prefect.task-run.Crashed",
        "resource": {
            "prefect.resource.id": format!("prefect.task-run.{task_run}"),
            "prefect.resource.name": "load",
            "prefect.state-name": "Crashed",
            "prefect.state-type": "CRASHED",
        },
        "related": [],
        "payload": {},
        "id": "00000000-0000-4000-8000-0000000000ee",
    });
    Message::text(event.to_string())
}

const TASK_RUN: &str = "00000000-0000-4000-8000-000000000001";

#[tokio::test]
async fn events_are_heard_as_they_pass() {
    let (upstream, gateway) = pair().await;
    held_by(&gateway, Holder::TASK_RUN, TASK_RUN).await;
    let address = gateway.listen().await;
    let (mut socket, _) = connect(address, "/api/events/in", &[], &[]).await.unwrap();
    socket.send(crashed(TASK_RUN)).await.unwrap();
    for server in [&gateway, &upstream] {
        server.told("kind=prefect.task-run", 1).await;
    }
    becomes_free(&gateway).await;
}

#[tokio::test]
async fn events_of_a_client_without_the_password_are_no_evidence() {
    let secured = |config: &mut leasehold_server::Config| {
        config.auth_string = Some("admin:pass".to_owned());
    };
    let upstream = TestApp::init().with_records().with_config(secured).start();
    let gateway = before(upstream.listen().await, secured);
    held_by(&gateway, Holder::TASK_RUN, TASK_RUN).await;
    let address = gateway.listen().await;
    let offered = ["prefect".to_owned()];
    for (token, is_heard) in [("admin:wrong", false), ("admin:pass", true)] {
        let (mut socket, _) = connect(address, "/api/events/in", &offered, &[]).await.unwrap();
        let auth = json!({"type": "auth", "token": token}).to_string();
        // The upstream may have closed the socket in between.
        let _ = socket.send(Message::text(auth)).await;
        let _ = socket.send(crashed(TASK_RUN)).await;
        while !is_heard && matches!(futures_util::StreamExt::next(&mut socket).await, Some(Ok(_))) {
        }
        if is_heard {
            becomes_free(&gateway).await;
        } else {
            gateway.sleep(GRACE_SECONDS);
            assert!(!is_free(&gateway).await);
        }
    }
}
