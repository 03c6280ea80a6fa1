//! Flow runs and their states: `/api/flow_runs`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_prefect::Invalid;
use leasehold_prefect::runs::{
    CreateFlowRun, FlowRun, ResumeFlowRun, SetState, Transition, UpdateFlowRun,
};
use leasehold_records::transition::{Verdict, judge, resumed};
use leasehold_records::{Identity, Run, RunKind, StateType};
use serde_json::{Map, Value, json as value};
use uuid::Uuid;

use super::{
    NOT_THERE, answer, bear_witness, created, enter, now_micros, read_id, read_parts, recorder,
    settled,
};
use crate::app::App;
use crate::doors::operation::{delete, get, patch, post};
use crate::doors::prefect::convert::runs as convert;
use crate::doors::prefect::error::Error;
use crate::doors::prefect::extract::Valid;
use crate::doors::routes::Routes;
use crate::http::answer::json;
use crate::http::body::Raw;
use crate::ids;
use crate::liveness::evidence;

const NOT_FOUND: Error = Error::RecordNotFound("Flow run not found");

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add(
            created(post("/api/flow_runs/", create).named("create_flow_run", "Record a flow run"))
                .body::<CreateFlowRun>()
                .answers::<FlowRun>(200, "It was recorded before.")
                .answers::<FlowRun>(201, "The new run.")
                .refuses(422, "Invalid."),
        )
        .add(
            get("/api/flow_runs/{id}", read)
                .named("read_flow_run", "Read a flow run")
                .answers::<FlowRun>(200, "The run.")
                .refuses(404, NOT_THERE)
                .records(),
        )
        .add(
            patch("/api/flow_runs/{id}", update)
                .named("update_flow_run", "Change a flow run")
                .body::<UpdateFlowRun>()
                .done(204, "Changed.")
                .refuses(404, NOT_THERE)
                .records(),
        )
        .add(
            delete("/api/flow_runs/{id}", delete_run)
                .named("delete_flow_run", "Forget a flow run")
                .about(
                    "With its task runs. What they hold without a deadline is released, and so is \
                     what its subflows hold.",
                )
                .done(204, "Forgotten.")
                .refuses(404, NOT_THERE)
                .records(),
        )
        .add(settled(
            post("/api/flow_runs/{id}/set_state", set_state)
                .named("set_flow_run_state", "Propose a flow run's next state"),
        ))
        .add(
            post("/api/flow_runs/{id}/resume", resume)
                .named("resume_flow_run", "Let a paused flow run go on")
                .optional_body::<ResumeFlowRun>()
                .answers::<Transition>(200, "It is not paused, or its pause has timed out.")
                .answers::<Transition>(201, "It is RUNNING.")
                .refuses(404, NOT_THERE)
                .records(),
        )
        .add(
            patch("/api/flow_runs/{id}/labels", update_labels)
                .named("update_flow_run_labels", "Add labels to a flow run")
                .free_body(|_| value!({"type": "object", "example": {"team": "data"}}))
                .done(204, "Added.")
                .refuses(404, NOT_THERE)
                .records(),
        )
}

async fn create(
    State(app): State<App>,
    Valid(body): Valid<CreateFlowRun>,
) -> Result<Response, Error> {
    let now = now_micros(&app);
    let created = recorder(&app)?
        .write(move |records| {
            let key = body.idempotency_key.as_ref();
            let identity = key.map(|key| Identity(format!("{}/{key}", body.flow_id)));
            if let Some(identity) = identity
                && let Some(run) = records.run_with_identity(&identity)?
            {
                return Ok(Some((run, false)));
            }
            if records.flow(body.flow_id)?.is_none() {
                return Ok(None);
            }
            let run = convert::new_flow_run(body, now);
            records.put_run(&run)?;
            Ok(Some((run, true)))
        })
        .await?;
    let (run, is_new) = created.ok_or(Error::Conflict)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json(status, &convert::flow_run(&run, now)))
}

async fn read(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Error> {
    let id = read_id(&id)?;
    let run = recorder(&app)?.write(move |records| records.run(RunKind::FlowRun, id)).await?;
    Ok(json(StatusCode::OK, &convert::flow_run(&run.ok_or(NOT_FOUND)?, now_micros(&app))))
}

async fn update(
    State(app): State<App>,
    Path(id): Path<String>,
    raw: Raw,
) -> Result<StatusCode, Error> {
    let (id, body): (_, UpdateFlowRun) = read_parts(&app, &id, &raw)?;
    let now = now_micros(&app);
    change(&app, id, move |run| convert::update(run, &body, now)).await
}

/// Adds labels to a run's existing ones.
async fn update_labels(
    State(app): State<App>,
    Path(id): Path<String>,
    raw: Raw,
) -> Result<StatusCode, Error> {
    let id = read_id(&id)?;
    let no_object = || Invalid::Detail("Labels must be an object.".to_owned());
    let labels = leasehold_prefect::object(raw.bytes())?.ok_or_else(no_object)?;
    change(&app, id, move |run| {
        let known = run.details.entry("labels").or_insert_with(|| Map::new().into());
        if let Value::Object(known) = known {
            known.extend(labels);
        }
    })
    .await
}

async fn change(
    app: &App,
    id: Uuid,
    change: impl FnOnce(&mut Run) + Send + 'static,
) -> Result<StatusCode, Error> {
    let is_there = recorder(app)?
        .write(move |records| {
            let Some(mut run) = records.run(RunKind::FlowRun, id)? else { return Ok(false) };
            change(&mut run);
            records.put_run(&run)?;
            Ok(true)
        })
        .await?;
    if is_there { Ok(StatusCode::NO_CONTENT) } else { Err(NOT_FOUND) }
}

/// Deletes a run. First it releases what the run and the runs in it hold: without the record,
/// nothing shows that these held it.
async fn delete_run(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, Error> {
    let run = (RunKind::FlowRun, read_id(&id)?);
    let recorder = recorder(&app)?;
    let within = recorder.write(move |records| records.run_tree(run.0, run.1)).await?;
    if within.is_empty() {
        return Err(NOT_FOUND);
    }
    evidence::deleted(app.ledger(), run, &within.into_iter().collect()).await?;
    recorder.write(move |records| records.delete_run(run.0, run.1)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn set_state(
    State(app): State<App>,
    Path(id): Path<String>,
    raw: Raw,
) -> Result<Response, Error> {
    let (id, body): (_, SetState) = read_parts(&app, &id, &raw)?;
    let now = now_micros(&app);
    let (run, verdict) = settle(&app, id, move |run| {
        let proposed = convert::belonging_to(convert::state(body.state, now), run);
        match body.force {
            true => Verdict::Accept(proposed),
            false => judge(run, proposed, None, now),
        }
    })
    .await?;
    answer::verdict(&run, &verdict)
}

/// Resumes a paused run. Its client polls for that.
async fn resume(
    State(app): State<App>,
    Path(id): Path<String>,
    raw: Raw,
) -> Result<Response, Error> {
    let (id, _): (_, ResumeFlowRun) = read_parts(&app, &id, &raw)?;
    let now = now_micros(&app);
    let (run, verdict) = settle(&app, id, move |run| {
        if run.state_type() != Some(StateType::Paused) {
            return Verdict::Abort("Cannot resume a flow run that is not paused.".to_owned());
        }
        judge(run, convert::belonging_to(resumed(ids::at(now), now), run), None, now)
    })
    .await?;
    match verdict {
        Verdict::Abort(reason) => Ok(answer::abort_without_state(&reason)),
        verdict => answer::verdict(&run, &verdict),
    }
}

/// Judges a proposed state, and lets the flow run enter the resulting one.
async fn settle(
    app: &App,
    id: Uuid,
    judge: impl FnOnce(&Run) -> Verdict + Send + 'static,
) -> Result<(Run, Verdict), Error> {
    let judged = recorder(app)?
        .write(move |records| {
            let Some(mut run) = records.run(RunKind::FlowRun, id)? else { return Ok(None) };
            let verdict = judge(&run);
            if let Verdict::Accept(state) | Verdict::Reject(Some(state), _) = &verdict {
                enter(records, &mut run, state.clone())?;
            }
            Ok(Some((run, verdict)))
        })
        .await?;
    let (run, verdict) = judged.ok_or(NOT_FOUND)?;
    bear_witness(app, &run).await;
    Ok((run, verdict))
}
