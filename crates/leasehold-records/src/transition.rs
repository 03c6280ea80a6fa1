//! Which states a run may enter. Pure: the run, the state that its client proposes, and the time
//! come in; a [`Verdict`] goes out. A state that takes the place of the proposed one keeps its id.
//!
//! These are the few rules that a client relies on: retries are counted here, a run that is over
//! stays over, and a cancelling run does not go on. A repeated transition is accepted again, so
//! that a client whose answer was lost can repeat its request; the server of the recorded contract
//! refuses it.

mod pause;

use serde_json::{Map, Value};

use crate::run::{Run, RunKind};
use crate::state::{State, StateType};

pub use self::pause::resumed;

/// The answer to a proposed state.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The run enters it.
    Accept(State),
    /// The run has entered it before.
    Repeated,
    /// The run enters this other state, or stays in its own if there is none.
    Reject(Option<State>, &'static str),
    /// The client proposes it again after so many seconds.
    Wait(f64, &'static str),
    /// The client gives up.
    Abort(String),
}

/// Judges a proposal at `now_micros`. `flow_run` is the flow run of a task run, if it is on record.
pub fn judge(run: &Run, proposed: State, flow_run: Option<&Run>, now_micros: i64) -> Verdict {
    let Some(current) = &run.state else {
        if run.kind == RunKind::FlowRun
            && let Some(verdict) = pause::may_pause(run, &proposed)
        {
            return verdict;
        }
        return may_begin(&proposed, flow_run).unwrap_or(Verdict::Accept(proposed));
    };
    let is_repeated = current.transition_id().is_some()
        && current.transition_id() == proposed.transition_id()
        && current.kind == proposed.kind;
    if is_repeated {
        return Verdict::Repeated;
    }
    let verdict = match run.kind {
        RunKind::FlowRun => judge_flow_run(run, current, &proposed),
        RunKind::TaskRun => judge_task_run(current, &proposed, flow_run),
    };
    if let Some(verdict) = verdict {
        return verdict;
    }
    if current.kind == StateType::Cancelling && proposed.kind != StateType::Cancelled {
        return Verdict::Reject(None, "A run that is cancelling can only become cancelled.");
    }
    if run.kind == RunKind::FlowRun {
        let paused = pause::may_pause(run, &proposed);
        let verdict = paused.or_else(|| pause::may_leave(current, &proposed, now_micros));
        if let Some(verdict) = verdict {
            return verdict;
        }
    }
    match (current.kind, proposed.kind) {
        (StateType::Scheduled | StateType::Pending, StateType::Running) => match run.due_micros() {
            Some(due) if due > now_micros => {
                let seconds = (due - now_micros) as f64 / 1e6;
                Verdict::Wait(seconds, "Scheduled time is in the future")
            }
            _ => Verdict::Accept(named(run, current, proposed, flow_run)),
        },
        (StateType::Running, StateType::Failed) if is_retriable(run, &proposed) => {
            match run.retry_seconds() {
                Some(seconds) => {
                    Verdict::Reject(Some(retry(proposed, now_micros, seconds)), "Retrying")
                }
                None => Verdict::Accept(proposed),
            }
        }
        _ => Verdict::Accept(named(run, current, proposed, flow_run)),
    }
}

fn judge_flow_run(run: &Run, current: &State, proposed: &State) -> Option<Verdict> {
    if proposed.kind == StateType::Cancelling
        && let Some(reason) = why_nothing_has_to_stop(run, current)
    {
        return Some(Verdict::Reject(Some(cancelled(proposed)), reason));
    }
    if !current.kind.is_terminal() {
        return None;
    }
    if is_too_late(proposed.kind) {
        let word = current.kind.as_str();
        return Some(Verdict::Abort(format!("Run is already in terminal state {word}.")));
    }
    let is_done = current.kind == StateType::Completed && current.has_persisted_result();
    if is_done && (!proposed.kind.is_terminal() || !proposed.has_persisted_result()) {
        return Some(Verdict::Reject(None, "Run is already COMPLETED."));
    }
    let has_deployment = run.details.get("deployment_id").is_some_and(|id| !id.is_null());
    if proposed.kind == StateType::Scheduled && !has_deployment {
        return Some(Verdict::Abort("A run without a deployment cannot be rescheduled.".into()));
    }
    None
}

/// Why a cancelled flow run has no process to stop, if so: no process would report that it stopped.
fn why_nothing_has_to_stop(run: &Run, current: &State) -> Option<&'static str> {
    let has_process = run.details.get("infrastructure_pid").is_some_and(|pid| !pid.is_null());
    let was_left = || current.details.get("pause_reschedule").and_then(Value::as_bool);
    match current.kind {
        StateType::Scheduled if !has_process || current.name == "Resuming" => {
            Some("Scheduled flow run has no infrastructure to terminate.")
        }
        StateType::Paused if was_left() == Some(true) => {
            Some("Suspended flow run has no infrastructure to terminate.")
        }
        _ => None,
    }
}

fn cancelled(proposed: &State) -> State {
    State {
        kind: StateType::Cancelled,
        name: StateType::Cancelled.usual_name().to_owned(),
        message: None,
        data: Value::Null,
        ..proposed.clone()
    }
}

fn judge_task_run(current: &State, proposed: &State, flow_run: Option<&Run>) -> Option<Verdict> {
    if current.kind.is_terminal() {
        if is_too_late(proposed.kind) {
            return Some(Verdict::Abort(format!("Run is already {}.", current.kind.as_str())));
        }
        if current.kind == StateType::Completed && current.has_persisted_result() {
            return Some(Verdict::Reject(None, "This run is already completed."));
        }
    }
    may_begin(proposed, flow_run)
}

/// Why a task of a flow run may not begin, if so.
fn may_begin(proposed: &State, flow_run: Option<&Run>) -> Option<Verdict> {
    if proposed.kind != StateType::Running {
        return None;
    }
    match flow_run.map(Run::state_type) {
        None | Some(Some(StateType::Running)) => None,
        Some(Some(StateType::Paused)) => {
            let paused = State {
                kind: StateType::Paused,
                name: "NotReady".to_owned(),
                message: None,
                data: Value::Null,
                ..proposed.clone()
            };
            Some(Verdict::Reject(Some(paused), "The flow is paused."))
        }
        Some(_) => Some(Verdict::Abort(
            "The enclosing flow must be running to begin task execution.".to_owned(),
        )),
    }
}

/// Whether a run that is over cannot enter such a state.
fn is_too_late(kind: StateType) -> bool {
    matches!(kind, StateType::Cancelling | StateType::Paused | StateType::Crashed)
}

/// A task can say that its failure is not worth another attempt. A flow says so of each failure,
/// and it means nothing.
fn is_retriable(run: &Run, failed: &State) -> bool {
    run.kind == RunKind::FlowRun
        || failed.details.get("retriable").and_then(Value::as_bool) != Some(false)
}

/// A repeated run has a state with another name.
fn named(run: &Run, current: &State, mut proposed: State, flow_run: Option<&Run>) -> State {
    if run.kind == RunKind::TaskRun && proposed.kind == StateType::Running && run.run_count > 0 {
        let is_retry = current.name == "AwaitingRetry"
            || flow_run.is_some_and(|flow_run| run.flow_run_run_count < flow_run.run_count);
        proposed.name = if is_retry { "Retrying" } else { "Rerunning" }.to_owned();
    }
    proposed
}

fn retry(failed: State, now_micros: i64, seconds: f64) -> State {
    let due = now_micros.saturating_add((seconds * 1e6) as i64);
    let mut details = Map::new();
    for name in ["flow_run_id", "task_run_id"] {
        details.extend(failed.details.get(name).map(|id| (name.to_owned(), id.clone())));
    }
    if let Ok(due) = jiff::Timestamp::from_microsecond(due) {
        details.insert("scheduled_time".to_owned(), due.to_string().into());
    }
    State { kind: StateType::Scheduled, name: "AwaitingRetry".to_owned(), details, ..failed }
}

#[cfg(test)]
mod tests;
