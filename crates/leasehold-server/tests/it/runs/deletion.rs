//! What ends with a deleted flow run.

use serde_json::json;

use super::{id_of, start};
use crate::fixture::TestApp;

/// Records a task run in a flow run, which takes the tag `database`.
async fn holder_in(app: &TestApp, flow_run: &str) -> String {
    let task = app.task_run(flow_run, "load", json!({"tags": ["database"]})).await;
    app.enter("task_runs", id_of(&task), "RUNNING").await.expect(201);
    id_of(&task).to_owned()
}

#[tokio::test]
async fn a_flow_run_is_deleted_with_its_states_and_its_task_runs() {
    let app = start();
    let run = app.running().await;
    let task = app.task_run(&run, "load", json!({})).await;
    let path = format!("/api/flow_runs/{run}");
    app.delete(&path).await.expect(204);
    app.get(&path).await.expect(404);
    app.delete(&path).await.expect(404);
    app.get(&format!("/api/task_runs/{}", id_of(&task))).await.expect(404);
    let states = app.get(&format!("/api/flow_run_states/?flow_run_id={run}")).await.expect(200);
    assert_eq!(states.json(), json!([]));
}

#[tokio::test]
async fn d07_leases_of_tasks_in_a_deleted_flow_run_are_repossessed_at_once() {
    let app = start();
    app.tag("database", 9).await;
    let (deleted, other) = (app.running().await, app.running().await);
    let holder = holder_in(&app, &deleted).await;
    let stands_for = app.task_run(&deleted, "child", json!({})).await;
    let flow = app.flow("child").await;
    let said = json!({"parent_task_run_id": stands_for["id"], "state": {"type": "PENDING"}});
    let subflow = app.flow_run(&flow, said).await;
    app.enter("flow_runs", id_of(&subflow), "RUNNING").await.expect(201);
    holder_in(&app, id_of(&subflow)).await;
    let stays = holder_in(&app, &other).await;

    app.delete(&format!("/api/flow_runs/{deleted}")).await.expect(204);
    assert_eq!(app.holders("database").await, json!([stays]));
    let told = app.told("kind=lease.repossessed", 2).await;
    let evidence = format!("flow run {deleted} was deleted");
    assert!(told.iter().all(|(_, reason)| reason.as_ref() == Some(&evidence)), "{told:?}");
    // If the task run lives all the same, it gets no more slots.
    app.enter("task_runs", &holder, "RUNNING").await.expect(404);
}

#[tokio::test]
async fn a_lease_that_is_renewed_is_left_alone_when_its_flow_run_is_deleted() {
    let app = start();
    app.limit("db", 1).await;
    let run = app.running().await;
    let task = app.task_run(&run, "load", json!({})).await;
    let lease = app.lease_for(&["db"], id_of(&task)).await;
    app.delete(&format!("/api/flow_runs/{run}")).await.expect(204);
    app.renew(&lease).await.expect(204);
}
