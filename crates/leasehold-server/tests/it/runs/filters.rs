use serde_json::{Value, json};

use super::{id_of, start};
use crate::fixture::TestApp;

/// Two flows, a run of each, and two task runs in the first.
struct World {
    app: TestApp,
    flow: String,
    runs: [String; 2],
    tasks: [String; 2],
}

impl World {
    async fn new() -> Self {
        let app = start();
        let (flow, other) = (app.flow("etl").await, app.flow("other").await);
        let named = |name: &str| json!({"name": name, "state": {"type": "PENDING"}});
        let first = id_of(&app.flow_run(&flow, named("first")).await).to_owned();
        app.sleep(1.0);
        let second = id_of(&app.flow_run(&other, named("second")).await).to_owned();
        app.enter("flow_runs", &first, "RUNNING").await.expect(201);
        let load = id_of(&app.task_run(&first, "load", json!({})).await).to_owned();
        app.sleep(1.0);
        let save = id_of(&app.task_run(&first, "save", json!({})).await).to_owned();
        app.enter("task_runs", &load, "RUNNING").await.expect(201);
        Self { app, flow, runs: [first, second], tasks: [load, save] }
    }

    /// The runs that pass a filter, and as many as are counted.
    async fn check(&self, collection: &str, filter: &Value, expected: &[&String]) {
        let path = format!("/api/{collection}/filter");
        let found = self.app.post(&path, filter).await.expect(200).json();
        let ids: Vec<_> = found.as_array().unwrap().iter().map(id_of).collect();
        assert_eq!(ids, expected, "{collection} {filter}");
        let path = format!("/api/{collection}/count");
        let count = self.app.post(&path, filter).await.expect(200).json();
        assert_eq!(count, json!(expected.len()), "{collection} {filter}");
    }
}

#[tokio::test]
async fn flow_runs_are_found_by_what_they_are_and_by_their_flow() {
    let world = World::new().await;
    let [first, second] = &world.runs;
    world.check("flow_runs", &json!({}), &[second, first]).await;
    world.check("flow_runs", &json!({"flow_runs": {"id": {"any_": [first]}}}), &[first]).await;
    world
        .check("flow_runs", &json!({"flow_runs": {"name": {"any_": ["second"]}}}), &[second])
        .await;
    let running = json!({"flow_runs": {"state": {"type": {"any_": ["RUNNING", "PAUSED"]}}}});
    world.check("flow_runs", &running, &[first]).await;
    let named = json!({"flow_runs": {"state": {"name": {"any_": ["Pending", "Late"]}}}});
    world.check("flow_runs", &named, &[second]).await;
    world.check("flow_runs", &json!({"flows": {"id": {"any_": [world.flow]}}}), &[first]).await;
    world.check("flow_runs", &json!({"flows": {"name": {"any_": ["nobody"]}}}), &[]).await;
    let of_task = json!({"flow_runs": {"parent_task_run_id": {"any_": [world.tasks[0]]}}});
    world.check("flow_runs", &of_task, &[]).await;
    let null = json!({"flows": null, "flow_runs": {"operator": "and_", "id": null}});
    world.check("flow_runs", &null, &[second, first]).await;
}

#[tokio::test]
async fn task_runs_are_found_by_what_they_are_and_by_their_flow_run() {
    let world = World::new().await;
    let ([first, second], [load, save]) = (&world.runs, &world.tasks);
    world.check("task_runs", &json!({}), &[save, load]).await;
    let of = |run| json!({"flow_runs": {"id": {"any_": [run]}}});
    world.check("task_runs", &of(first), &[save, load]).await;
    world.check("task_runs", &of(second), &[]).await;
    let of = |run| json!({"task_runs": {"flow_run_id": {"any_": [run]}}});
    world.check("task_runs", &of(first), &[save, load]).await;
    let running = json!({"task_runs": {"state": {"type": {"any_": ["RUNNING"]}}}});
    world.check("task_runs", &running, &[load]).await;
}

#[tokio::test]
async fn a_page_is_a_part_and_the_count_is_of_all() {
    let world = World::new().await;
    let page = json!({"limit": 1, "offset": 1});
    let found = world.app.post("/api/task_runs/filter", &page).await.expect(200).json();
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(id_of(&found[0]), world.tasks[0]);
    let count = world.app.post("/api/task_runs/count", &page).await.expect(200).json();
    assert_eq!(count, json!(2));
}

#[tokio::test]
async fn a_filter_that_is_not_known_is_refused_and_not_left_out() {
    let world = World::new().await;
    for (filter, sentence) in [
        (
            json!({"flow_runs": {"deployment_id": {"any_": []}}}),
            "Invalid filter: 'deployment_id.any_' is not supported by this server.",
        ),
        (
            json!({"flow_runs": {"id": {"any_": ["first"]}}}),
            "Invalid filter: 'id.any_' must be a list of such values.",
        ),
        (
            json!({"flow_runs": {"name": {"any_": "first"}}}),
            "Invalid filter: 'name.any_' must be a list of such values.",
        ),
    ] {
        for route in ["filter", "count"] {
            let answer = world.app.post(&format!("/api/flow_runs/{route}"), &filter).await;
            assert_eq!(answer.expect(422).detail(), sentence);
        }
    }
    world.app.post("/api/flow_runs/filter", &json!({"limit": -1})).await.expect(422);
    world.app.post("/api/flow_runs/filter", &json!({"offset": "x"})).await.expect(422);
    let unsaid = world.app.get("/api/flow_run_states/").await.expect(422).text();
    assert!(unsaid.contains("Field required") && unsaid.contains("flow_run_id"), "{unsaid}");
    let wrong = world.app.get("/api/task_run_states/?task_run_id=load").await.expect(422);
    assert!(wrong.text().contains("task_run_id"), "{}", wrong.text());
}
