//! The answers to a proposed state.

use axum::http::StatusCode;
use axum::response::Response;
use leasehold_node::Undo;
use leasehold_prefect::runs::Transition;
use leasehold_records::Run;
use leasehold_records::transition::Verdict;
use serde_json::{Value, json as value};

use crate::doors::prefect::convert::runs as convert;
use crate::doors::prefect::error::Error;
use crate::http::answer::json;
use crate::http::grant::granted_as;

/// The run has entered the proposed state. `undo` gives back the grant that came with it, if the
/// client does not receive this answer.
pub(super) fn accepted(run: &Run, undo: Option<Undo>) -> Result<Response, Error> {
    let transition = transition(run, "ACCEPT", value!({"type": "accept_details"}));
    match undo {
        Some(undo) => Ok(granted_as(StatusCode::CREATED, &transition, undo)),
        None => Ok(json(StatusCode::CREATED, &transition)),
    }
}

/// The client has to wait and propose the state again.
pub(super) fn wait(run: &Run, seconds: f64, reason: &str) -> Response {
    // Clients read whole seconds, and come back at once after none.
    let seconds = seconds.ceil().max(1.0) as u64;
    let details = value!({"type": "wait_details", "delay_seconds": seconds, "reason": reason});
    json(StatusCode::OK, &transition(run, "WAIT", details))
}

/// The client has to give up.
pub(super) fn abort(run: &Run, reason: &str) -> Response {
    let details = value!({"type": "abort_details", "reason": reason});
    json(StatusCode::OK, &transition(run, "ABORT", details))
}

/// As [`abort`], where the recorded server's answer has no state.
pub(super) fn abort_without_state(reason: &str) -> Response {
    let details = value!({"type": "abort_details", "reason": reason});
    json(StatusCode::OK, &Transition { state: None, status: "ABORT".to_owned(), details })
}

/// The answer to a verdict of the rules. `run` is the run after it.
pub(super) fn verdict(run: &Run, verdict: &Verdict) -> Result<Response, Error> {
    match verdict {
        Verdict::Accept(_) | Verdict::Repeated => accepted(run, None),
        Verdict::Reject(_, reason) => {
            let details = value!({"type": "reject_details", "reason": reason});
            Ok(json(StatusCode::OK, &transition(run, "REJECT", details)))
        }
        Verdict::Wait(seconds, reason) => Ok(wait(run, *seconds, reason)),
        Verdict::Abort(reason) => Ok(abort(run, reason)),
    }
}

fn transition(run: &Run, status: &str, details: Value) -> Transition {
    let state = run.state.as_ref().map(convert::wire_state);
    Transition { state, status: status.to_owned(), details }
}
