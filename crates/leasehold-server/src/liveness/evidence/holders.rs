//! Which holders are gone, according to the records.

use std::collections::HashSet;

use leasehold_engine::Holder;
use leasehold_records::{RecordsError, Run, RunKind, State, StateType, Transaction};
use uuid::Uuid;

/// How many runs are checked, from a run outwards. Real flows nest less deeply, and a cycle in the
/// records ends here.
const DEPTH_MAX: usize = 32;

/// What the watch knows and the records do not.
pub(super) struct Known {
    /// Flow runs that sent heartbeats, and have been silent for too long.
    pub(super) silent: HashSet<Uuid>,
    /// Flow runs that send heartbeats.
    pub(super) alive: HashSet<Uuid>,
    /// A run that ended after this still has time to release its leases.
    pub(super) over_before_micros: i64,
    /// A flow that reported its own end may have left a task running that it did not wait for. The
    /// task keeps its leases if the flow ended after this.
    pub(super) quiet_before_micros: i64,
}

/// A holder that is gone.
pub(super) struct Gone {
    pub(super) holder: Holder,
    pub(super) evidence: String,
    /// Whether the holder's own run is over. Silence is no end: a silent holder may still renew its
    /// leases.
    pub(super) is_own_end: bool,
}

impl Known {
    /// The holders that are gone.
    pub(super) fn gone(
        &self,
        records: &Transaction<'_>,
        holders: Vec<Holder>,
    ) -> Result<Vec<Gone>, RecordsError> {
        let mut gone = Vec::new();
        for holder in holders {
            let Some((kind, id)) = run_of(&holder) else { continue };
            if let Some((evidence, is_own_end)) = self.evidence(records, kind, id)? {
                gone.push(Gone { holder, evidence, is_own_end });
            }
        }
        Ok(gone)
    }

    /// Checks a run, then the run around it, and so on. A flow run that sends heartbeats ends the
    /// search: it lives, whatever became of the run that called it.
    fn evidence(
        &self,
        records: &Transaction<'_>,
        kind: RunKind,
        id: Uuid,
    ) -> Result<Option<(String, bool)>, RecordsError> {
        let mut next = Some((kind, id));
        let mut was_running = false;
        for depth in 0..DEPTH_MAX {
            let Some((kind, id)) = next else { return Ok(None) };
            if kind == RunKind::FlowRun && self.silent.contains(&id) {
                return Ok(Some((format!("flow run {id} gives no sign of life"), false)));
            }
            let run = recorded(records, kind, id)?;
            let over = run.as_ref().filter(|run| run.is_over());
            if let Some(state) = over.and_then(|run| run.state.as_ref()) {
                let ended_well = matches!(state.kind, StateType::Completed | StateType::Failed);
                let before = match was_running && ended_well {
                    true => self.quiet_before_micros,
                    false => self.over_before_micros,
                };
                if state.at_micros <= before {
                    return Ok(Some((run_is_over(kind, id, &state.name), depth == 0)));
                }
            }
            was_running |= run.as_ref().and_then(Run::state_type) == Some(StateType::Running);
            if kind == RunKind::FlowRun && self.alive.contains(&id) {
                return Ok(None);
            }
            let around = match kind {
                RunKind::FlowRun => RunKind::TaskRun,
                RunKind::TaskRun => RunKind::FlowRun,
            };
            next = run.and_then(|run| run.parent).map(|parent| (around, parent));
        }
        Ok(None)
    }
}

/// The task runs that are not over, or ended so late that they still have time to release their
/// leases. A task run without a record is not among them.
pub(super) fn alive(
    records: &Transaction<'_>,
    task_runs: Vec<Uuid>,
    over_before_micros: i64,
) -> Result<HashSet<Uuid>, RecordsError> {
    let mut alive = HashSet::new();
    for id in task_runs {
        let state = recorded(records, RunKind::TaskRun, id)?.and_then(|run| run.state);
        let is_over =
            |state: &State| state.kind.is_terminal() && state.at_micros <= over_before_micros;
        if state.is_some_and(|state| !is_over(&state)) {
            alive.insert(id);
        }
    }
    Ok(alive)
}

/// The flow runs that are over.
pub(super) fn over(
    records: &Transaction<'_>,
    flow_runs: Vec<Uuid>,
) -> Result<Vec<Uuid>, RecordsError> {
    let mut over = Vec::new();
    for id in flow_runs {
        if recorded(records, RunKind::FlowRun, id)?.is_some_and(|run| run.is_over()) {
            over.push(id);
        }
    }
    Ok(over)
}

/// The record of a run. A damaged record counts as none, so that the watch still checks all others.
fn recorded(
    records: &Transaction<'_>,
    kind: RunKind,
    id: Uuid,
) -> Result<Option<Run>, RecordsError> {
    match records.run(kind, id) {
        Err(RecordsError::Damaged(_)) => Ok(None),
        read => read,
    }
}

/// The run that a holder names, if it names one.
pub(super) fn run_of(holder: &Holder) -> Option<(RunKind, Uuid)> {
    let kinds = [RunKind::FlowRun, RunKind::TaskRun];
    let kind = kinds.into_iter().find(|kind| kind.as_str() == &*holder.kind)?;
    Some((kind, holder.id.parse().ok()?))
}

/// The evidence that a run is over.
pub(super) fn run_is_over(kind: RunKind, id: Uuid, state: &str) -> String {
    format!("{} {id} is over: {state}", words(kind))
}

/// The evidence that an operator has deleted a run.
pub(super) fn run_is_deleted(kind: RunKind, id: Uuid) -> String {
    format!("{} {id} was deleted", words(kind))
}

fn words(kind: RunKind) -> &'static str {
    match kind {
        RunKind::FlowRun => "flow run",
        RunKind::TaskRun => "task run",
    }
}
