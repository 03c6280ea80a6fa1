//! Flow runs that pause and resume. Suspended flow runs and deferred task runs are refused: this
//! server has no workers that would ever run them.

use serde_json::{Value, json};

use super::{NOBODY, only, start};
use crate::fixture::{Answer, TestApp};

impl TestApp {
    async fn propose(&self, run: &str, state: &Value) -> Answer {
        self.post(&format!("/api/flow_runs/{run}/set_state"), &json!({"state": state})).await
    }

    async fn resume(&self, run: &str) -> Answer {
        self.post(&format!("/api/flow_runs/{run}/resume"), &json!({"run_input": null})).await
    }
}

#[tokio::test]
async fn a_paused_flow_run_is_resumed_and_pauses_there_no_more() {
    let app = start();
    let run = app.running().await;
    let pause = json!({"type": "PAUSED", "state_details": {"pause_key": "1"}});
    let paused = app.propose(&run, &pause).await.expect(201).json();
    assert_eq!(paused["state"]["name"], "Paused");
    assert_eq!(paused["state"]["state_details"]["pause_key"], "1");

    let resumed = app.resume(&run).await.expect(201).json();
    assert_eq!(resumed["status"], "ACCEPT");
    assert_eq!(
        only(&resumed["state"], &["type", "name"]),
        json!({"type": "RUNNING", "name": "Running"})
    );
    let read = app.get(&format!("/api/flow_runs/{run}")).await.expect(200).json();
    assert_eq!(read["empirical_policy"], json!({"pause_keys": ["1"], "resuming": true}));

    let again = app.propose(&run, &pause).await.expect(200).json();
    assert_eq!(again["status"], "REJECT");
    assert_eq!(again["state"]["type"], "RUNNING", "its client goes on");
}

#[tokio::test]
async fn a_flow_run_that_is_not_paused_is_not_resumed() {
    let app = start();
    let run = app.running().await;
    let answer = app.resume(&run).await.expect(200).json();
    let reason = "Cannot resume a flow run that is not paused.";
    let details = json!({"type": "abort_details", "reason": reason});
    assert_eq!(answer, json!({"state": null, "status": "ABORT", "details": details}));
    app.resume(NOBODY).await.expect(404);
    app.resume("nope").await.expect(404);
    // The request needs no body.
    app.enter("flow_runs", &run, "PAUSED").await.expect(201);
    app.send(
        crate::fixture::request("POST", &format!("/api/flow_runs/{run}/resume"))
            .body(axum::body::Body::empty())
            .unwrap(),
    )
    .await
    .expect(201);
}

#[tokio::test]
async fn a_pause_that_timed_out_ends_its_run_when_it_is_resumed() {
    let app = start();
    let run = app.running().await;
    let details = json!({"pause_timeout": "2026-11-20T20:53:10Z"});
    app.propose(&run, &json!({"type": "PAUSED", "state_details": details})).await.expect(201);
    app.sleep(11.0);
    let late = app.resume(&run).await.json();
    assert_eq!(late["status"], "REJECT");
    assert_eq!(
        only(&late["state"], &["type", "message"]),
        json!({
            "type": "FAILED",
            "message": "The flow was running and never resumed.",
        })
    );
    assert_eq!(late["state"]["state_details"]["flow_run_id"], json!(run));
}

#[tokio::test]
async fn a_suspension_is_refused_as_for_any_flow_without_a_deployment() {
    let app = start();
    let run = app.running().await;
    let details = json!({"pause_reschedule": true, "pause_key": "1"});
    let suspended = json!({"type": "PAUSED", "name": "Suspended", "state_details": details});
    let refused = app.propose(&run, &suspended).await.expect(200).json();
    assert_eq!(refused["status"], "ABORT");
    assert_eq!(refused["details"]["reason"], "Cannot suspend flows without a deployment.");
    assert_eq!(app.state_type("flow_runs", &run).await, "RUNNING");
}

/// `task.delay()` sends such requests, and clients print the answer.
#[tokio::test]
async fn a_task_run_for_a_task_worker_is_refused() {
    let app = start();
    let task = |details: Value| {
        let state = json!({"type": "SCHEDULED", "state_details": details});
        json!({"task_key": "t", "dynamic_key": "0", "state": state})
    };
    let run = app.running().await;
    let mut in_a_flow = task(json!({"deferred": true}));
    in_a_flow["flow_run_id"] = run.clone().into();
    for body in [task(json!({"deferred": true})), task(json!({})), in_a_flow] {
        let told = app.post("/api/task_runs/", &body).await.expect(422).detail();
        assert!(told.starts_with("Leasehold hands no tasks to task workers"), "{told}");
    }
    assert_eq!(app.post("/api/task_runs/count", &json!({})).await.json(), json!(0));
    // A scheduled task run that its flow runs itself is accepted.
    let mut later = task(json!({}));
    later["flow_run_id"] = run.into();
    app.post("/api/task_runs/", &later).await.expect(201);
}
