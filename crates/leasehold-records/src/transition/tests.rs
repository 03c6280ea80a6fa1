use serde_json::json;
use uuid::Uuid;

use super::*;

const SECOND: i64 = 1_000_000;

fn state(kind: StateType) -> State {
    State {
        id: Uuid::now_v7(),
        kind,
        name: kind.usual_name().to_owned(),
        at_micros: 0,
        message: None,
        data: Value::Null,
        details: Map::new(),
    }
}

fn run(kind: RunKind, states: &[StateType]) -> Run {
    let mut run = Run::new(Uuid::now_v7(), kind, "run".to_owned(), 0);
    for kind in states {
        run.enter(state(*kind));
    }
    run
}

/// The verdict in words: `accept RUNNING`, `reject AwaitingRetry`, `wait 3`, `abort`.
fn check(run: &Run, proposed: State, flow_run: Option<&Run>, expected: &str) {
    let said = match judge(run, proposed, flow_run, 10 * SECOND) {
        Verdict::Accept(state) => format!("accept {}", state.name),
        Verdict::Repeated => "repeated".to_owned(),
        Verdict::Reject(Some(state), _) => format!("reject {}", state.name),
        Verdict::Reject(None, _) => "reject".to_owned(),
        Verdict::Wait(seconds, _) => format!("wait {seconds}"),
        Verdict::Abort(_) => "abort".to_owned(),
    };
    assert_eq!(said, expected);
}

#[test]
fn a_run_goes_from_pending_to_running_to_its_end() {
    for kind in [RunKind::FlowRun, RunKind::TaskRun] {
        check(&run(kind, &[]), state(StateType::Pending), None, "accept Pending");
        let pending = run(kind, &[StateType::Pending]);
        check(&pending, state(StateType::Running), None, "accept Running");
        let running = run(kind, &[StateType::Pending, StateType::Running]);
        for end in [StateType::Completed, StateType::Failed, StateType::Crashed] {
            check(&running, state(end), None, &format!("accept {}", end.usual_name()));
        }
    }
}

#[test]
fn a_client_whose_answer_was_lost_may_repeat_its_transition() {
    let mut proposed = state(StateType::Running);
    proposed.details.insert("transition_id".to_owned(), json!("one"));
    let mut running = run(RunKind::FlowRun, &[StateType::Pending]);
    running.enter(proposed.clone());
    check(&running, proposed, None, "repeated");
}

#[test]
fn a_run_that_is_over_is_neither_crashed_nor_cancelled() {
    for kind in [RunKind::FlowRun, RunKind::TaskRun] {
        let over = run(kind, &[StateType::Running, StateType::Completed]);
        for late in [StateType::Crashed, StateType::Cancelling, StateType::Paused] {
            check(&over, state(late), None, "abort");
        }
    }
}

#[test]
fn a_run_with_a_result_does_not_run_again() {
    let mut over = run(RunKind::FlowRun, &[StateType::Running]);
    over.enter(State { data: json!({"type": "reference"}), ..state(StateType::Completed) });
    check(&over, state(StateType::Running), None, "reject");
    over.enter(State { data: json!({"type": "unpersisted"}), ..state(StateType::Completed) });
    check(&over, state(StateType::Running), None, "accept Running");
}

#[test]
fn a_failure_is_retried_as_often_as_its_policy_allows() {
    for kind in [RunKind::FlowRun, RunKind::TaskRun] {
        let mut running = run(kind, &[StateType::Pending, StateType::Running]);
        check(&running, state(StateType::Failed), None, "accept Failed");
        let policy = json!({"retries": 1, "retry_delay": 3});
        running.details.insert("empirical_policy".to_owned(), policy);
        let Verdict::Reject(Some(waiting), _) =
            judge(&running, state(StateType::Failed), None, 10 * SECOND)
        else {
            panic!("not retried")
        };
        assert_eq!(waiting.scheduled_micros(), Some(13 * SECOND));
        running.enter(waiting);
        check(&running, state(StateType::Running), None, "wait 3");
        running.enter(state(StateType::Running));
        check(&running, state(StateType::Failed), None, "accept Failed");
    }
}

#[test]
fn a_failure_that_is_not_retriable_is_not_retried() {
    let mut running = run(RunKind::TaskRun, &[StateType::Pending, StateType::Running]);
    running.details.insert("empirical_policy".to_owned(), json!({"retries": 3}));
    let mut failed = state(StateType::Failed);
    failed.details.insert("retriable".to_owned(), json!(false));
    check(&running, failed.clone(), None, "accept Failed");
    running.kind = RunKind::FlowRun;
    check(&running, failed, None, "reject AwaitingRetry");
}

#[test]
fn each_retry_has_the_next_delay_and_later_ones_the_last() {
    let mut running = run(RunKind::TaskRun, &[StateType::Running]);
    let policy = json!({"retries": 5, "retry_delay": [1, 2]});
    running.details.insert("empirical_policy".to_owned(), policy);
    assert_eq!(running.retry_seconds(), Some(1.0));
    running.run_count = 2;
    assert_eq!(running.retry_seconds(), Some(2.0));
    running.run_count = 5;
    assert_eq!(running.retry_seconds(), Some(2.0));
    running.run_count = 6;
    assert_eq!(running.retry_seconds(), None);
}

#[test]
fn a_task_does_not_begin_while_its_flow_does_not_run() {
    let task = run(RunKind::TaskRun, &[StateType::Pending]);
    let running = run(RunKind::FlowRun, &[StateType::Running]);
    let cancelled = run(RunKind::FlowRun, &[StateType::Running, StateType::Cancelled]);
    let paused = run(RunKind::FlowRun, &[StateType::Running, StateType::Paused]);
    check(&task, state(StateType::Running), Some(&running), "accept Running");
    check(&task, state(StateType::Running), Some(&cancelled), "abort");
    check(&task, state(StateType::Running), Some(&paused), "reject NotReady");
}

#[test]
fn a_run_that_is_cancelling_can_only_become_cancelled() {
    let stopping = run(RunKind::FlowRun, &[StateType::Running, StateType::Cancelling]);
    check(&stopping, state(StateType::Completed), None, "reject");
    check(&stopping, state(StateType::Cancelled), None, "accept Cancelled");
}

#[test]
fn a_flow_run_without_a_process_is_cancelled_at_once() {
    let cancelling = state(StateType::Cancelling);
    let mut waiting = run(RunKind::FlowRun, &[StateType::Running, StateType::Scheduled]);
    check(&waiting, cancelling.clone(), None, "reject Cancelled");
    waiting.details.insert("infrastructure_pid".to_owned(), json!("host:7"));
    check(&waiting, cancelling.clone(), None, "accept Cancelling");
    waiting.enter(State { name: "Resuming".to_owned(), ..state(StateType::Scheduled) });
    check(&waiting, cancelling.clone(), None, "reject Cancelled");

    let mut paused = run(RunKind::FlowRun, &[StateType::Running, StateType::Paused]);
    check(&paused, cancelling.clone(), None, "accept Cancelling");
    let mut suspended = state(StateType::Paused);
    suspended.details.insert("pause_reschedule".to_owned(), json!(true));
    paused.enter(suspended);
    check(&paused, cancelling, None, "reject Cancelled");
}

#[test]
fn times_and_attempts_add_up() {
    let at = |kind, seconds: i64| State { at_micros: seconds * SECOND, ..state(kind) };
    let mut run = run(RunKind::TaskRun, &[]);
    run.enter(at(StateType::Pending, 1));
    run.enter(at(StateType::Running, 2));
    run.enter(at(StateType::Failed, 5));
    run.enter(at(StateType::Running, 6));
    assert_eq!((run.run_count, run.end_micros), (1, None));
    run.enter(at(StateType::Completed, 10));
    assert_eq!(run.start_micros, Some(2 * SECOND));
    assert_eq!(run.end_micros, Some(10 * SECOND));
    assert_eq!(run.total_run_micros, 7 * SECOND);
}

fn paused(details: serde_json::Value) -> State {
    let Value::Object(details) = details else { panic!("no details: {details}") };
    State { details, ..state(StateType::Paused) }
}

#[test]
fn a_flow_run_pauses_once_for_each_key_until_it_runs_from_its_beginning() {
    let first = || paused(json!({"pause_key": "1"}));
    let mut flow = run(RunKind::FlowRun, &[StateType::Pending, StateType::Running]);
    check(&flow, first(), None, "accept Paused");
    flow.enter(first());
    check(&flow, first(), None, "reject");
    check(&flow, resumed(Uuid::nil(), 11 * SECOND), None, "accept Running");
    flow.enter(resumed(Uuid::nil(), 11 * SECOND));
    assert_eq!(flow.details["empirical_policy"], json!({"pause_keys": ["1"], "resuming": true}));
    check(&flow, first(), None, "reject");
    check(&flow, paused(json!({"pause_key": "2"})), None, "accept Paused");

    // A retry, and a run that was over, begin again.
    flow.enter(State { name: "AwaitingRetry".to_owned(), ..state(StateType::Scheduled) });
    assert_eq!(flow.details["empirical_policy"], json!({"pause_keys": [], "resuming": false}));
    flow.enter(state(StateType::Running));
    flow.enter(first());
    flow.enter(resumed(Uuid::nil(), 12 * SECOND));
    flow.enter(state(StateType::Failed));
    check(&flow, state(StateType::Running), None, "accept Running");
    flow.enter(state(StateType::Running));
    check(&flow, first(), None, "accept Paused");
}

#[test]
fn only_a_running_flow_run_pauses() {
    check(&run(RunKind::FlowRun, &[]), state(StateType::Paused), None, "abort");
    let pending = run(RunKind::FlowRun, &[StateType::Pending]);
    check(&pending, state(StateType::Paused), None, "reject");
}

#[test]
fn a_flow_run_without_a_deployment_is_not_suspended() {
    let suspended =
        || State { name: "Suspended".to_owned(), ..paused(json!({"pause_reschedule": true})) };
    let mut flow = run(RunKind::FlowRun, &[StateType::Running]);
    let verdict = judge(&flow, suspended(), None, 0);
    assert_eq!(verdict, Verdict::Abort("Cannot suspend flows without a deployment.".to_owned()));
    flow.parent = Some(Uuid::now_v7());
    let verdict = judge(&flow, suspended(), None, 0);
    assert_eq!(verdict, Verdict::Abort("Cannot suspend subflows.".to_owned()));
    // A run that waits for an input is not paused either: inputs are not kept.
    let waits = paused(json!({"run_input_keyset": {"schema": "s"}}));
    check(&run(RunKind::FlowRun, &[StateType::Running]), waits, None, "abort");
}

/// The time in these tests is ten seconds after the epoch.
#[test]
fn a_pause_that_timed_out_ends_the_run() {
    let mut flow = run(RunKind::FlowRun, &[StateType::Running]);
    flow.enter(paused(json!({"pause_timeout": "1970-01-01T00:00:11Z"})));
    check(&flow, resumed(Uuid::nil(), 10 * SECOND), None, "accept Running");
    check(&flow, state(StateType::Completed), None, "accept Completed");
    check(&flow, state(StateType::Pending), None, "reject");
    flow.enter(resumed(Uuid::nil(), 10 * SECOND));
    flow.enter(paused(json!({"pause_timeout": "1970-01-01T00:00:09Z"})));
    let Verdict::Reject(Some(failed), _) =
        judge(&flow, resumed(Uuid::nil(), 10 * SECOND), None, 10 * SECOND)
    else {
        panic!("it went on")
    };
    assert_eq!(failed.kind, StateType::Failed);
    assert_eq!(failed.message.as_deref(), Some("The flow was running and never resumed."));
    // Its process is alive and has to be stopped.
    check(&flow, state(StateType::Cancelling), None, "accept Cancelling");
}
