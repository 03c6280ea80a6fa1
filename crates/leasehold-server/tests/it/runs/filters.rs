//! Filters, pages and orders of lists of runs.

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
        let load = id_of(&app.task_run(&first, "load", json!({"name": "load"})).await).to_owned();
        app.sleep(1.0);
        let save = id_of(&app.task_run(&first, "save", json!({"name": "save"})).await).to_owned();
        app.enter("task_runs", &load, "RUNNING").await.expect(201);
        Self { app, flow, runs: [first, second], tasks: [load, save] }
    }

    /// Checks which runs pass a filter, and that as many are counted.
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
async fn an_unknown_filter_is_refused_and_not_ignored() {
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

#[tokio::test]
async fn lists_come_in_the_order_that_was_asked_for() {
    let world = World::new().await;
    let ([first, second], [load, save]) = (&world.runs, &world.tasks);
    let check = async |collection: &str, sort: &str, expected: &[&String]| {
        world.check(collection, &json!({"sort": sort}), expected).await;
    };
    for newest in ["ID_DESC", "EXPECTED_START_TIME_DESC", "NAME_DESC"] {
        check("flow_runs", newest, &[second, first]).await;
        check("task_runs", newest, &[save, load]).await;
    }
    for oldest in ["EXPECTED_START_TIME_ASC", "NAME_ASC"] {
        check("flow_runs", oldest, &[first, second]).await;
        check("task_runs", oldest, &[load, save]).await;
    }
    // Only `load` is running.
    world.app.sleep(1.0);
    check("task_runs", "DURATION_DESC", &[load, save]).await;
    check("task_runs", "DURATION_ASC", &[save, load]).await;
    world.app.enter("flow_runs", first, "COMPLETED").await.expect(201);
    world.app.enter("task_runs", load, "COMPLETED").await.expect(201);
    check("flow_runs", "END_TIME_DESC", &[first, second]).await;
    check("task_runs", "END_TIME_DESC", &[load, save]).await;
    // A run that has not begun is sorted by when it is expected to begin.
    let flow = world.app.flow("late").await;
    let late = json!({"state": {"type": "PENDING"}});
    let late = id_of(&world.app.flow_run(&flow, late).await).to_owned();
    world.app.sleep(1.0);
    world.app.enter("flow_runs", second, "RUNNING").await.expect(201);
    check("flow_runs", "START_TIME_ASC", &[first, &late, second]).await;
    check("flow_runs", "START_TIME_DESC", &[second, &late, first]).await;
}

#[tokio::test]
async fn runs_that_are_due_later_come_after_those_that_are_due_sooner() {
    let app = start();
    let flow = app.flow("etl").await;
    let due = |time: &str| {
        let details = json!({"scheduled_time": time});
        json!({"state": {"type": "SCHEDULED", "state_details": details}})
    };
    let mut runs = Vec::new();
    for time in ["2030-01-01T00:00:00Z", "2030-01-01T00:00:00.5Z", "2030-01-01T02:00:00+01:00"] {
        let run = app.flow_run(&flow, due(time)).await;
        assert_eq!(run["expected_start_time"], run["next_scheduled_start_time"]);
        runs.push(id_of(&run).to_owned());
    }
    for sort in ["NEXT_SCHEDULED_START_TIME_ASC", "EXPECTED_START_TIME_ASC"] {
        let found = app.post("/api/flow_runs/filter", &json!({"sort": sort})).await.expect(200);
        let found: Vec<_> =
            found.json().as_array().unwrap().iter().map(|run| id_of(run).to_owned()).collect();
        assert_eq!(found, runs, "{sort}");
    }
}

/// The answer is that of a server of 3.9.1.
#[tokio::test]
async fn an_unknown_order_is_refused() {
    let app = start();
    let body = json!({"sort": "DURATION_ASC", "offset": -1});
    let answer = app.post("/api/flow_runs/filter", &body).await.expect(422).json();
    let words = "'ID_DESC', 'START_TIME_ASC', 'START_TIME_DESC', 'EXPECTED_START_TIME_ASC', \
                 'EXPECTED_START_TIME_DESC', 'NAME_ASC', 'NAME_DESC', \
                 'NEXT_SCHEDULED_START_TIME_ASC' or 'END_TIME_DESC'";
    let wrong = json!({
        "type": "enum", "loc": ["body", "sort"], "msg": format!("Input should be {words}"),
        "input": "DURATION_ASC", "ctx": {"expected": words},
    });
    assert_eq!(answer["exception_detail"][0], wrong);
    assert_eq!(answer["exception_detail"][1]["loc"], json!(["body", "offset"]));
    app.post("/api/task_runs/filter", &json!({"sort": "START_TIME_ASC"})).await.expect(422);
    app.post("/api/task_runs/filter", &json!({"sort": null})).await.expect(200);
    // A count has no order, so no order is wrong.
    app.post("/api/task_runs/count", &json!({"sort": "x"})).await.expect(200);
}
