//! Flow runs that pause and resume. A pause has a key: a flow that runs again from its beginning
//! does not pause again where it was resumed.
//!
//! A suspension ends the flow's process, which only a deployment could start again. There are no
//! deployments here, and so no suspensions.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::Verdict;
use crate::run::Run;
use crate::run::pauses::{key_of, keys};
use crate::state::{State, StateType, micros_from_text};

/// Why a flow run may not pause, if so.
pub(super) fn may_pause(run: &Run, proposed: &State) -> Option<Verdict> {
    if proposed.kind != StateType::Paused {
        return None;
    }
    let is_suspension = proposed.name == "Suspended";
    let either = |suspend: &'static str, pause: &'static str| {
        if is_suspension { suspend } else { pause }
    };
    let reject = |reason| Some(Verdict::Reject(None, reason));
    let abort = |reason: &str| Some(Verdict::Abort(reason.to_owned()));
    let Some(current) = &run.state else {
        return abort(either(
            "Cannot suspend flows with no state.",
            "Cannot pause flows with no state.",
        ));
    };
    if current.kind != StateType::Running {
        return reject(either(
            "Cannot suspend flows that are not currently running.",
            "Cannot pause flows that are not currently running.",
        ));
    }
    if key_of(proposed).is_some_and(|key| keys(run).any(|known| known == key)) {
        return reject(either("This suspend has already fired.", "This pause has already fired."));
    }
    if leaves_its_process(proposed) {
        return match run.parent {
            Some(_) => abort(either("Cannot suspend subflows.", "Cannot pause subflows.")),
            None => abort(either(
                "Cannot suspend flows without a deployment.",
                "Cannot pause flows without a deployment.",
            )),
        };
    }
    let wants_input = proposed.details.get("run_input_keyset").is_some_and(|keys| !keys.is_null());
    wants_input.then(|| {
        let reason = "Leasehold keeps no inputs of runs: pause without `wait_for_input`.";
        Verdict::Abort(reason.to_owned())
    })
}

/// Why a flow run may not leave its pause for a state at `now_micros`, if so.
pub(super) fn may_leave(current: &State, proposed: &State, now_micros: i64) -> Option<Verdict> {
    if current.kind != StateType::Paused {
        return None;
    }
    match proposed.kind {
        // The process of a paused run is alive and has to be stopped, even after the timeout.
        StateType::Cancelling => return None,
        StateType::Pending => {
            let reason = "This run cannot transition to the PENDING state from the PAUSED state.";
            return Some(Verdict::Reject(None, reason));
        }
        kind if leaves_its_process(current) && !kind.is_terminal() => {
            let reason = "Cannot reschedule a suspended flow run without a deployment.";
            return Some(Verdict::Reject(None, reason));
        }
        _ => {}
    }
    let until = current.details.get("pause_timeout").and_then(Value::as_str);
    if until.and_then(micros_from_text).is_none_or(|until| until >= now_micros) {
        return None;
    }
    let name = proposed.name.to_lowercase();
    let failed = State {
        kind: StateType::Failed,
        name: StateType::Failed.usual_name().to_owned(),
        message: Some(format!("The flow was {name} and never resumed.")),
        data: Value::Null,
        details: ids(proposed),
        ..proposed.clone()
    };
    let reason = "The flow run pause has timed out and can no longer resume.";
    Some(Verdict::Reject(Some(failed), reason))
}

/// The state in which a paused flow run resumes.
pub fn resumed(id: Uuid, now_micros: i64) -> State {
    State {
        id,
        kind: StateType::Running,
        name: StateType::Running.usual_name().to_owned(),
        at_micros: now_micros,
        message: None,
        data: Value::Null,
        details: Map::new(),
    }
}

fn leaves_its_process(paused: &State) -> bool {
    paused.details.get("pause_reschedule").and_then(Value::as_bool) == Some(true)
}

fn ids(state: &State) -> Map<String, Value> {
    let id = state.details.get("flow_run_id");
    id.map(|id| ("flow_run_id".to_owned(), id.clone())).into_iter().collect()
}
