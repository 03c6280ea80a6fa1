//! Lists of runs, and of the states that a run was in: `/api/flow_runs/filter`,
//! `/api/task_runs/count`, and so on.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use leasehold_api::missing_query;
use leasehold_api::runs::{FilterRuns, ListFlowRuns, ListTaskRuns, StatesOf};
use leasehold_records::{Run, RunKind, Sort};

use super::{filter, now_micros, recorder};
use crate::app::App;
use crate::doors::prefect::convert::runs as convert;
use crate::doors::{Routes, otherwise};
use crate::http::error::{ApiError, json};
use crate::http::extract::{Valid, ValidQuery};

pub(super) fn add(routes: Routes, kind: RunKind) -> Routes {
    let word = kind.as_str();
    routes
        .add(
            &format!("/api/{word}s/filter"),
            otherwise(
                "POST",
                match kind {
                    RunKind::FlowRun => post(list_flow_runs),
                    RunKind::TaskRun => post(list_task_runs),
                },
            ),
        )
        .add(
            &format!("/api/{word}s/count"),
            otherwise("POST", post(move |app, body| count(kind, app, body))),
        )
        .add(
            &format!("/api/{word}_states/"),
            otherwise("GET", get(move |app, of| states(kind, app, of))),
        )
}

async fn list_flow_runs(
    State(app): State<App>,
    Valid(body): Valid<ListFlowRuns>,
) -> Result<Response, ApiError> {
    let (sort, body) = body.into_parts();
    let found = list(&app, RunKind::FlowRun, convert::flow_run_sort(sort), &body).await?;
    let now = now_micros(&app);
    let runs: Vec<_> = found.iter().map(|run| convert::flow_run(run, now)).collect();
    Ok(json(StatusCode::OK, &runs))
}

async fn list_task_runs(
    State(app): State<App>,
    Valid(body): Valid<ListTaskRuns>,
) -> Result<Response, ApiError> {
    let (sort, body) = body.into_parts();
    let now = now_micros(&app);
    let found = list(&app, RunKind::TaskRun, convert::task_run_sort(sort, now), &body).await?;
    let runs: Vec<_> = found.iter().map(|run| convert::task_run(run, now)).collect();
    Ok(json(StatusCode::OK, &runs))
}

async fn list(
    app: &App,
    kind: RunKind,
    sort: Sort,
    body: &FilterRuns,
) -> Result<Vec<Run>, ApiError> {
    let runs = filter::runs(kind, sort, body)?;
    Ok(recorder(app)?.write(move |records| records.runs(kind, &runs.resolve(records)?)).await?)
}

async fn count(
    kind: RunKind,
    State(app): State<App>,
    Valid(body): Valid<FilterRuns>,
) -> Result<Response, ApiError> {
    let runs = filter::runs(kind, Sort::default(), &body)?;
    let count = recorder(&app)?
        .write(move |records| records.run_count(kind, &runs.resolve(records)?))
        .await?;
    Ok(json(StatusCode::OK, &count))
}

async fn states(
    kind: RunKind,
    State(app): State<App>,
    ValidQuery(of): ValidQuery<StatesOf>,
) -> Result<Response, ApiError> {
    let (name, run) = match kind {
        RunKind::FlowRun => ("flow_run_id", of.flow_run_id),
        RunKind::TaskRun => ("task_run_id", of.task_run_id),
    };
    let run = run.ok_or_else(|| missing_query(name))?;
    let states = recorder(&app)?.write(move |records| records.states(run)).await?;
    let states: Vec<_> = states.iter().map(convert::wire_state).collect();
    Ok(json(StatusCode::OK, &states))
}
