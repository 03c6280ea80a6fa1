//! Conversions between wire types and records. No other file knows both.

use leasehold_api::Timestamp;
use leasehold_prefect::runs::{self as wire, ProposedState};
use leasehold_records::{Flow, FlowSort, Identity, Order, Run, RunKind, Sort, State, StateType};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::ids;

type Fields = Map<String, Value>;

/// The details of a state that clients read. The unknown ones are `null`.
const STATE_DETAILS: &[&str] = &[
    "flow_run_id",
    "task_run_id",
    "child_flow_run_id",
    "scheduled_time",
    "cache_key",
    "cache_expiration",
    "deferred",
    "untrackable_result",
    "pause_timeout",
    "pause_reschedule",
    "pause_key",
    "run_input_keyset",
    "refresh_cache",
    "retriable",
    "transition_id",
    "task_parameters_id",
    "traceparent",
];
/// Those of them that are booleans: `false` when unknown.
const FALSE_DETAILS: &[&str] = &["untrackable_result", "pause_reschedule"];

pub(crate) fn new_flow(body: wire::CreateFlow, now_micros: i64) -> Flow {
    let mut details = Map::new();
    details.insert("tags".into(), body.tags.unwrap_or_default().into());
    details.insert("labels".into(), body.labels.unwrap_or_default().into());
    Flow { id: ids::at(now_micros), name: body.name, created_micros: now_micros, details }
}

pub(crate) fn flow(flow: &Flow) -> wire::Flow {
    wire::Flow {
        id: flow.id,
        created: Timestamp(flow.created_micros),
        updated: Timestamp(flow.created_micros),
        name: flow.name.clone(),
        tags: known(&flow.details, "tags", json!([])),
        labels: known(&flow.details, "labels", json!({})),
    }
}

/// The state that a client proposes for a run, as it would be entered at `now_micros`.
pub(crate) fn state(proposed: ProposedState, now_micros: i64) -> State {
    let kind = state_type(proposed.r#type);
    State {
        id: ids::at(now_micros),
        kind,
        name: proposed.name.unwrap_or_else(|| kind.usual_name().to_owned()),
        at_micros: now_micros,
        message: proposed.message,
        data: proposed.data.unwrap_or_default(),
        details: proposed.state_details.unwrap_or_default(),
    }
}

fn state_type(word: wire::StateType) -> StateType {
    match word {
        wire::StateType::Scheduled => StateType::Scheduled,
        wire::StateType::Pending => StateType::Pending,
        wire::StateType::Running => StateType::Running,
        wire::StateType::Completed => StateType::Completed,
        wire::StateType::Failed => StateType::Failed,
        wire::StateType::Cancelled => StateType::Cancelled,
        wire::StateType::Crashed => StateType::Crashed,
        wire::StateType::Paused => StateType::Paused,
        wire::StateType::Cancelling => StateType::Cancelling,
    }
}

/// Adds the ids of its run to a state, because clients omit them.
pub(crate) fn belonging_to(mut state: State, run: &Run) -> State {
    let (flow_run, task_run) = match run.kind {
        RunKind::FlowRun => (Some(run.id), None),
        RunKind::TaskRun => (run.parent, Some(run.id)),
    };
    for (name, id) in [("flow_run_id", flow_run), ("task_run_id", task_run)] {
        if let Some(id) = id {
            state.details.insert(name.to_owned(), id.to_string().into());
        }
    }
    state
}

pub(crate) fn new_flow_run(body: wire::CreateFlowRun, now_micros: i64) -> Run {
    let id = ids::at(now_micros);
    let mut details = details([
        ("flow_version", body.flow_version.map(Value::from)),
        ("deployment_id", body.deployment_id.map(|id| id.to_string().into())),
        ("parameters", body.parameters.map(Value::from)),
        ("context", body.context.map(Value::from)),
        ("empirical_policy", body.empirical_policy.map(Value::from)),
        ("idempotency_key", body.idempotency_key.clone().map(Value::from)),
        ("job_variables", body.job_variables.map(Value::from)),
    ]);
    let mut labels = body.labels.unwrap_or_default();
    labels.insert("prefect.flow.id".to_owned(), body.flow_id.to_string().into());
    details.insert("labels".to_owned(), labels.into());
    let run = Run {
        flow: Some(body.flow_id),
        parent: body.parent_task_run_id,
        identity: body.idempotency_key.map(|key| Identity(format!("{}/{key}", body.flow_id))),
        tags: body.tags.unwrap_or_default(),
        details,
        ..new_run(id, RunKind::FlowRun, body.name, now_micros)
    };
    with_first_state(run, body.state, now_micros)
}

pub(crate) fn new_task_run(body: wire::CreateTaskRun, now_micros: i64) -> Run {
    let id = body.id.unwrap_or_else(|| ids::at(now_micros));
    let identity = body
        .flow_run_id
        .map(|run| Identity(format!("{run}/{}/{}", body.task_key, body.dynamic_key)));
    let run = Run {
        parent: body.flow_run_id,
        identity,
        tags: body.tags.unwrap_or_default(),
        details: details([
            ("task_key", Some(body.task_key.into())),
            ("dynamic_key", Some(body.dynamic_key.into())),
            ("cache_key", body.cache_key.map(Value::from)),
            ("cache_expiration", body.cache_expiration.map(Value::from)),
            ("task_version", body.task_version.map(Value::from)),
            ("empirical_policy", body.empirical_policy.map(Value::from)),
            ("labels", body.labels.map(Value::from)),
            ("task_inputs", body.task_inputs.map(Value::from)),
        ]),
        ..new_run(id, RunKind::TaskRun, body.name, now_micros)
    };
    with_first_state(run, body.state, now_micros)
}

fn new_run(id: Uuid, kind: RunKind, name: Option<String>, now_micros: i64) -> Run {
    Run::new(id, kind, name.unwrap_or_else(|| made_up_name(id)), now_micros)
}

fn with_first_state(mut run: Run, proposed: Option<ProposedState>, now_micros: i64) -> Run {
    if let Some(proposed) = proposed {
        let state = belonging_to(state(proposed, now_micros), &run);
        run.enter(state);
        run.expected_micros = run.due_micros();
    }
    run
}

fn details<const N: usize>(fields: [(&str, Option<Value>); N]) -> Fields {
    let sent = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    sent.collect()
}

/// Changes what an update names.
pub(crate) fn update(run: &mut Run, body: &wire::UpdateFlowRun, now_micros: i64) {
    if let Some(name) = body.name.as_set() {
        run.name.clone_from(name);
    }
    if let Some(tags) = body.tags.as_set() {
        run.tags.clone_from(tags);
    }
    run.details.extend(details([
        ("flow_version", body.flow_version.as_set().cloned().map(Value::from)),
        ("parameters", body.parameters.as_set().cloned().map(Value::from)),
        ("empirical_policy", body.empirical_policy.as_set().cloned().map(Value::from)),
        ("infrastructure_pid", body.infrastructure_pid.as_set().cloned().map(Value::from)),
        ("job_variables", body.job_variables.as_set().cloned().map(Value::from)),
    ]));
    run.updated_micros = now_micros;
}

/// Changes what an update names.
pub(crate) fn update_task_run(run: &mut Run, body: &wire::UpdateTaskRun, now_micros: i64) {
    if let Some(name) = body.name.as_set() {
        run.name.clone_from(name);
        run.updated_micros = now_micros;
    }
}

pub(crate) fn flow_sort(sort: wire::FlowSort) -> FlowSort {
    match sort {
        // A recorded flow never changes.
        wire::FlowSort::CreatedDesc | wire::FlowSort::UpdatedDesc => FlowSort::Newest,
        wire::FlowSort::NameAsc => FlowSort::Name(Order::Ascending),
        wire::FlowSort::NameDesc => FlowSort::Name(Order::Descending),
    }
}

pub(crate) fn flow_run_sort(sort: wire::FlowRunSort) -> Sort {
    match sort {
        wire::FlowRunSort::IdDesc => Sort::Id,
        wire::FlowRunSort::StartTimeAsc => Sort::Start(Order::Ascending),
        wire::FlowRunSort::StartTimeDesc => Sort::Start(Order::Descending),
        wire::FlowRunSort::ExpectedStartTimeAsc => Sort::ExpectedStart(Order::Ascending),
        wire::FlowRunSort::ExpectedStartTimeDesc => Sort::ExpectedStart(Order::Descending),
        wire::FlowRunSort::NameAsc => Sort::Name(Order::Ascending),
        wire::FlowRunSort::NameDesc => Sort::Name(Order::Descending),
        wire::FlowRunSort::NextScheduledStartTimeAsc => Sort::Due(Order::Ascending),
        wire::FlowRunSort::EndTimeDesc => Sort::End(Order::Descending),
    }
}

pub(crate) fn task_run_sort(sort: wire::TaskRunSort, now_micros: i64) -> Sort {
    match sort {
        wire::TaskRunSort::IdDesc => Sort::Id,
        wire::TaskRunSort::ExpectedStartTimeAsc => Sort::ExpectedStart(Order::Ascending),
        wire::TaskRunSort::ExpectedStartTimeDesc => Sort::ExpectedStart(Order::Descending),
        wire::TaskRunSort::NameAsc => Sort::Name(Order::Ascending),
        wire::TaskRunSort::NameDesc => Sort::Name(Order::Descending),
        wire::TaskRunSort::NextScheduledStartTimeAsc => Sort::Due(Order::Ascending),
        wire::TaskRunSort::EndTimeDesc => Sort::End(Order::Descending),
        wire::TaskRunSort::DurationDesc => Sort::Duration(Order::Descending, now_micros),
        wire::TaskRunSort::DurationAsc => Sort::Duration(Order::Ascending, now_micros),
    }
}

pub(crate) fn wire_state(state: &State) -> wire::State {
    let mut details = Map::new();
    for name in STATE_DETAILS {
        let nothing = if FALSE_DETAILS.contains(name) { Value::Bool(false) } else { Value::Null };
        details.insert((*name).to_owned(), nothing);
    }
    details.extend(state.details.clone());
    wire::State {
        id: state.id,
        r#type: state.kind.as_str().to_owned(),
        name: state.name.clone(),
        timestamp: Timestamp(state.at_micros),
        message: state.message.clone(),
        data: state.data.clone(),
        state_details: details.into(),
    }
}

pub(crate) fn flow_run(run: &Run, now_micros: i64) -> wire::FlowRun {
    let of = |name: &str| known(&run.details, name, Value::Null);
    let or_empty = |name: &str| known(&run.details, name, json!({}));
    wire::FlowRun {
        common: common(run, now_micros),
        flow_id: run.flow,
        deployment_id: of("deployment_id"),
        deployment_version: None,
        work_queue_id: None,
        work_queue_name: None,
        flow_version: of("flow_version"),
        parameters: or_empty("parameters"),
        idempotency_key: of("idempotency_key"),
        context: or_empty("context"),
        parent_task_run_id: run.parent,
        auto_scheduled: false,
        infrastructure_document_id: None,
        infrastructure_pid: of("infrastructure_pid"),
        created_by: None,
        work_pool_id: None,
        work_pool_name: None,
        job_variables: or_empty("job_variables"),
    }
}

pub(crate) fn task_run(run: &Run, now_micros: i64) -> wire::TaskRun {
    let of = |name: &str| known(&run.details, name, Value::Null);
    let or_empty = |name: &str| known(&run.details, name, json!({}));
    wire::TaskRun {
        common: common(run, now_micros),
        flow_run_id: run.parent,
        task_key: known(&run.details, "task_key", "".into()),
        dynamic_key: known(&run.details, "dynamic_key", "".into()),
        cache_key: of("cache_key"),
        cache_expiration: of("cache_expiration"),
        task_version: of("task_version"),
        task_inputs: or_empty("task_inputs"),
        flow_run_run_count: run.flow_run_run_count,
    }
}

/// The fields that flow runs and task runs have in common.
fn common(run: &Run, now_micros: i64) -> wire::Run {
    let (expected, delta) = expected_start(run, now_micros);
    let or_empty = |name: &str| known(&run.details, name, json!({}));
    wire::Run {
        id: run.id,
        created: Timestamp(run.created_micros),
        updated: Timestamp(run.updated_micros),
        name: run.name.clone(),
        state_id: run.state.as_ref().map(|state| state.id),
        empirical_policy: or_empty("empirical_policy"),
        tags: run.tags.clone(),
        labels: or_empty("labels"),
        state_type: run.state_type().map(|kind| kind.as_str().to_owned()),
        state_name: run.state.as_ref().map(|state| state.name.clone()),
        run_count: run.run_count,
        expected_start_time: Some(Timestamp(expected)),
        next_scheduled_start_time: run.due_micros().map(Timestamp),
        start_time: run.start_micros.map(Timestamp),
        end_time: run.end_micros.map(Timestamp),
        total_run_time: seconds(run.total_run_micros),
        estimated_run_time: estimated_run_seconds(run, now_micros),
        estimated_start_time_delta: delta,
        state: run.state.as_ref().map(wire_state),
    }
}

fn known(fields: &Fields, name: &str, otherwise: Value) -> Value {
    fields.get(name).cloned().unwrap_or(otherwise)
}

fn expected_start(run: &Run, now_micros: i64) -> (i64, f64) {
    let expected = run.expected_micros.unwrap_or(run.created_micros);
    // A run that was over before it began is not late.
    let otherwise = if run.is_over() { expected } else { now_micros };
    let began = run.start_micros.unwrap_or(otherwise);
    (expected, seconds((began - expected).max(0)))
}

fn estimated_run_seconds(run: &Run, now_micros: i64) -> f64 {
    let current = run.state.as_ref().filter(|state| state.kind == StateType::Running);
    let since = current.map_or(0, |state| (now_micros - state.at_micros).max(0));
    seconds(run.total_run_micros + since)
}

fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// A name of two words for a run without one, from the random part of its id.
fn made_up_name(id: Uuid) -> String {
    const HOW: [&str; 32] = [
        "amber", "brave", "brisk", "calm", "clever", "cosy", "daring", "eager", "fair", "fleet",
        "gentle", "golden", "hardy", "honest", "jolly", "keen", "kind", "lively", "lucky", "merry",
        "mild", "nimble", "noble", "proud", "quick", "quiet", "rapid", "sober", "steady", "tidy",
        "warm", "wise",
    ];
    const WHO: [&str; 32] = [
        "badger", "beaver", "bison", "crane", "dolphin", "falcon", "finch", "fox", "gecko",
        "heron", "hornet", "ibex", "jay", "kestrel", "koala", "lark", "lemur", "lynx", "marten",
        "mole", "newt", "otter", "owl", "panda", "plover", "raven", "robin", "seal", "stork",
        "swift", "tapir", "wren",
    ];
    let [.., how, who] = id.into_bytes();
    format!("{}-{}", HOW[usize::from(how) % HOW.len()], WHO[usize::from(who) % WHO.len()])
}
