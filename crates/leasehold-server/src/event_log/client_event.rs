//! Events as clients send them, and what they report of runs.

use leasehold_records::{RunKind, State, StateType, micros_from_text};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::ids;

type Fields = Map<String, Value>;

const TASK_RUN: &str = "prefect.task-run.";
const FLOW_RUN: &str = "prefect.flow-run.";

/// An event as clients send it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ClientEvent {
    pub(crate) occurred: String,
    pub(crate) event: String,
    pub(crate) resource: Fields,
    #[serde(default)]
    pub(crate) related: Vec<Fields>,
    #[serde(default)]
    pub(crate) payload: Value,
}

/// The text that a client sent, and the same text parsed.
pub(crate) struct Sent<'text> {
    pub(crate) text: &'text str,
    pub(crate) document: Value,
}

impl ClientEvent {
    /// Reads an event. `None` if a field is missing that every event has.
    pub(crate) fn read(text: &str) -> Option<(Self, Sent<'_>)> {
        let document: Value = serde_json::from_str(text).ok()?;
        let event = Self::deserialize(&document).ok()?;
        let is_about = event.resource.contains_key("prefect.resource.id");
        is_about.then_some((event, Sent { text, document }))
    }

    /// The name of the limit that it is about, if it is about one.
    pub(crate) fn limit_name(&self) -> Option<String> {
        let id = self.resource.get("prefect.resource.id")?.as_str()?;
        let name = self.resource.get("prefect.resource.name")?.as_str()?;
        id.starts_with("prefect.concurrency-limit.").then(|| name.to_owned())
    }

    /// The run that it is about, or else a run that it is related to: a task run before a flow run.
    pub(crate) fn run(&self) -> Option<(RunKind, Uuid)> {
        let related = || self.related.iter().filter_map(run_in);
        let task_run = related().find(|(kind, _)| *kind == RunKind::TaskRun);
        self.subject().or(task_run).or_else(|| related().next())
    }

    /// The run that it is about.
    pub(crate) fn subject(&self) -> Option<(RunKind, Uuid)> {
        run_in(&self.resource)
    }

    /// The flow run that it is related to.
    pub(crate) fn flow_run(&self) -> Option<Uuid> {
        let runs = self.related.iter().filter_map(run_in);
        runs.filter(|(kind, _)| *kind == RunKind::FlowRun).map(|(_, id)| id).next()
    }

    /// The state that a run has entered, if it is about that.
    pub(crate) fn state(&self, now_micros: i64) -> Option<State> {
        let text = |name: &str| self.resource.get(name).and_then(Value::as_str);
        let kind = StateType::from_word(text("prefect.state-type")?)?;
        let validated = self.payload.get("validated_state");
        let part = |name: &str| validated.and_then(|state| state.get(name)).cloned();
        let details = match part("state_details") {
            Some(Value::Object(details)) => details,
            _ => Map::new(),
        };
        let at_micros = self.occurred_micros(now_micros);
        Some(State {
            id: ids::at(at_micros),
            kind,
            name: text("prefect.state-name").unwrap_or(kind.usual_name()).to_owned(),
            at_micros,
            message: text("prefect.state-message").filter(|it| !it.is_empty()).map(str::to_owned),
            data: part("data").unwrap_or_default(),
            details,
        })
    }

    /// When it occurred by its client's clock, and not later than now by ours.
    pub(crate) fn occurred_micros(&self, now_micros: i64) -> i64 {
        let occurred = micros_from_text(&self.occurred);
        occurred.map_or(now_micros, |occurred| occurred.min(now_micros))
    }
}

/// The run in `{"prefect.resource.id": "prefect.flow-run.<id>"}`.
fn run_in(resource: &Fields) -> Option<(RunKind, Uuid)> {
    let id = resource.get("prefect.resource.id")?.as_str()?;
    let (kind, id) = match id.strip_prefix(TASK_RUN) {
        Some(id) => (RunKind::TaskRun, id),
        None => (RunKind::FlowRun, id.strip_prefix(FLOW_RUN)?),
    };
    Some((kind, id.parse().ok()?))
}
