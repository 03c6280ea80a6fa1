//! Lists of runs and of a run's states: `/api/flow_runs/filter`, `/api/task_runs/count`, and so on.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_prefect::runs::{
    FilterRuns, FlowRun, ListFlowRuns, ListTaskRuns, State as WireState, StatesOfFlowRun,
    StatesOfTaskRun, TaskRun,
};
use leasehold_records::{Run, RunKind, Sort};
use uuid::Uuid;

use super::{filter, now_micros, recorder};
use crate::app::App;
use crate::doors::operation::{Operation, get, post};
use crate::doors::prefect::convert::runs as convert;
use crate::doors::prefect::error::Error;
use crate::doors::prefect::extract::{Valid, ValidQuery};
use crate::doors::routes::Routes;
use crate::http::answer::json;

pub(super) fn add(routes: Routes) -> Routes {
    use RunKind::{FlowRun as Flow, TaskRun as Task};
    routes
        .add(
            post("/api/flow_runs/filter", list_flow_runs)
                .named("list_flow_runs", "List flow runs")
                .optional_body::<ListFlowRuns>()
                .answers::<Vec<FlowRun>>(200, "A page of runs.")
                .records(),
        )
        .add(counted(
            post("/api/flow_runs/count", async |app, body| count(Flow, app, body).await)
                .named("count_flow_runs", "Count flow runs"),
        ))
        .add(listed(
            get("/api/flow_run_states/", states_of_flow_run)
                .named("list_flow_run_states", "List a flow run's states")
                .query::<StatesOfFlowRun>(),
        ))
        .add(
            post("/api/task_runs/filter", list_task_runs)
                .named("list_task_runs", "List task runs")
                .optional_body::<ListTaskRuns>()
                .answers::<Vec<TaskRun>>(200, "A page of runs.")
                .records(),
        )
        .add(counted(
            post("/api/task_runs/count", async |app, body| count(Task, app, body).await)
                .named("count_task_runs", "Count task runs"),
        ))
        .add(listed(
            get("/api/task_run_states/", states_of_task_run)
                .named("list_task_run_states", "List a task run's states")
                .query::<StatesOfTaskRun>(),
        ))
}

fn counted(operation: Operation) -> Operation {
    operation.optional_body::<FilterRuns>().answers::<u64>(200, "How many there are.").records()
}

fn listed(operation: Operation) -> Operation {
    operation.answers::<Vec<WireState>>(200, "The state that it is in.").records()
}

async fn list_flow_runs(
    State(app): State<App>,
    Valid(body): Valid<ListFlowRuns>,
) -> Result<Response, Error> {
    let (sort, body) = body.into_parts();
    let found = list(&app, RunKind::FlowRun, convert::flow_run_sort(sort), &body).await?;
    let now = now_micros(&app);
    let runs: Vec<_> = found.iter().map(|run| convert::flow_run(run, now)).collect();
    Ok(json(StatusCode::OK, &runs))
}

async fn list_task_runs(
    State(app): State<App>,
    Valid(body): Valid<ListTaskRuns>,
) -> Result<Response, Error> {
    let (sort, body) = body.into_parts();
    let now = now_micros(&app);
    let found = list(&app, RunKind::TaskRun, convert::task_run_sort(sort, now), &body).await?;
    let runs: Vec<_> = found.iter().map(|run| convert::task_run(run, now)).collect();
    Ok(json(StatusCode::OK, &runs))
}

async fn list(app: &App, kind: RunKind, sort: Sort, body: &FilterRuns) -> Result<Vec<Run>, Error> {
    let runs = filter::runs(kind, sort, body)?;
    Ok(recorder(app)?.write(move |records| records.runs(kind, &runs.resolve(records)?)).await?)
}

async fn count(
    kind: RunKind,
    State(app): State<App>,
    Valid(body): Valid<FilterRuns>,
) -> Result<Response, Error> {
    let runs = filter::runs(kind, Sort::default(), &body)?;
    let count = recorder(&app)?
        .write(move |records| records.run_count(kind, &runs.resolve(records)?))
        .await?;
    Ok(json(StatusCode::OK, &count))
}

async fn states_of_flow_run(
    app: State<App>,
    ValidQuery(of): ValidQuery<StatesOfFlowRun>,
) -> Result<Response, Error> {
    states(app, of.flow_run_id).await
}

async fn states_of_task_run(
    app: State<App>,
    ValidQuery(of): ValidQuery<StatesOfTaskRun>,
) -> Result<Response, Error> {
    states(app, of.task_run_id).await
}

async fn states(State(app): State<App>, run: Uuid) -> Result<Response, Error> {
    let states = recorder(&app)?.write(move |records| records.states(run)).await?;
    let states: Vec<_> = states.iter().map(convert::wire_state).collect();
    Ok(json(StatusCode::OK, &states))
}
