//! Task runs: what is recorded of them, and the tags that they hold.

use serde_json::json;
use tower::ServiceExt;

use super::{NOBODY, id_of, only, start, wrong_at};
use crate::fixture::{until, with_json};

#[tokio::test]
async fn a_task_run_is_recorded_and_read_as_it_was_sent() {
    let app = start();
    let flow_run = app.running().await;
    let said = json!({
        "name": "load-0",
        "tags": ["database"],
        "task_inputs": {"rows": []},
        "empirical_policy": {"retries": 1},
    });
    let run = app.task_run(&flow_run, "load", said.clone()).await;
    assert_eq!(only(&run, &["name", "tags", "task_inputs", "empirical_policy"]), said);
    let keys = json!({"flow_run_id": flow_run, "task_key": "load", "dynamic_key": "0"});
    assert_eq!(only(&run, &["flow_run_id", "task_key", "dynamic_key"]), keys);
    assert_eq!(app.get(&format!("/api/task_runs/{}", id_of(&run))).await.json(), run);
    // A flow that is retried finds the tasks that it has run before.
    let again = app.post("/api/task_runs/", &keys).await.expect(200).json();
    assert_eq!(again, run);
}

#[tokio::test]
async fn a_task_run_outside_a_flow_is_known_by_its_id() {
    let app = start();
    let body = json!({"id": NOBODY, "task_key": "load", "dynamic_key": "0"});
    let run = app.post("/api/task_runs/", &body).await.expect(201).json();
    assert_eq!((id_of(&run), &run["flow_run_id"]), (NOBODY, &json!(null)));
    app.post("/api/task_runs/", &body).await.expect(200);
    let other = json!({"task_key": "load", "dynamic_key": "0"});
    let other = app.post("/api/task_runs/", &other).await.expect(201).json();
    assert_ne!(id_of(&other), NOBODY);
}

#[tokio::test]
async fn a_taken_id_makes_no_second_run() {
    let app = start();
    let flow_run = app.running().await;
    let first = json!({"id": NOBODY, "flow_run_id": flow_run, "task_key": "a", "dynamic_key": "0"});
    let run = app.post("/api/task_runs/", &first).await.expect(201).json();
    let other = json!({"id": NOBODY, "flow_run_id": flow_run, "task_key": "b", "dynamic_key": "0"});
    assert_eq!(app.post("/api/task_runs/", &other).await.expect(200).json(), run);
    let other = json!({"id": flow_run, "task_key": "b", "dynamic_key": "0"});
    app.post("/api/task_runs/", &other).await.expect(409);
    assert_eq!(app.state_type("flow_runs", &flow_run).await, "RUNNING");
}

#[tokio::test]
async fn a_wrong_task_run_is_refused() {
    let app = start();
    for (body, places) in [
        (json!({}), json!([["body", "task_key"], ["body", "dynamic_key"]])),
        (json!({"task_key": "load", "dynamic_key": 0}), json!([["body", "dynamic_key"]])),
        (
            json!({"task_key": "load", "dynamic_key": "0", "flow_run_id": "etl"}),
            json!([["body", "flow_run_id"]]),
        ),
    ] {
        let answer = app.post("/api/task_runs/", &body).await.expect(422);
        assert_eq!(json!(wrong_at(&answer)), places, "{body}");
    }
    let unknown = app.get(&format!("/api/task_runs/{NOBODY}")).await.expect(404);
    assert_eq!(unknown.detail(), "Task run not found");
    let unknown = app.enter("task_runs", NOBODY, "RUNNING").await.expect(404);
    assert_eq!(unknown.detail(), "Task run not found");
    assert_eq!(app.get("/api/task_runs/etl").await.expect(404).detail(), "Not Found");
}

#[tokio::test]
async fn a_task_runs_when_all_its_tags_have_room() {
    let app = start();
    app.tag("database", 1).await;
    app.tag("gpu", 1).await;
    let flow_run = app.running().await;
    let tags = json!({"tags": ["database", "gpu", "free"]});
    let first = app.task_run(&flow_run, "first", tags.clone()).await;
    let second = app.task_run(&flow_run, "second", tags).await;
    let (first, second) = (id_of(&first), id_of(&second));

    app.enter("task_runs", first, "RUNNING").await.expect(201);
    assert_eq!(app.holders("gpu").await, json!([first]));
    let waits = app.enter("task_runs", second, "RUNNING").await.expect(200).json();
    assert_eq!(waits["status"], "WAIT");
    let reason = "Concurrency limit for the database tag has been reached";
    assert_eq!(waits["details"]["reason"], reason);
    assert!(waits["details"]["delay_seconds"].as_u64().unwrap() >= 1);
    assert_eq!(app.state_type("task_runs", second).await, json!(null));

    app.enter("task_runs", first, "COMPLETED").await.expect(201);
    assert_eq!(app.holders("database").await, json!([]));
    app.enter("task_runs", second, "RUNNING").await.expect(201);
    assert_eq!(app.holders("database").await, json!([second]));
}

#[tokio::test]
async fn a_tag_whose_limit_is_0_aborts() {
    let app = start();
    app.tag("database", 0).await;
    let flow_run = app.running().await;
    let run = app.task_run(&flow_run, "load", json!({"tags": ["database"]})).await;
    let aborted = app.enter("task_runs", id_of(&run), "RUNNING").await.expect(200).json();
    assert_eq!(aborted["status"], "ABORT");
    assert_eq!(
        aborted["details"]["reason"],
        "The concurrency limit on tag \"database\" is 0 and will deadlock if the task tries to \
         run again."
    );
}

#[tokio::test]
async fn all_states_except_running_and_cancelling_release_tags() {
    let app = start();
    app.tag("database", 1).await;
    let flow_run = app.running().await;
    let tags = json!({"tags": ["database"]});
    for (number, kind, holds) in [
        (0, "CANCELLING", true),
        (1, "CANCELLED", false),
        (2, "CRASHED", false),
        (3, "PAUSED", false),
        (4, "SCHEDULED", false),
    ] {
        let run = app.task_run(&flow_run, &format!("task-{number}"), tags.clone()).await;
        let run = id_of(&run);
        app.enter("task_runs", run, "RUNNING").await.expect(201);
        app.enter("task_runs", run, kind).await.expect(201);
        let expected = if holds { json!([run]) } else { json!([]) };
        assert_eq!(app.holders("database").await, expected, "{kind}");
        app.enter("task_runs", run, "CANCELLED").await;
    }
}

#[tokio::test]
async fn d15_a_task_run_that_enters_running_twice_holds_one_slot() {
    let app = start();
    app.tag("database", 2).await;
    let flow_run = app.running().await;
    let run = app.task_run(&flow_run, "load", json!({"tags": ["database"]})).await;
    for _ in 0..2 {
        app.enter("task_runs", id_of(&run), "RUNNING").await.expect(201);
    }
    assert_eq!(app.holders("database").await, json!([run["id"]]));
}

/// A client that numbers its transitions repeats one if the connection broke.
#[tokio::test]
async fn d08_a_task_run_that_repeats_its_transition_holds_its_slot_again() {
    let app = start();
    app.tag("database", 1).await;
    let flow_run = app.running().await;
    let tags = json!({"tags": ["database"]});
    let run = app.task_run(&flow_run, "load", tags.clone()).await;
    let details = json!({"transition_id": NOBODY});
    let running = json!({"state": {"type": "RUNNING", "state_details": details}});
    let path = format!("/api/task_runs/{}/set_state", id_of(&run));
    // The client hangs up before it reads the answer.
    drop(app.router().oneshot(with_json("POST", &path, &running)).await.unwrap());
    assert_eq!(app.holders("database").await, json!([]));
    assert_eq!(app.state_type("task_runs", id_of(&run)).await, "RUNNING");

    let other = app.task_run(&flow_run, "other", tags).await;
    app.enter("task_runs", id_of(&other), "RUNNING").await.expect(201);
    let waits = app.post(&path, &running).await.expect(200).json();
    assert_eq!(waits["status"], "WAIT");
    app.enter("task_runs", id_of(&other), "COMPLETED").await.expect(201);
    for _ in 0..2 {
        assert_eq!(app.post(&path, &running).await.expect(201).json()["status"], "ACCEPT");
        assert_eq!(app.holders("database").await, json!([run["id"]]));
    }
}

#[tokio::test]
async fn a_task_does_not_begin_in_a_flow_that_does_not_run() {
    let app = start();
    let flow_run = app.running().await;
    let run = app.task_run(&flow_run, "load", json!({})).await;
    app.enter("flow_runs", &flow_run, "CANCELLING").await.expect(201);
    let aborted = app.enter("task_runs", id_of(&run), "RUNNING").await.expect(200).json();
    assert_eq!(aborted["status"], "ABORT");
}

#[tokio::test]
async fn the_states_of_a_task_run_are_kept() {
    let app = start();
    let flow_run = app.running().await;
    let run = app.task_run(&flow_run, "load", json!({"state": {"type": "PENDING"}})).await;
    app.sleep(1.0);
    app.enter("task_runs", id_of(&run), "RUNNING").await.expect(201);
    let path = format!("/api/task_run_states/?task_run_id={}", id_of(&run));
    let states = app.get(&path).await.expect(200).json();
    let kinds: Vec<_> = states.as_array().unwrap().iter().map(|it| &it["type"]).collect();
    assert_eq!(kinds, ["PENDING", "RUNNING"]);
}

#[tokio::test]
async fn logs_are_accepted_and_not_stored() {
    let app = start();
    let logs = json!([{"message": "hello", "level": 20}]);
    assert_eq!(app.post("/api/logs/", &logs).await.expect(201).json(), json!(null));
    let refused = app.post("/api/logs/", &json!({"message": "hello"})).await.expect(422);
    assert_eq!(refused.detail(), "Logs must be a list.");
    let told = app.post("/api/logs/filter", &json!({})).await.expect(404).detail();
    assert!(told.starts_with("Leasehold takes the logs of runs and does not keep them."), "{told}");
}

#[tokio::test]
async fn d07_the_unreleased_lease_of_a_task_run_that_is_over_is_repossessed() {
    let app = start();
    app.tag("database", 1).await;
    let flow_run = app.running().await;
    // The record has no tags, so the end of the run releases nothing by itself.
    let run = app.task_run(&flow_run, "load", json!({})).await;
    app.tag_increment(&["database"], id_of(&run)).await.expect(200);
    app.enter("task_runs", id_of(&run), "FAILED").await.expect(201);
    until(async || {
        app.sleep(1.0);
        app.holders("database").await == json!([])
    })
    .await;
    let told = app.told("kind=lease.repossessed", 1).await;
    assert!(told[0].1.as_ref().unwrap().contains("is over: Failed"), "{told:?}");
}

#[tokio::test]
async fn a_task_run_can_be_renamed() {
    let app = start();
    let flow_run = app.running().await;
    let task = app.task_run(&flow_run, "load", json!({"name": "first"})).await;
    let path = format!("/api/task_runs/{}", id_of(&task));
    app.patch(&path, &json!({"name": "second"})).await.expect(204);
    app.patch(&path, &json!({})).await.expect(204);
    assert_eq!(app.get(&path).await.json()["name"], "second");
    let answer = app.patch(&path, &json!({"name": "third", "tags": []})).await.expect(422);
    assert_eq!(wrong_at(&answer), [json!(["body", "tags"])]);
    app.patch(&format!("/api/task_runs/{NOBODY}"), &json!({"name": "x"})).await.expect(404);
    app.patch("/api/task_runs/nobody", &json!({"name": "x"})).await.expect(404);
}
