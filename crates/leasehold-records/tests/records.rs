//! What is recorded is there after a restart, once, until it is pruned.

use leasehold_records::{
    Bounds, EventFilter, EventRow, Filter, Flow, Identity, OpenError, Records, RecordsError, Run,
    RunKind, State, StateType,
};
use serde_json::{Map, Value};
use uuid::Uuid;

const SECOND: i64 = 1_000_000;

fn state(kind: StateType, at_micros: i64) -> State {
    State {
        id: Uuid::now_v7(),
        kind,
        name: kind.usual_name().to_owned(),
        at_micros,
        message: Some("as it is".to_owned()),
        data: Value::Null,
        details: Map::new(),
    }
}

fn run(kind: RunKind, at_micros: i64) -> Run {
    let mut run = Run {
        tags: vec!["database".to_owned()],
        details: Map::from_iter([("parameters".to_owned(), serde_json::json!({"x": [1, 2.5]}))]),
        ..Run::new(Uuid::now_v7(), kind, "brave-otter".to_owned(), at_micros)
    };
    run.enter(state(StateType::Running, at_micros));
    run
}

fn all() -> Filter {
    Filter { limit: 200, ..Filter::default() }
}

#[test]
fn a_restart_keeps_committed_runs_and_discards_others() {
    let directory = tempfile::tempdir().unwrap();
    let kept = run(RunKind::FlowRun, SECOND);
    {
        let mut records = Records::open(directory.path(), Bounds::default()).unwrap();
        let transaction = records.begin().unwrap();
        transaction.put_run(&kept).unwrap();
        transaction.commit().unwrap();
        let transaction = records.begin().unwrap();
        transaction.put_run(&run(RunKind::FlowRun, SECOND)).unwrap();
    }
    let mut records = Records::open(directory.path(), Bounds::default()).unwrap();
    let transaction = records.begin().unwrap();
    assert_eq!(transaction.runs(RunKind::FlowRun, &all()).unwrap(), [kept]);
}

#[test]
fn a_damaged_run_hides_no_other_run() {
    let directory = tempfile::tempdir().unwrap();
    let mut records = Records::open(directory.path(), Bounds::default()).unwrap();
    let (damaged, sound) = (run(RunKind::FlowRun, SECOND), run(RunKind::FlowRun, 2 * SECOND));
    let transaction = records.begin().unwrap();
    for run in [&damaged, &sound] {
        transaction.put_run(run).unwrap();
        transaction.record_heartbeat(run.id, 2 * SECOND).unwrap();
    }
    transaction.commit().unwrap();
    let connection = rusqlite::Connection::open(directory.path().join(Records::FILE)).unwrap();
    let damage = "UPDATE runs SET document = '{' WHERE id = ?1";
    connection.execute(damage, [damaged.id.into_bytes()]).unwrap();

    let transaction = records.begin().unwrap();
    let found = |runs: Vec<Run>| runs.into_iter().map(|run| run.id).collect::<Vec<_>>();
    assert_eq!(found(transaction.runs(RunKind::FlowRun, &all()).unwrap()), [sound.id]);
    assert_eq!(found(transaction.runs_with_heartbeat().unwrap()), [sound.id]);
    let running = Filter { state_names: Some(vec!["Running".to_owned()]), ..all() };
    assert_eq!(found(transaction.runs(RunKind::FlowRun, &running).unwrap()), [sound.id]);
    let read = transaction.run(RunKind::FlowRun, damaged.id);
    assert!(matches!(read, Err(RecordsError::Damaged(_))), "{read:?}");
}

#[test]
fn a_failed_savepoint_leaves_the_rest_of_its_transaction() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let (kept, lost) = (run(RunKind::FlowRun, SECOND), run(RunKind::FlowRun, 2 * SECOND));
    let transaction = records.begin().unwrap();
    transaction.savepoint(|transaction| transaction.put_run(&kept)).unwrap();
    let failed = transaction.savepoint(|transaction| {
        transaction.put_run(&lost)?;
        Err::<(), _>(serde_json::from_str::<Value>("{").unwrap_err().into())
    });
    assert!(matches!(failed, Err(RecordsError::Damaged(_))), "{failed:?}");
    transaction.commit().unwrap();
    let transaction = records.begin().unwrap();
    assert_eq!(transaction.runs(RunKind::FlowRun, &all()).unwrap(), [kept]);
}

#[test]
fn a_run_keeps_the_history_of_its_states() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let transaction = records.begin().unwrap();
    let mut run = run(RunKind::TaskRun, SECOND);
    transaction.put_run(&run).unwrap();
    transaction.put_run(&run).unwrap();
    run.enter(state(StateType::Completed, 2 * SECOND));
    transaction.put_run(&run).unwrap();
    let kinds: Vec<_> = transaction.states(run.id).unwrap().into_iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [StateType::Running, StateType::Completed]);
    assert_eq!(transaction.run(RunKind::TaskRun, run.id).unwrap(), Some(run.clone()));
    assert_eq!(transaction.run(RunKind::FlowRun, run.id).unwrap(), None);
}

#[test]
fn a_run_is_found_with_all_runs_within_it() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let transaction = records.begin().unwrap();
    let within = |parent: &Run, kind| Run { parent: Some(parent.id), ..run(kind, SECOND) };
    let flow = run(RunKind::FlowRun, SECOND);
    let task = within(&flow, RunKind::TaskRun);
    let subflow = within(&task, RunKind::FlowRun);
    let other = run(RunKind::FlowRun, SECOND);
    for run in [&flow, &task, &subflow, &other] {
        transaction.put_run(run).unwrap();
    }
    let found = transaction.run_tree(RunKind::FlowRun, flow.id).unwrap();
    let expected = [&flow, &task, &subflow].map(|run| (run.kind, run.id));
    assert_eq!(found, expected);
    assert_eq!(transaction.run_tree(RunKind::TaskRun, flow.id).unwrap(), []);
}

#[test]
fn a_run_is_not_written_over_one_of_another_kind() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let transaction = records.begin().unwrap();
    let task = run(RunKind::TaskRun, SECOND);
    transaction.put_run(&task).unwrap();
    transaction.put_run(&Run { id: task.id, ..run(RunKind::FlowRun, 2 * SECOND) }).unwrap();
    assert_eq!(transaction.run(RunKind::TaskRun, task.id).unwrap(), Some(task.clone()));
    assert_eq!(transaction.run(RunKind::FlowRun, task.id).unwrap(), None);
    assert_eq!(transaction.states(task.id).unwrap().len(), 1);
}

#[test]
fn a_run_is_found_by_its_identity() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let transaction = records.begin().unwrap();
    let identity = Identity("once".to_owned());
    let run = Run { identity: Some(identity.clone()), ..run(RunKind::FlowRun, SECOND) };
    transaction.put_run(&run).unwrap();
    assert_eq!(transaction.run_with_identity(&identity).unwrap(), Some(run));
    assert_eq!(transaction.run_with_identity(&Identity("twice".to_owned())).unwrap(), None);
}

#[test]
fn runs_are_filtered_and_the_newest_come_first() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let transaction = records.begin().unwrap();
    let parent = Uuid::now_v7();
    let first = Run { parent: Some(parent), ..run(RunKind::FlowRun, SECOND) };
    let mut second = Run { parent: Some(parent), ..run(RunKind::FlowRun, 2 * SECOND) };
    second.enter(state(StateType::Failed, 3 * SECOND));
    let other = run(RunKind::FlowRun, 4 * SECOND);
    for run in [&first, &second, &other] {
        transaction.put_run(run).unwrap();
    }
    let found = |filter: Filter| -> Vec<Uuid> {
        let runs = transaction.runs(RunKind::FlowRun, &filter).unwrap();
        runs.into_iter().map(|run| run.id).collect()
    };
    assert_eq!(found(all()), [other.id, second.id, first.id]);
    assert_eq!(found(Filter { parents: Some(vec![parent]), ..all() }), [second.id, first.id]);
    assert_eq!(found(Filter { states: Some(vec![StateType::Failed]), ..all() }), [second.id]);
    let named = |name: &str| Filter { state_names: Some(vec![name.to_owned()]), ..all() };
    assert_eq!(found(named("Failed")), [second.id]);
    assert!(found(named("FAILED")).is_empty());
    assert!(found(Filter { ids: Some(vec![]), ..all() }).is_empty());
    assert_eq!(found(Filter { limit: 1, offset: 1, ..all() }), [second.id]);
    assert_eq!(transaction.run_count(RunKind::FlowRun, &Filter::default()).unwrap(), 3);
}

#[test]
fn only_runs_that_ended_long_ago_are_pruned() {
    let bounds = Bounds { age_seconds_max: 10, ..Bounds::default() };
    let mut records = Records::in_memory(bounds).unwrap();
    let transaction = records.begin().unwrap();
    let running = run(RunKind::FlowRun, SECOND);
    let mut over = run(RunKind::FlowRun, SECOND);
    over.enter(state(StateType::Completed, 2 * SECOND));
    transaction.put_run(&running).unwrap();
    transaction.put_run(&over).unwrap();
    transaction.record_heartbeat(running.id, 9 * SECOND).unwrap();
    transaction.prune(12 * SECOND).unwrap();
    assert_eq!(transaction.run_count(RunKind::FlowRun, &Filter::default()).unwrap(), 2);
    assert!(!transaction.prune(13 * SECOND).unwrap());
    let runs = transaction.runs(RunKind::FlowRun, &all()).unwrap();
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [running.id]);
    assert_eq!(transaction.states(over.id).unwrap(), []);
}

#[test]
fn a_run_that_never_ended_is_pruned_when_it_and_the_runs_within_it_are_silent() {
    let bounds = Bounds { age_seconds_max: 10, ..Bounds::default() };
    let mut records = Records::in_memory(bounds).unwrap();
    let transaction = records.begin().unwrap();
    let flow = run(RunKind::FlowRun, SECOND);
    let task = Run { parent: Some(flow.id), ..run(RunKind::TaskRun, 3 * SECOND) };
    transaction.put_run(&flow).unwrap();
    transaction.put_run(&task).unwrap();
    let left = |now: i64| {
        transaction.prune(now * SECOND).unwrap();
        let count = |kind| transaction.run_count(kind, &Filter::default()).unwrap();
        count(RunKind::FlowRun) + count(RunKind::TaskRun)
    };
    assert_eq!(left(13), 2);
    assert_eq!(left(14), 1);
    assert_eq!(left(14), 0);
}

#[test]
fn far_too_many_runs_are_pruned_some_at_a_time() {
    let mut records = Records::in_memory(Bounds { runs_max: 2, ..Bounds::default() }).unwrap();
    let transaction = records.begin().unwrap();
    for _ in 0..2_500 {
        transaction.put_run(&run(RunKind::TaskRun, SECOND)).unwrap();
    }
    assert_eq!([(); 3].map(|()| transaction.prune(SECOND).unwrap()), [true, true, false]);
    assert_eq!(transaction.run_count(RunKind::TaskRun, &Filter::default()).unwrap(), 2);
}

#[test]
fn the_oldest_of_too_many_parts_of_blocks_are_pruned_first() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let transaction = records.begin().unwrap();
    for number in 0..1_002 {
        transaction.add_block(Uuid::now_v7(), &number.to_string(), &Value::Null).unwrap();
    }
    transaction.prune(0).unwrap();
    let is_there = |number: usize| transaction.block_by_key(&number.to_string()).unwrap().is_some();
    assert_eq!([0, 1, 2, 1_001].map(is_there), [false, false, true, true]);
}

#[test]
fn runs_that_are_over_are_pruned_first() {
    let mut records = Records::in_memory(Bounds { runs_max: 2, ..Bounds::default() }).unwrap();
    let transaction = records.begin().unwrap();
    let running = run(RunKind::FlowRun, SECOND);
    let mut over = run(RunKind::TaskRun, 2 * SECOND);
    over.enter(state(StateType::Completed, 3 * SECOND));
    let newest = run(RunKind::FlowRun, 4 * SECOND);
    for run in [&running, &over, &newest] {
        transaction.put_run(run).unwrap();
    }
    transaction.prune(5 * SECOND).unwrap();
    assert_eq!(transaction.runs(RunKind::FlowRun, &all()).unwrap(), [newest, running]);
    assert_eq!(transaction.runs(RunKind::TaskRun, &all()).unwrap(), []);
}

#[test]
fn a_running_flow_run_is_pruned_after_its_tasks_and_after_tasks_without_a_flow_run() {
    let mut records = Records::in_memory(Bounds { runs_max: 3, ..Bounds::default() }).unwrap();
    let transaction = records.begin().unwrap();
    let flow = run(RunKind::FlowRun, SECOND);
    let task = |parent: Uuid, at| Run { parent: Some(parent), ..run(RunKind::TaskRun, at) };
    let in_nothing_known = task(Uuid::now_v7(), 9 * SECOND);
    let younger = run(RunKind::FlowRun, 2 * SECOND);
    transaction.put_run(&flow).unwrap();
    transaction.put_run(&younger).unwrap();
    transaction.put_run(&in_nothing_known).unwrap();
    for at in 3..8 {
        transaction.put_run(&task(flow.id, at * SECOND)).unwrap();
    }
    assert!(!transaction.prune(9 * SECOND).unwrap());
    assert_eq!(transaction.runs(RunKind::FlowRun, &all()).unwrap(), [younger, flow]);
    let left = transaction.runs(RunKind::TaskRun, &all()).unwrap();
    assert_eq!(left.iter().map(|run| run.created_micros).collect::<Vec<_>>(), [7 * SECOND]);
}

#[test]
fn the_outermost_of_too_many_nested_runs_is_kept() {
    let mut records = Records::in_memory(Bounds { runs_max: 1, ..Bounds::default() }).unwrap();
    let transaction = records.begin().unwrap();
    let flow = run(RunKind::FlowRun, SECOND);
    let task = Run { parent: Some(flow.id), ..run(RunKind::TaskRun, SECOND) };
    let subflow = Run { parent: Some(task.id), ..run(RunKind::FlowRun, SECOND) };
    for run in [&flow, &task, &subflow] {
        transaction.put_run(run).unwrap();
    }
    assert_eq!([(); 2].map(|()| transaction.prune(SECOND).unwrap()), [true, false]);
    assert_eq!(transaction.runs(RunKind::FlowRun, &all()).unwrap(), [flow]);
}

#[test]
fn a_heartbeat_is_kept_until_its_run_is_over() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let transaction = records.begin().unwrap();
    let mut run = run(RunKind::FlowRun, SECOND);
    transaction.put_run(&run).unwrap();
    assert_eq!(transaction.runs_with_heartbeat().unwrap(), []);
    assert!(transaction.record_heartbeat(run.id, 5 * SECOND).unwrap());
    assert!(!transaction.record_heartbeat(Uuid::now_v7(), 5 * SECOND).unwrap());
    let heard: Vec<_> = transaction.runs_with_heartbeat().unwrap();
    assert_eq!(heard.first().and_then(|run| run.heartbeat_micros), Some(5 * SECOND));
    run.enter(state(StateType::Completed, 6 * SECOND));
    transaction.put_run(&run).unwrap();
    assert_eq!(transaction.runs_with_heartbeat().unwrap(), []);
}

#[test]
fn a_flow_is_found_by_its_name() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let transaction = records.begin().unwrap();
    let flow =
        Flow { id: Uuid::now_v7(), name: "etl".into(), created_micros: 1, details: Map::new() };
    transaction.add_flow(&flow).unwrap();
    assert_eq!(transaction.flow_by_name("etl").unwrap().as_ref(), Some(&flow));
    assert_eq!(transaction.flow(flow.id).unwrap(), Some(flow));
}

#[test]
fn records_of_a_newer_version_are_refused_and_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    drop(Records::open(directory.path(), Bounds::default()).unwrap());
    let path = directory.path().join(Records::FILE);
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let refused = Records::open(directory.path(), Bounds::default());
    assert!(matches!(refused, Err(OpenError::Newer { found: 99, .. })));
}

fn happened(limit: &str) -> EventRow {
    EventRow {
        limit: Some(limit.to_owned()),
        ..EventRow::new(Uuid::now_v7(), "lease.granted", SECOND)
    }
}

fn sent(bytes: usize) -> EventRow {
    EventRow {
        document: Some("x".repeat(bytes)),
        ..EventRow::new(Uuid::now_v7(), "x.happened", SECOND)
    }
}

fn every_event() -> EventFilter {
    EventFilter { limit_count: 1_000_000, ..EventFilter::default() }
}

/// Prunes all excess.
fn prune(records: &mut Records) -> Result<(), RecordsError> {
    loop {
        let transaction = records.begin()?;
        let is_behind = transaction.prune(SECOND)?;
        transaction.commit()?;
        if !is_behind {
            return Ok(());
        }
    }
}

#[test]
fn events_of_clients_never_push_out_events_of_leases() {
    let bounds = Bounds { events_max: 100, client_events_max: 1_000, ..Bounds::default() };
    let mut records = Records::in_memory(bounds).unwrap();
    let transaction = records.begin().unwrap();
    transaction.add_events(&mut [happened("held")]).unwrap();
    transaction.add_events(&mut vec![sent(2); 10_000]).unwrap();
    assert!(transaction.log_overflows().unwrap());
    transaction.commit().unwrap();
    prune(&mut records).unwrap();
    let transaction = records.begin().unwrap();
    assert!(!transaction.log_overflows().unwrap());
    let kept = transaction.events(&every_event()).unwrap().events;
    assert_eq!(kept.len(), 1_001);
    assert_eq!(kept[0].limit.as_deref(), Some("held"));
}

#[test]
fn the_log_is_bounded_in_bytes_and_pruned_from_its_oldest_event() {
    let bounds = Bounds { events_bytes_max: 2_000_000, ..Bounds::default() };
    let directory = tempfile::tempdir().unwrap();
    let mut records = Records::open(directory.path(), bounds).unwrap();
    let transaction = records.begin().unwrap();
    transaction.add_events(&mut vec![sent(50_000); 40]).unwrap();
    // What is rolled back takes no space.
    let failed = transaction.savepoint(|transaction| {
        transaction.add_events(&mut [sent(900_000)])?;
        Err::<(), _>(RecordsError::Damaged("the work fails".into()))
    });
    assert!(failed.is_err());
    transaction.commit().unwrap();
    prune(&mut records).unwrap();
    let numbers = |records: &mut Records| {
        let found = records.begin().unwrap().events(&every_event()).unwrap();
        found.events.iter().map(|event| event.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&mut records), (22..=40).collect::<Vec<_>>());
    // The size of the log survives a restart.
    drop(records);
    let bounds = Bounds { events_bytes_max: 200_000, ..bounds };
    let mut records = Records::open(directory.path(), bounds).unwrap();
    assert!(records.begin().unwrap().log_overflows().unwrap());
    prune(&mut records).unwrap();
    assert_eq!(numbers(&mut records), [40]);
}

#[test]
fn a_search_ends_after_a_number_of_bytes() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let transaction = records.begin().unwrap();
    transaction.add_events(&mut [10, 10, 10_000, 10].map(sent)).unwrap();
    let found = |after, bytes_max| {
        let filter = EventFilter { after, bytes_max: Some(bytes_max), ..every_event() };
        let found = transaction.events(&filter).unwrap();
        (found.events.len(), found.is_cut)
    };
    assert_eq!(found(0, 1_000), (2, true));
    // One event is always found, so that a search behind it goes on.
    assert_eq!(found(2, 1_000), (1, true));
    assert_eq!(found(3, 1_000), (1, false));
    assert_eq!(found(0, 100_000), (4, false));
}

#[test]
fn a_filter_passes_the_same_events_in_memory_and_in_the_database() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let transaction = records.begin().unwrap();
    let lease = Some(Uuid::now_v7());
    let holder = Some(("task_run".to_owned(), "7".to_owned()));
    let mut events = [
        happened("db"),
        EventRow { lease, ..happened("tag:db") },
        EventRow {
            holder: holder.clone(),
            at_micros: 9,
            ..EventRow::new(Uuid::now_v7(), "lease", 0)
        },
        EventRow { holder, ..EventRow::new(Uuid::now_v7(), "leases.granted", 9 * SECOND) },
        sent(3),
    ];
    transaction.add_events(&mut events).unwrap();
    let text = |text: &str| Some(text.to_owned());
    for filter in [
        every_event(),
        EventFilter { limit: text("db"), ..every_event() },
        EventFilter { holder: text("7"), ..every_event() },
        EventFilter { kind: text("lease"), ..every_event() },
        EventFilter { kind: text("lease.granted"), ..every_event() },
        EventFilter { lease, ..every_event() },
        EventFilter { since_micros: Some(SECOND), until_micros: Some(9 * SECOND), ..every_event() },
        EventFilter { after: 3, ..every_event() },
    ] {
        let found = transaction.events(&filter).unwrap().events;
        let passing: Vec<_> = events.iter().filter(|it| filter.passes(it)).cloned().collect();
        assert_eq!(found, passing, "{filter:?}");
    }
}
