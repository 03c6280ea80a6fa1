//! What the events of clients tell: which runs there are, what they run in, which of them are
//! over, and which still give signs of life. Clients from version 3 on say so here alone.

use leasehold_engine::Span;
use leasehold_records::{
    RecordsError, Run, RunKind, State, StateType, Transaction, micros_from_text,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::app::App;
use crate::event_log;
use crate::ids;

type Fields = Map<String, Value>;

const TASK_RUN: &str = "prefect.task-run.";
const FLOW_RUN: &str = "prefect.flow-run.";
const HEARTBEAT: &str = "prefect.flow-run.heartbeat";
/// What is kept of a task run as its client says it.
const DETAILS: [&str; 8] = [
    "task_key",
    "dynamic_key",
    "cache_key",
    "cache_expiration",
    "task_version",
    "task_inputs",
    "empirical_policy",
    "labels",
];

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

/// The very words of a client, and what they say.
pub(crate) struct Sent<'text> {
    pub(crate) text: &'text str,
    pub(crate) document: Value,
}

impl ClientEvent {
    /// Reads an event that says what one must say.
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

    /// The run that it is about, or, most closely, related to.
    fn run(&self) -> Option<(RunKind, Uuid)> {
        let related = || self.related.iter().filter_map(run_in);
        let task_run = related().find(|(kind, _)| *kind == RunKind::TaskRun);
        self.subject().or(task_run).or_else(|| related().next())
    }

    /// The run that it is about.
    fn subject(&self) -> Option<(RunKind, Uuid)> {
        run_in(&self.resource)
    }

    /// The flow run that it is related to.
    fn flow_run(&self) -> Option<Uuid> {
        let runs = self.related.iter().filter_map(run_in);
        runs.filter(|(kind, _)| *kind == RunKind::FlowRun).map(|(_, id)| id).next()
    }

    /// The state that a run has entered, if it is about that.
    fn state(&self, now_micros: i64) -> Option<State> {
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

    /// When it occurred by its client's clock, which is not believed beyond our own.
    fn occurred_micros(&self, now_micros: i64) -> i64 {
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

/// Records what an event tells of a run, and tells the witness.
pub(crate) async fn client_event(app: &App, event: ClientEvent, sent: Sent<'_>) {
    let (Some(recorder), Some(witness)) = (app.recorder(), app.witness()) else { return };
    let now = app.ledger().clock().now().as_micros();
    let bytes = sent.text.len();
    if let Some(log) = app.event_log() {
        let at = event.occurred_micros(now);
        log.note(event_log::ClientEvent::new(&event, event.run(), sent, at));
    }
    if let Some(flow_run) = event.flow_run() {
        witness.heard(flow_run).await;
    }
    let Some((kind, id)) = event.subject() else { return };
    if event.event == HEARTBEAT {
        let name = name_of(&event);
        recorder
            .write_behind(
                bytes,
                move |records| {
                    if records.record_heartbeat(id, now)? {
                        return Ok(());
                    }
                    let run = Run::new(id, RunKind::FlowRun, name, now);
                    records.put_run(&Run { heartbeat_micros: Some(now), ..run })
                },
                || {},
            )
            .await;
        witness.heartbeat(id).await;
        return;
    }
    let Some(state) = event.state(now) else { return };
    let over = state.kind.is_terminal().then(|| state.name.clone());
    let introductions = app.introductions().clone();
    recorder
        .write_behind(
            bytes,
            move |records| record(records, (kind, id), &event, state, now),
            move || introductions.made(id),
        )
        .await;
    if let Some(name) = over {
        witness.over(kind, id, &name).await;
    }
}

/// Events may come twice, and late.
fn record(
    records: &Transaction<'_>,
    (kind, id): (RunKind, Uuid),
    event: &ClientEvent,
    state: State,
    now: i64,
) -> Result<(), RecordsError> {
    let known = records.run(kind, id)?;
    let mut run = match known {
        Some(run) => run,
        None => Run::new(id, kind, name_of(event), now),
    };
    if kind == RunKind::TaskRun {
        run.parent = run.parent.or(event.flow_run());
    }
    if run.state.as_ref().is_none_or(|known| is_news(kind, known, &state)) {
        run.enter(state);
        run.updated_micros = now;
        if kind == RunKind::TaskRun {
            describe(&mut run, event, now);
        }
    }
    records.put_run(&run)
}

/// What an event says of its task run besides its state. The client's engine counts and times it,
/// as the recorded server believes: a run that crashes before it begins has neither a start nor an
/// end.
fn describe(run: &mut Run, event: &ClientEvent, now_micros: i64) {
    let Some(Value::Object(said)) = event.payload.get("task_run") else { return };
    let name = said.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
    if let Some(name) = name {
        name.clone_into(&mut run.name);
    }
    if let Some(tags) = said.get("tags") {
        run.tags = serde_json::from_value(tags.clone()).unwrap_or_default();
    }
    for kept in DETAILS {
        run.details.extend(said.get(kept).map(|value| (kept.to_owned(), value.clone())));
    }
    // An older client that times nothing in its events leaves it to us.
    let Some(run_count) = said.get("run_count").and_then(Value::as_u64) else { return };
    let time = |name: &str| micros_from_text(said.get(name)?.as_str()?);
    let past = |name: &str| time(name).map(|micros| micros.min(now_micros));
    let count = |name: &str| said.get(name).and_then(Value::as_u64);
    run.run_count = run_count;
    run.flow_run_run_count = count("flow_run_run_count").unwrap_or(run.flow_run_run_count);
    run.expected_micros = time("expected_start_time").or(run.expected_micros);
    run.start_micros = past("start_time");
    run.end_micros = past("end_time");
    let seconds = said.get("total_run_time").and_then(Value::as_f64);
    run.total_run_micros = seconds.map_or(run.total_run_micros, micros);
}

fn micros(seconds: f64) -> i64 {
    let micros = Span::from_seconds_f64(seconds.max(0.0)).as_micros();
    i64::try_from(micros).unwrap_or(i64::MAX)
}

/// Whether a state is neither late nor known. A flow run's state has mostly been set before, and
/// its event is told by another clock, at another time.
fn is_news(kind: RunKind, known: &State, told: &State) -> bool {
    let is_late = known.at_micros > told.at_micros;
    let is_same =
        known.kind == told.kind && (kind == RunKind::FlowRun || known.at_micros == told.at_micros);
    !is_late && !is_same
}

fn name_of(event: &ClientEvent) -> String {
    let name = event.resource.get("prefect.resource.name").and_then(Value::as_str);
    name.unwrap_or_default().to_owned()
}
