//! What clients record of their runs, and read back.

mod blocks;
mod deletion;
mod engine_events;
mod filters;
mod flow_runs;
mod flows;
mod introductions;
mod not_served;
mod pauses;
mod restart;
mod task_runs;

use serde_json::{Map, Value, json};

use crate::fixture::{Answer, TestApp};

/// An id that no record has yet.
const NOBODY: &str = "00000000-0000-4000-8000-00000000abcd";

fn start() -> TestApp {
    TestApp::init().with_records().start()
}

/// The fields of an answer with these names.
fn only(answer: &Value, names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| ((*name).to_owned(), answer[name].clone()))
        .collect::<Map<_, _>>()
        .into()
}

fn id_of(recorded: &Value) -> &str {
    recorded["id"].as_str().unwrap()
}

/// The places of a body that the answer calls wrong.
fn wrong_at(answer: &Answer) -> Vec<Value> {
    let body = answer.json();
    assert_eq!(body["exception_message"], "Invalid request received.", "{body}");
    body["exception_detail"].as_array().unwrap().iter().map(|it| it["loc"].clone()).collect()
}

fn state(kind: &str) -> Value {
    json!({"state": {"type": kind}})
}

impl TestApp {
    /// Records a flow. Returns its id.
    async fn flow(&self, name: &str) -> String {
        let flow = self.post("/api/flows/", &json!({"name": name})).await;
        id_of(&flow.json()).to_owned()
    }

    /// Records a run of a flow.
    async fn flow_run(&self, flow: &str, said: Value) -> Value {
        let mut body = said;
        body["flow_id"] = flow.into();
        self.post("/api/flow_runs/", &body).await.expect(201).json()
    }

    /// Records a run of a task in a flow run.
    async fn task_run(&self, flow_run: &str, key: &str, said: Value) -> Value {
        let mut body = said;
        body["flow_run_id"] = flow_run.into();
        body["task_key"] = key.into();
        body["dynamic_key"] = "0".into();
        self.post("/api/task_runs/", &body).await.expect(201).json()
    }

    /// Records a flow run that is running. Returns its id.
    async fn running(&self) -> String {
        let flow = self.flow("etl").await;
        let run = self.flow_run(&flow, json!({"state": {"type": "PENDING"}})).await;
        self.enter("flow_runs", id_of(&run), "RUNNING").await.expect(201);
        id_of(&run).to_owned()
    }

    /// Proposes a state of this kind.
    async fn enter(&self, collection: &str, run: &str, kind: &str) -> Answer {
        self.post(&format!("/api/{collection}/{run}/set_state"), &state(kind)).await
    }

    async fn state_type(&self, collection: &str, run: &str) -> Value {
        let run = self.get(&format!("/api/{collection}/{run}")).await.expect(200).json();
        run["state_type"].clone()
    }
}
