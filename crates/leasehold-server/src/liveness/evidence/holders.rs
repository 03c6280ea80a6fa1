//! Which holders are gone, as far as the records tell.

use std::collections::HashSet;

use leasehold_engine::Holder;
use leasehold_records::{RecordsError, Run, RunKind, State, StateType, Transaction};
use uuid::Uuid;

/// Subflows in subflows: nobody goes deeper, and nobody goes round in circles.
const DEPTH_MAX: usize = 32;

/// What is known beside the records.
pub(super) struct Known {
    /// Flow runs that gave signs of life and give none any longer.
    pub(super) silent: HashSet<Uuid>,
    /// Flow runs that give signs of life.
    pub(super) alive: HashSet<Uuid>,
    /// Whoever was over later still has time to give back what it holds.
    pub(super) over_before_micros: i64,
    /// A flow that said itself that it is over may have left a task running that nobody waited
    /// for. Such a task has until then.
    pub(super) quiet_before_micros: i64,
}

/// A holder that is gone.
pub(super) struct Gone {
    pub(super) holder: Holder,
    pub(super) evidence: String,
    /// Whether the holder's own run is over. Silence is no end: whoever renews its leases lives.
    pub(super) is_own_end: bool,
}

impl Known {
    /// Those of the holders that are gone, each with the evidence, and whether that is the end of
    /// their own run.
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

    /// Looks at a run, at what it runs in, and so on. A flow run that gives signs of life ends
    /// the search: it lives, whatever became of what it was called from.
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

/// Those of some task runs that are not over, or were over so late that they still have time to
/// give back what they hold. Who is in no record is not among them.
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

/// Those of some flow runs that are over.
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

/// What is known of a run. A record that is damaged tells nothing, and must not keep the watch from
/// all others.
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

/// The run that a holder is, if it is one.
pub(super) fn run_of(holder: &Holder) -> Option<(RunKind, Uuid)> {
    let kinds = [RunKind::FlowRun, RunKind::TaskRun];
    let kind = kinds.into_iter().find(|kind| kind.as_str() == &*holder.kind)?;
    Some((kind, holder.id.parse().ok()?))
}

/// How it is said that a run is over.
pub(super) fn run_is_over(kind: RunKind, id: Uuid, state: &str) -> String {
    format!("{} {id} is over: {state}", words(kind))
}

/// How it is said that an operator has deleted a run.
pub(super) fn run_is_deleted(kind: RunKind, id: Uuid) -> String {
    format!("{} {id} was deleted", words(kind))
}

fn words(kind: RunKind) -> &'static str {
    match kind {
        RunKind::FlowRun => "flow run",
        RunKind::TaskRun => "task run",
    }
}
