//! Records what clients report in events: their runs, the runs around these, which runs are over,
//! and which send heartbeats. Clients from version 3 on report task runs and heartbeats in no other
//! way.

use std::sync::Arc;

use leasehold_engine::Span;
use leasehold_node::Clock;
use leasehold_records::{RecordsError, Run, RunKind, State, Transaction, micros_from_text};
use serde_json::Value;
use uuid::Uuid;

use crate::event_log::client_event::{ClientEvent, Sent};
use crate::event_log::{ClientRow, EventLog};
use crate::liveness::evidence::Witness;
use crate::liveness::introductions::Introductions;
use crate::records::Recorder;

const HEARTBEAT: &str = "prefect.flow-run.heartbeat";
/// The fields of a task run that are stored as its client sends them.
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

/// Records the events of clients.
pub(crate) struct Observer<'app> {
    pub(crate) clock: &'app Clock,
    pub(crate) recorder: &'app Recorder,
    pub(crate) witness: &'app Witness,
    pub(crate) log: Option<&'app EventLog>,
    pub(crate) introductions: &'app Arc<Introductions>,
}

impl Observer<'_> {
    /// Records what an event says of a run, and reports it to the witness.
    pub(crate) async fn observe(&self, event: ClientEvent, sent: Sent<'_>) {
        let Self { clock, recorder, witness, log, introductions } = *self;
        let now = clock.now().as_micros();
        let bytes = sent.text.len();
        if let Some(log) = log {
            let at = event.occurred_micros(now);
            log.note(ClientRow::new(&event, event.run(), sent, at));
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
        let introductions = introductions.clone();
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
}

/// Records the state that a run has entered. Events may arrive twice, and late.
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

/// Records what an event says of its task run besides its state. The counts and times are those of
/// the client's engine, as on a Prefect server: a run that crashes before it begins has neither a
/// start nor an end.
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
    // Older clients send no counts and times: those that this server computed stand.
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

/// Whether a state is neither late nor known. Most states of flow runs are set through the API
/// before their event arrives, and the event has the time of another clock.
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
