//! Flow runs: what is recorded of them, and the states that they enter.

use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{NOBODY, id_of, only, start, wrong_at};
use crate::fixture::until;
use crate::replay::sockets::connect;

#[tokio::test]
async fn a_flow_run_is_recorded_and_read_as_it_was_sent() {
    let app = start();
    let flow = app.flow("etl").await;
    let said = json!({
        "name": "quiet-otter",
        "parameters": {"day": "2026-11-20"},
        "tags": ["nightly"],
        "empirical_policy": {"retries": 2, "retry_delay": 10},
        "context": {"by": "hand"},
    });
    let run = app.flow_run(&flow, said.clone()).await;
    let names = ["name", "parameters", "tags", "empirical_policy", "context"];
    assert_eq!(only(&run, &names), said);
    assert_eq!(run["flow_id"], json!(flow));
    assert_eq!(run["labels"], json!({"prefect.flow.id": flow}));
    assert_eq!(only(&run, &["state", "run_count"]), json!({"state": null, "run_count": 0}));
    let read = app.get(&format!("/api/flow_runs/{}", id_of(&run))).await.expect(200).json();
    assert_eq!(read, run);
}

#[tokio::test]
async fn a_flow_run_of_an_unknown_flow_is_refused_and_not_recorded() {
    let app = start();
    let answer = app.post("/api/flow_runs/", &json!({"flow_id": NOBODY})).await.expect(409);
    assert!(answer.detail().starts_with("Data integrity conflict."));
    assert_eq!(app.post("/api/flow_runs/count", &json!({})).await.json(), json!(0));
}

#[tokio::test]
async fn a_repeated_request_with_a_key_returns_the_same_flow_run() {
    let app = start();
    let (flow, other) = (app.flow("etl").await, app.flow("other").await);
    let body = json!({"flow_id": flow, "idempotency_key": "2026-11-20"});
    let run = app.post("/api/flow_runs/", &body).await.expect(201).json();
    assert_eq!(app.post("/api/flow_runs/", &body).await.expect(200).json(), run);
    let of_other = json!({"flow_id": other, "idempotency_key": "2026-11-20"});
    let of_other = app.post("/api/flow_runs/", &of_other).await.expect(201).json();
    assert_ne!(id_of(&of_other), id_of(&run));
}

#[tokio::test]
async fn a_wrong_flow_run_is_refused() {
    let app = start();
    let flow = app.flow("etl").await;
    for (body, place) in [
        (json!({}), json!(["body", "flow_id"])),
        (json!({"flow_id": "etl"}), json!(["body", "flow_id"])),
        (json!({"flow_id": flow, "parameters": []}), json!(["body", "parameters"])),
        (json!({"flow_id": flow, "tags": [1]}), json!(["body", "tags", 0])),
        (json!({"flow_id": flow, "state": {"type": "BUSY"}}), json!(["body", "state", "type"])),
        (json!({"flow_id": flow, "state": {}}), json!(["body", "state", "type"])),
    ] {
        let answer = app.post("/api/flow_runs/", &body).await.expect(422);
        assert_eq!(wrong_at(&answer), [place], "{body}");
    }
    assert_eq!(app.post("/api/flow_runs/count", &json!({})).await.json(), json!(0));
}

#[tokio::test]
async fn a_flow_run_goes_from_state_to_state_and_all_are_kept() {
    let app = start();
    let run = app.running().await;
    app.sleep(12.5);
    let done = app.enter("flow_runs", &run, "COMPLETED").await.expect(201).json();
    assert_eq!(done["status"], "ACCEPT");
    assert_eq!(done["state"]["state_details"]["flow_run_id"], json!(run));
    let read = app.get(&format!("/api/flow_runs/{run}")).await.expect(200).json();
    assert_eq!(
        only(&read, &["state_type", "state_name", "run_count", "total_run_time", "end_time"]),
        json!({
            "state_type": "COMPLETED",
            "state_name": "Completed",
            "run_count": 1,
            "total_run_time": 12.5,
            "end_time": "2026-11-20T20:53:12.500000Z",
        })
    );
    let path = format!("/api/flow_run_states/?flow_run_id={run}");
    let states = app.get(&path).await.expect(200).json();
    let kinds: Vec<_> = states.as_array().unwrap().iter().map(|it| &it["type"]).collect();
    assert_eq!(kinds, ["PENDING", "RUNNING", "COMPLETED"]);
}

#[tokio::test]
async fn a_flow_run_that_is_over_is_cancelled_only_by_force() {
    let app = start();
    let run = app.running().await;
    app.enter("flow_runs", &run, "FAILED").await.expect(201);
    let aborted = app.enter("flow_runs", &run, "CANCELLING").await.expect(200).json();
    assert_eq!(aborted["status"], "ABORT");
    assert_eq!(app.state_type("flow_runs", &run).await, "FAILED");
    let forced = json!({"state": {"type": "CANCELLING"}, "force": true});
    let path = format!("/api/flow_runs/{run}/set_state");
    assert_eq!(app.post(&path, &forced).await.expect(201).json()["status"], "ACCEPT");
    assert_eq!(app.state_type("flow_runs", &run).await, "CANCELLING");
}

#[tokio::test]
async fn a_flow_run_that_is_cancelling_becomes_cancelled_and_nothing_else() {
    let app = start();
    let run = app.running().await;
    app.enter("flow_runs", &run, "CANCELLING").await.expect(201);
    let rejected = app.enter("flow_runs", &run, "COMPLETED").await.expect(200).json();
    assert_eq!(rejected["status"], "REJECT");
    assert_eq!(rejected["state"]["type"], "CANCELLING");
    app.enter("flow_runs", &run, "CANCELLED").await.expect(201);
}

#[tokio::test]
async fn a_flow_run_is_retried_as_often_as_its_policy_says() {
    let app = start();
    let flow = app.flow("etl").await;
    let policy = json!({"empirical_policy": {"retries": 1, "retry_delay": 30}});
    let run = app.flow_run(&flow, policy).await;
    let run = id_of(&run);
    app.enter("flow_runs", run, "RUNNING").await.expect(201);
    let rejected = app.enter("flow_runs", run, "FAILED").await.expect(200).json();
    assert_eq!(rejected["state"]["name"], "AwaitingRetry");
    let waits = app.enter("flow_runs", run, "RUNNING").await.expect(200).json();
    assert_eq!(waits["details"]["delay_seconds"], 30);
    app.sleep(30.0);
    app.enter("flow_runs", run, "RUNNING").await.expect(201);
    app.enter("flow_runs", run, "FAILED").await.expect(201);
}

#[tokio::test]
async fn a_wrong_state_is_refused_and_changes_nothing() {
    let app = start();
    let run = app.running().await;
    let path = format!("/api/flow_runs/{run}/set_state");
    for (body, place) in [
        (json!({}), json!(["body", "state"])),
        (json!({"state": {"type": "DONE"}}), json!(["body", "state", "type"])),
        (json!({"state": {"type": "FAILED"}, "force": "perhaps"}), json!(["body", "force"])),
    ] {
        let answer = app.post(&path, &body).await.expect(422);
        assert_eq!(wrong_at(&answer), [place], "{body}");
    }
    assert_eq!(app.state_type("flow_runs", &run).await, "RUNNING");
    let unknown = app.enter("flow_runs", NOBODY, "RUNNING").await.expect(404);
    assert_eq!(unknown.detail(), "Flow run not found");
    let no_id = app.enter("flow_runs", "etl", "RUNNING").await.expect(404);
    assert_eq!(no_id.detail(), "Not Found");
}

#[tokio::test]
async fn a_flow_run_is_changed_in_what_is_sent_and_nothing_else() {
    let app = start();
    let run = app.running().await;
    let path = format!("/api/flow_runs/{run}");
    app.patch(&path, &json!({"name": "renamed", "infrastructure_pid": "7"})).await.expect(204);
    app.patch(&path, &json!({"tags": ["late"]})).await.expect(204);
    app.patch(&format!("{path}/labels"), &json!({"team": "data"})).await.expect(204);
    let read = app.get(&path).await.expect(200).json();
    assert_eq!(
        only(&read, &["name", "infrastructure_pid", "tags", "state_type"]),
        json!({
            "name": "renamed", "infrastructure_pid": "7", "tags": ["late"], "state_type": "RUNNING"
        })
    );
    assert_eq!(read["labels"]["team"], "data");
    assert_eq!(read["labels"]["prefect.flow.id"], read["flow_id"]);

    let invalid = app.patch(&path, &json!({"tags": "late"})).await.expect(422);
    assert_eq!(wrong_at(&invalid), [json!(["body", "tags"])]);
    let labels = app.patch(&format!("{path}/labels"), &json!([])).await.expect(422);
    assert_eq!(labels.detail(), "Labels must be an object.");
    app.patch(&format!("/api/flow_runs/{NOBODY}"), &json!({"name": "x"})).await.expect(404);
    app.patch(&format!("/api/flow_runs/{NOBODY}/labels"), &json!({})).await.expect(404);
}

#[tokio::test]
async fn the_state_of_a_subflow_is_that_of_the_task_run_that_stands_for_it() {
    let app = start();
    let parent = app.running().await;
    let stands_for = app.task_run(&parent, "child", json!({})).await;
    let flow = app.flow("child").await;
    let said = json!({"parent_task_run_id": stands_for["id"], "state": {"type": "PENDING"}});
    let child = app.flow_run(&flow, said).await;
    for kind in ["RUNNING", "COMPLETED"] {
        app.enter("flow_runs", id_of(&child), kind).await.expect(201);
        assert_eq!(app.state_type("task_runs", id_of(&stands_for)).await, kind);
    }
    let read = app.get(&format!("/api/task_runs/{}", id_of(&stands_for))).await.json();
    assert_eq!(read["state"]["state_details"]["child_flow_run_id"], child["id"]);
}

#[tokio::test]
async fn d07_leases_of_tasks_are_repossessed_when_an_event_reports_the_crash_of_their_flow_run() {
    let app = start();
    app.tag("database", 1).await;
    let flow_run = app.running().await;
    let task = app.task_run(&flow_run, "load", json!({"tags": ["database"]})).await;
    app.enter("task_runs", id_of(&task), "RUNNING").await.expect(201);
    let event = |kind: &str, occurred: &str| {
        let resource = json!({
            "prefect.resource.id": format!("prefect.flow-run.{flow_run}"),
            "prefect.state-type": kind.to_uppercase(),
            "prefect.state-name": kind,
        });
        let event = format!("prefect.flow-run.{kind}");
        json!({"occurred": occurred, "event": event, "resource": resource})
    };
    let (mut socket, _) = connect(app.listen().await, "/api/events/in", &[], &[]).await.unwrap();
    let heartbeat = event("heartbeat", "2026-11-20T20:53:00Z");
    // The last two change nothing: one repeats the state, and the other is late.
    app.sleep(10.0);
    for told in [
        heartbeat,
        event("Running", "2026-11-20T20:53:02Z"),
        event("Crashed", "2026-11-20T20:53:09Z"),
        event("Crashed", "2026-11-20T20:53:10Z"),
        event("Running", "2026-11-20T20:53:05Z"),
    ] {
        socket.send(Message::text(told.to_string())).await.unwrap();
    }
    until(async || app.events("kind=prefect.flow-run").await.len() == 5).await;
    let recorded = app.get(&format!("/api/flow_runs/{flow_run}")).await.json();
    assert_eq!(
        only(&recorded, &["state_type", "run_count"]),
        json!({"state_type": "CRASHED", "run_count": 1})
    );
    assert_eq!(recorded["end_time"], "2026-11-20T20:53:09.000000Z");
    until(async || {
        app.sleep(1.0);
        app.holders("database").await == json!([])
    })
    .await;
    let told = app.told("kind=lease.repossessed", 1).await;
    let evidence = format!("flow run {flow_run} is over: Crashed");
    assert_eq!(told[0].1.as_deref(), Some(evidence.as_str()));
}

#[tokio::test]
async fn everything_that_is_recorded_of_a_run_can_be_read_again() {
    let app = start();
    let flow = app.flow("etl").await;
    let run = app.flow_run(&flow, json!({})).await;
    let path = format!("/api/flow_runs/{}", id_of(&run));
    let block = json!({"slug": "local-file-system", "name": "Local File System"});
    app.post("/api/block_types/", &block).await.expect(201);
    for depth in [98, 99, 130, 240] {
        let deep = (0..depth).fold(json!(1), |deep, _| json!({"a": deep}));
        let status = |ours: usize, taken: u16| if depth + ours > 100 { 400 } else { taken };
        let body = json!({"parameters": deep});
        app.patch(&path, &body).await.expect(status(1, 204));
        let state = json!({"state": {"type": "RUNNING", "data": deep}});
        app.post(&format!("{path}/set_state"), &state).await.expect(status(2, 201));
        app.patch(&format!("{path}/labels"), &deep).await.expect(status(0, 204));
        let block = json!({"slug": "local-file-system", "name": deep});
        app.post("/api/block_types/", &block).await.expect(status(1, 201));
    }
    app.get(&path).await.expect(200);
    let listed = app.post("/api/flow_runs/filter", &json!({})).await.expect(200).json();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
}
