//! What the answers of a server behind this one say of runs: which state a run has entered, which
//! run is in which, which were deleted. Of a run, only what evidence needs is recorded.

use std::collections::HashSet;

use leasehold_node::{Clock, Handle, Unavailable};
use leasehold_records::{
    RecordsError, Run, RunKind, State, StateType, Transaction, micros_from_text,
};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::ids;
use crate::liveness::evidence::{self, Witness};
use crate::records::Recorder;

/// How much memory the record of a state takes while it waits.
const RECORD_BYTES: usize = 512;

/// Records what another server answers.
pub(crate) struct Passed<'app> {
    pub(crate) clock: &'app Clock,
    pub(crate) ledger: &'app Handle,
    pub(crate) recorder: &'app Recorder,
    pub(crate) witness: &'app Witness,
}

impl Passed<'_> {
    /// A run has entered a state. `state` is as the other server answers it.
    pub(crate) async fn entered(&self, kind: RunKind, id: Uuid, state: &Value) {
        let now = self.clock.now().as_micros();
        let Some(state) = read_state(state, now) else { return };
        let over = state.kind.is_terminal().then(|| state.name.clone());
        let record = move |records: &Transaction<'_>| {
            let run = known_or_new(records, kind, id, now)?;
            enter(records, run, state, now)
        };
        self.recorder.write_behind(RECORD_BYTES, record, || {}).await;
        match (over, kind) {
            (Some(name), _) => self.witness.over(kind, id, &name).await,
            (None, RunKind::FlowRun) => self.witness.heard(id).await,
            (None, RunKind::TaskRun) => {}
        }
    }

    /// A run was created, or was there already. `run` is as the other server answers it.
    pub(crate) async fn created(&self, kind: RunKind, run: &Value) {
        let now = self.clock.now().as_micros();
        let id_in = |name: &str| run[name].as_str().and_then(|id| id.parse::<Uuid>().ok());
        let Some(id) = id_in("id") else { return };
        let parent = match kind {
            RunKind::FlowRun => id_in("parent_task_run_id"),
            RunKind::TaskRun => id_in("flow_run_id"),
        };
        let name = run["name"].as_str().unwrap_or_default().to_owned();
        let state = read_state(&run["state"], now);
        let record = move |records: &Transaction<'_>| {
            let mut run = known_or_new(records, kind, id, now)?;
            run.name = name;
            run.parent = parent.or(run.parent);
            match state {
                Some(state) => enter(records, run, state, now),
                None => records.put_run(&run),
            }
        };
        self.recorder.write_behind(RECORD_BYTES, record, || {}).await;
    }

    /// A run was deleted. What it and the runs in it hold without a deadline is released.
    pub(crate) async fn deleted(&self, kind: RunKind, id: Uuid) -> Result<(), Unavailable> {
        let within = self.recorder.write(move |records| records.run_tree(kind, id)).await?;
        let mut within: HashSet<_> = within.into_iter().collect();
        // A run that is in no record may still hold something.
        within.insert((kind, id));
        evidence::deleted(self.ledger, (kind, id), &within).await?;
        self.recorder.write(move |records| records.delete_run(kind, id).map(|_| ())).await
    }
}

fn known_or_new(
    records: &Transaction<'_>,
    kind: RunKind,
    id: Uuid,
    now_micros: i64,
) -> Result<Run, RecordsError> {
    let known = records.run(kind, id)?;
    Ok(known.unwrap_or_else(|| Run::new(id, kind, String::new(), now_micros)))
}

/// Lets a run enter a state, unless a later one is known: answers may overtake each other.
fn enter(
    records: &Transaction<'_>,
    mut run: Run,
    state: State,
    now_micros: i64,
) -> Result<(), RecordsError> {
    let is_known = run.state.as_ref().is_some_and(|known| {
        known.at_micros > state.at_micros
            || (known.at_micros == state.at_micros && known.kind == state.kind)
    });
    if !is_known {
        run.enter(state);
        run.updated_micros = now_micros;
    }
    records.put_run(&run)
}

/// Reads a state. It has the other server's time, and never one that is still to come here.
fn read_state(state: &Value, now_micros: i64) -> Option<State> {
    let kind = StateType::from_word(state["type"].as_str()?)?;
    let said_at = state["timestamp"].as_str().and_then(micros_from_text);
    let at_micros = said_at.map_or(now_micros, |at| at.min(now_micros));
    Some(State {
        id: ids::at(at_micros),
        kind,
        name: state["name"].as_str().unwrap_or(kind.usual_name()).to_owned(),
        at_micros,
        message: state["message"].as_str().map(str::to_owned),
        data: Value::Null,
        details: Map::new(),
    })
}
