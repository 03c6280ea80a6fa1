//! Task runs: `/api/task_runs`. Clients before version 3 ask here whether a task may run, so these
//! handlers take and release the slots of its tags.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_engine::{Acquire, Acquired, Hold};
use leasehold_node::Undo;
use leasehold_prefect::runs::{
    CreateTaskRun, SetState, StateType as StateWord, TaskRun, UpdateTaskRun,
};
use leasehold_records::transition::{Verdict, judge};
use leasehold_records::{Run, RunKind, State as RunState, StateType};
use uuid::Uuid;

use super::{
    NOT_THERE, answer, bear_witness, created, enter, now_micros, read_id, read_parts, recorder,
    settled,
};
use crate::access::origin::Origin;
use crate::acquire::{lease_id, retry};
use crate::app::App;
use crate::doors::operation::{get, patch, post};
use crate::doors::prefect::convert as engine;
use crate::doors::prefect::convert::runs as convert;
use crate::doors::prefect::error::Error;
use crate::doors::prefect::extract::Valid;
use crate::doors::prefect::unserved::Unserved;
use crate::doors::routes::Routes;
use crate::http;
use crate::http::answer::json;
use crate::http::body::Raw;

const NOT_FOUND: Error = Error::RecordNotFound("Task run not found");

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add(
            created(post("/api/task_runs/", create).named("create_task_run", "Record a task run"))
                .body::<CreateTaskRun>()
                .answers::<TaskRun>(200, "It was recorded before.")
                .answers::<TaskRun>(201, "The new run.")
                .refuses(422, "Invalid; or a task that is left to a task worker."),
        )
        .add(
            get("/api/task_runs/{id}", read)
                .named("read_task_run", "Read a task run")
                .answers::<TaskRun>(200, "The run.")
                .refuses(404, NOT_THERE)
                .records(),
        )
        .add(
            patch("/api/task_runs/{id}", update)
                .named("update_task_run", "Change a task run")
                .body::<UpdateTaskRun>()
                .done(204, "Changed.")
                .refuses(404, NOT_THERE)
                .records(),
        )
        .add(settled(
            post("/api/task_runs/{id}/set_state", set_state)
                .named("set_task_run_state", "Propose a task run's next state"),
        ))
}

/// Records a task run, or returns the recorded one: a retried flow run finds the task runs of its
/// earlier attempt.
async fn create(
    State(app): State<App>,
    unserved: Unserved,
    Valid(body): Valid<CreateTaskRun>,
) -> Result<Response, Error> {
    if is_for_a_worker(&body) {
        return Err(unserved.would_never_run(&app));
    }
    let now = now_micros(&app);
    let created = recorder(&app)?
        .write(move |records| {
            let run = convert::new_task_run(body, now);
            let known = match &run.identity {
                Some(identity) => records.run_with_identity(identity)?,
                None => None,
            };
            if let Some(known) = known.or(records.run(RunKind::TaskRun, run.id)?) {
                return Ok(Some((known, false)));
            }
            if records.run(RunKind::FlowRun, run.id)?.is_some() {
                return Ok(None);
            }
            records.put_run(&run)?;
            Ok(Some((run, true)))
        })
        .await?;
    let (run, is_new) = created.ok_or(Error::Conflict)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json(status, &convert::task_run(&run, now)))
}

/// Whether a task is left to a task worker, as by `task.delay()`. Here no worker would ever get it.
fn is_for_a_worker(body: &CreateTaskRun) -> bool {
    let Some(state) = &body.state else { return false };
    let is_deferred = || {
        let details = state.state_details.as_ref();
        details.and_then(|details| details.get("deferred")) == Some(&true.into())
    };
    state.r#type == StateWord::Scheduled && (body.flow_run_id.is_none() || is_deferred())
}

async fn read(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Error> {
    let id = read_id(&id)?;
    let run = recorder(&app)?.write(move |records| records.run(RunKind::TaskRun, id)).await?;
    Ok(json(StatusCode::OK, &convert::task_run(&run.ok_or(NOT_FOUND)?, now_micros(&app))))
}

async fn update(
    State(app): State<App>,
    Path(id): Path<String>,
    raw: Raw,
) -> Result<StatusCode, Error> {
    let (id, body): (_, UpdateTaskRun) = read_parts(&app, &id, &raw)?;
    let now = now_micros(&app);
    let is_there = recorder(&app)?
        .write(move |records| {
            let Some(mut run) = records.run(RunKind::TaskRun, id)? else { return Ok(false) };
            convert::update_task_run(&mut run, &body, now);
            records.put_run(&run)?;
            Ok(true)
        })
        .await?;
    if is_there { Ok(StatusCode::NO_CONTENT) } else { Err(NOT_FOUND) }
}

/// Takes or releases slots first, then writes the record. If the write fails, slots that were taken
/// are given back. Slots that were released stay released, because that run is over anyway. The
/// client proposes the state again.
async fn set_state(
    State(app): State<App>,
    Path(id): Path<String>,
    origin: Origin,
    raw: Raw,
) -> Result<Response, Error> {
    let (id, body) = read_parts(&app, &id, &raw)?;
    let (run, verdict) = judged(&app, id, body).await?;
    let (kind, entered) = match &verdict {
        Verdict::Accept(state) | Verdict::Reject(Some(state), _) => (state.kind, Some(state)),
        // Acquired again: if the client did not receive the first answer, the slots were given
        // back.
        Verdict::Repeated if run.state_type() == Some(StateType::Running) => {
            (StateType::Running, None)
        }
        _ => return answer::verdict(&run, &verdict),
    };
    let undo = match kind {
        StateType::Running => match acquire_tags(&app, origin, &run).await? {
            Held::Granted(undo) => undo,
            Held::Full { seconds, reason } => return Ok(answer::wait(&run, seconds, &reason)),
            Held::Never { reason } => return Ok(answer::abort(&run, &reason)),
        },
        StateType::Cancelling => None,
        _ => {
            release_tags(&app, &run).await?;
            None
        }
    };
    let Some(state) = entered else { return answer::accepted(&run, undo) };
    let run = write(&app, id, state.clone()).await?.ok_or(NOT_FOUND)?;
    bear_witness(&app, &run).await;
    match undo {
        Some(undo) => answer::accepted(&run, Some(undo)),
        None => answer::verdict(&run, &verdict),
    }
}

async fn judged(app: &App, id: Uuid, body: SetState) -> Result<(Run, Verdict), Error> {
    let now = now_micros(app);
    let judged = recorder(app)?
        .write(move |records| {
            let Some(run) = records.run(RunKind::TaskRun, id)? else { return Ok(None) };
            let flow_run = match run.parent {
                Some(flow_run) => records.run(RunKind::FlowRun, flow_run)?,
                None => None,
            };
            let proposed = convert::belonging_to(convert::state(body.state, now), &run);
            let verdict = match body.force {
                true => Verdict::Accept(proposed),
                false => judge(&run, proposed, flow_run.as_ref(), now),
            };
            Ok(Some((run, verdict)))
        })
        .await?;
    judged.ok_or(NOT_FOUND)
}

async fn write(app: &App, id: Uuid, state: RunState) -> Result<Option<Run>, Error> {
    let written = recorder(app)?.write(move |records| {
        let Some(mut run) = records.run(RunKind::TaskRun, id)? else { return Ok(None) };
        if state.kind == StateType::Running
            && let Some(flow_run) = run.parent
            && let Some(flow_run) = records.run(RunKind::FlowRun, flow_run)?
        {
            run.flow_run_run_count = flow_run.run_count;
        }
        enter(records, &mut run, state)?;
        Ok(Some(run))
    });
    Ok(written.await?)
}

/// The outcome of acquiring the slots of a task's tags.
enum Held {
    Granted(Option<Undo>),
    Full { seconds: f64, reason: String },
    Never { reason: String },
}

async fn acquire_tags(app: &App, origin: Origin, run: &Run) -> Result<Held, Error> {
    if run.tags.is_empty() {
        return Ok(Held::Granted(None));
    }
    let mut tags: Vec<_> = run.tags.iter().map(|tag| engine::tag_name(tag)).collect();
    tags.sort_unstable();
    let hold = Hold::Holder { id: lease_id::new(), holder: engine::task_run(run.id) };
    let wants = tags.into_iter().map(|name| (name, 1));
    let acquire = Acquire { origin: origin.said, ..Acquire::new(wants, hold) };
    let wants = acquire.wants.clone();
    let (acquired, undo) = app.ledger().try_acquire(acquire).await?;
    match acquired {
        Acquired::Granted(grant) => {
            app.acquirer().near_names().look_up(&wants, &grant);
            Ok(Held::Granted(Some(undo)))
        }
        Acquired::Refused(refusal) => {
            let full = refusal.blockers.first().map_or("", |full| &full.limit.name);
            let reason = engine::tag_full(full);
            Ok(Held::Full { seconds: retry::polling_seconds(&refusal, app.config()), reason })
        }
        Acquired::TooManySlots(limit) => Ok(Held::Never { reason: engine::tag_is_0(&limit.name) }),
        Acquired::Elsewhere(names) => Err(Error::Http(http::Error::Elsewhere(names))),
        _ => Err(Error::UNEXPECTED),
    }
}

async fn release_tags(app: &App, run: &Run) -> Result<(), Error> {
    if run.tags.is_empty() {
        return Ok(());
    }
    let names = run.tags.iter().map(|tag| engine::tag_name(tag)).collect();
    app.ledger().release_tags(names, engine::task_run(run.id)).await?;
    Ok(())
}
