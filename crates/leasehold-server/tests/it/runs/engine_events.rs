//! Task runs of the client's own engine, which reports them only in events. The events are those of
//! 3.9.1, and the records those that a server of 3.9.1 makes of them.

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{only, start};
use crate::fixture::{TestApp, run, until};
use crate::replay::sockets::{Socket, connect};

struct Engine {
    app: TestApp,
    events: Socket,
}

impl Engine {
    async fn start() -> Self {
        let app = start();
        let (events, _) = connect(app.listen().await, "/api/events/in", &[], &[]).await.unwrap();
        Self { app, events }
    }

    /// Sends an event of a state of the task run, with the run as its engine has it at that moment.
    async fn tell(&mut self, occurred: &str, state: &str, task_run: Value) {
        let kind = state.to_uppercase();
        let event = json!({
            "occurred": occurred,
            "event": format!("prefect.task-run.{state}"),
            "resource": {
                "prefect.resource.id": format!("prefect.task-run.{}", run(1)),
                "prefect.resource.name": task_run["name"],
                "prefect.state-type": kind,
                "prefect.state-name": state,
            },
            "related": [],
            "payload": {
                "validated_state": {"type": kind, "name": state, "state_details": {}},
                "task_run": task_run,
            },
        });
        self.events.send(Message::text(event.to_string())).await.unwrap();
    }

    /// The record, once it is in this state.
    async fn record(&self, state: &str) -> Value {
        let path = format!("/api/task_runs/{}", run(1));
        until(async || {
            let answer = self.app.get(&path).await;
            answer.status == 200 && answer.json()["state_name"] == state
        })
        .await;
        self.app.get(&path).await.json()
    }
}

fn inner(name: &str) -> Value {
    json!({
        "name": name,
        "task_key": "inner-2f591ced",
        "dynamic_key": "a7bf7181",
        "tags": ["a"],
        "task_inputs": {"x": [{"input_type": "task_run", "id": run(2)}]},
        "run_count": 0,
        "flow_run_run_count": 0,
        "expected_start_time": "1970-01-01T00:00:01Z",
        "total_run_time": 0.0,
    })
}

#[tokio::test]
async fn a_task_run_is_recorded_as_its_engine_reports_it() {
    let mut engine = Engine::start().await;
    engine.app.sleep(60.0);
    engine.tell("1970-01-01T00:00:01Z", "Pending", inner("inner-256")).await;
    assert_eq!(engine.record("Pending").await["name"], "inner-256");
    let mut told = inner("name is 1");
    told["run_count"] = 2.into();
    told["flow_run_run_count"] = 1.into();
    told["start_time"] = "1970-01-01T00:00:02Z".into();
    told["end_time"] = "1970-01-01T00:00:04.5Z".into();
    told["total_run_time"] = 1.25.into();
    engine.tell("1970-01-01T00:00:04.5Z", "Completed", told).await;
    let record = engine.record("Completed").await;
    let names = [
        "name",
        "task_inputs",
        "tags",
        "run_count",
        "flow_run_run_count",
        "expected_start_time",
        "start_time",
        "end_time",
        "total_run_time",
        "estimated_start_time_delta",
    ];
    let expected = json!({
        "name": "name is 1",
        "task_inputs": {"x": [{"input_type": "task_run", "id": run(2)}]},
        "tags": ["a"],
        "run_count": 2,
        "flow_run_run_count": 1,
        "expected_start_time": "1970-01-01T00:00:01.000000Z",
        "start_time": "1970-01-01T00:00:02.000000Z",
        "end_time": "1970-01-01T00:00:04.500000Z",
        "total_run_time": 1.25,
        "estimated_start_time_delta": 1.0,
    });
    assert_eq!(only(&record, &names), expected);
    // A late event undoes nothing.
    engine.tell("1970-01-01T00:00:03Z", "Running", inner("inner-256")).await;
    engine.tell("1970-01-01T00:00:05Z", "Crashed", inner("last")).await;
    assert_eq!(engine.record("Crashed").await["name"], "last");
}

#[tokio::test]
async fn a_task_run_that_crashes_before_it_begins_has_no_start_and_no_end() {
    let mut engine = Engine::start().await;
    engine.app.sleep(60.0);
    engine.tell("1970-01-01T00:00:01Z", "Pending", inner("crashes")).await;
    engine.tell("1970-01-01T00:00:02Z", "Crashed", inner("crashes")).await;
    let record = engine.record("Crashed").await;
    let names = ["start_time", "end_time", "run_count", "estimated_start_time_delta"];
    let nothing = json!({
        "start_time": null, "end_time": null, "run_count": 0, "estimated_start_time_delta": 0.0,
    });
    assert_eq!(only(&record, &names), nothing);
}
