//! Runs as clients record them: `/api/flows`, `/api/flow_runs`, `/api/task_runs`, `/api/logs`, and
//! the one kind of block that old clients need. The server records runs and returns them. It
//! schedules and starts nothing.

mod answer;
mod blocks;
mod filter;
mod flow_runs;
mod flows;
mod lists;
mod logs;
mod task_runs;

use leasehold_prefect::runs::{SetState, Transition};
use leasehold_prefect::{Body, path};
use leasehold_records::{RecordsError, Run, RunKind, State, Transaction};
use serde_json::Value;
use uuid::Uuid;

use crate::app::App;
use crate::doors::groups::RUNS;
use crate::doors::operation::Operation;
use crate::doors::prefect::convert::runs as convert;
use crate::doors::prefect::error::Error;
use crate::doors::routes::Routes;
use crate::http::body::Raw;
use crate::ids;
use crate::records::Recorder;

/// The paths below which an id stands, and the words that may stand in its place.
pub(super) const BY_ID: [(&str, &[&str]); 3] = [
    ("/api/flows", &["filter"]),
    ("/api/flow_runs", &["filter", "count"]),
    ("/api/task_runs", &["filter", "count"]),
];

const NOT_THERE: &str = "Nothing is recorded under this id or name.";

pub(super) fn add(routes: Routes) -> Routes {
    let routes = flow_runs::add(flows::add(routes.tagged(RUNS)));
    let routes = lists::add(task_runs::add(routes));
    blocks::add(logs::add(routes))
}

/// The operations that record a run.
fn created(operation: Operation) -> Operation {
    operation
        .refuses(409, "Its flow is not known, or its id is that of a run of the other kind.")
        .records()
}

/// The operations that propose a state.
fn settled(operation: Operation) -> Operation {
    operation
        .about(
            "A task run that is to be RUNNING takes a slot of each of its tags, and any state but \
             RUNNING and CANCELLING gives them back.",
        )
        .body::<SetState>()
        .answers::<Transition>(200, "Rejected, aborted, or to be proposed again.")
        .answers::<Transition>(201, "Accepted.")
        .refuses(404, NOT_THERE)
        .records()
}

/// The recorder. Without one, these paths do not exist.
fn recorder(app: &App) -> Result<&Recorder, Error> {
    app.recorder().ok_or(Error::PATH_NOT_FOUND)
}

fn now_micros(app: &App) -> i64 {
    app.ledger().clock().now().as_micros()
}

/// The id and the body of a request. A path whose id is no UUID is unknown.
fn read_parts<T: Body>(app: &App, id: &str, raw: &Raw) -> Result<(Uuid, T), Error> {
    let id = read_id(id)?;
    Ok((id, T::from_bytes(raw.content_type(), raw.bytes(), &app.config().bodies)?))
}

fn read_id(id: &str) -> Result<Uuid, Error> {
    path::route_id(id).ok_or(Error::PATH_NOT_FOUND)
}

/// Passes a run's state to the witness, as evidence of whether the run still lives.
async fn bear_witness(app: &App, run: &Run) {
    let (Some(witness), Some(state)) = (app.witness(), &run.state) else { return };
    if state.kind.is_terminal() {
        witness.over(run.kind, run.id, &state.name).await;
    } else {
        let flow_run = match run.kind {
            RunKind::FlowRun => Some(run.id),
            RunKind::TaskRun => run.parent,
        };
        if let Some(flow_run) = flow_run {
            witness.heard(flow_run).await;
        }
    }
}

/// Lets a run enter a state. If a task run stands for it in its parent, that one enters it too.
fn enter(records: &Transaction<'_>, run: &mut Run, state: State) -> Result<(), RecordsError> {
    run.enter(state.clone());
    records.put_run(run)?;
    let Some(parent) = run.parent.filter(|_| run.kind == RunKind::FlowRun) else { return Ok(()) };
    if let Some(mut parent) = records.run(RunKind::TaskRun, parent)? {
        let mut mirrored = State { id: ids::at(state.at_micros), data: Value::Null, ..state };
        mirrored.details.insert("child_flow_run_id".to_owned(), run.id.to_string().into());
        parent.enter(convert::belonging_to(mirrored, &parent));
        records.put_run(&parent)?;
    }
    Ok(())
}
