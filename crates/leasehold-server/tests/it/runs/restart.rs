//! What a restart leaves of runs and transitions.

use leasehold_engine::Span;
use serde_json::json;

use super::{id_of, start};

#[tokio::test]
async fn a_flow_goes_on_after_a_restart_in_its_middle() {
    let app = start();
    app.tag("database", 1).await;
    let flow_run = app.running().await;
    let task = app.task_run(&flow_run, "load", json!({"tags": ["database"]})).await;
    let task = id_of(&task);
    app.enter("task_runs", task, "RUNNING").await.expect(201);
    let before = app.get(&format!("/api/flow_runs/{flow_run}")).await.json();

    let app = app.restart(Span::from_seconds(3_600)).await;
    assert_eq!(app.holders("database").await, json!([task]));
    let after = app.get(&format!("/api/flow_runs/{flow_run}")).await.expect(200).json();
    assert_eq!((&after["state"], &after["start_time"]), (&before["state"], &before["start_time"]));
    // A repeated request for its task returns the task run that is running.
    let keys = json!({"flow_run_id": flow_run, "task_key": "load", "dynamic_key": "0"});
    let again = app.post("/api/task_runs/", &keys).await.expect(200).json();
    assert_eq!(id_of(&again), task);
    app.enter("task_runs", task, "COMPLETED").await.expect(201);
    assert_eq!(app.holders("database").await, json!([]));
    app.enter("flow_runs", &flow_run, "COMPLETED").await.expect(201);
    let flow = app.post("/api/flows/", &json!({"name": "etl"})).await.expect(200).json();
    assert_eq!(flow["id"], after["flow_id"]);
}

#[tokio::test]
async fn a_transition_whose_answer_was_lost_is_accepted_again_after_a_restart() {
    let app = start();
    let flow_run = app.running().await;
    let path = format!("/api/flow_runs/{flow_run}/set_state");
    let details = json!({"transition_id": "00000000-0000-4000-8000-000000000007"});
    let body = json!({"state": {"type": "COMPLETED", "state_details": details}});
    app.post(&path, &body).await.expect(201);
    let app = app.restart(Span::from_seconds(1)).await;
    let again = app.post(&path, &body).await.expect(201).json();
    assert_eq!(again["status"], "ACCEPT");
    let states = app.get(&format!("/api/flow_run_states/?flow_run_id={flow_run}")).await.json();
    assert_eq!(states.as_array().unwrap().len(), 3);
}
