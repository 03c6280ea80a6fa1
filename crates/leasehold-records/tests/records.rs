//! What is recorded is there after a restart, once, and not for ever.

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
fn what_was_closed_is_there_after_a_restart_and_what_was_not_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let kept = run(RunKind::FlowRun, SECOND);
    {
        let mut records = Records::open(directory.path(), Bounds::default()).unwrap();
        let book = records.book().unwrap();
        book.put(&kept).unwrap();
        book.close().unwrap();
        let book = records.book().unwrap();
        book.put(&run(RunKind::FlowRun, SECOND)).unwrap();
    }
    let mut records = Records::open(directory.path(), Bounds::default()).unwrap();
    let book = records.book().unwrap();
    assert_eq!(book.runs(RunKind::FlowRun, &all()).unwrap(), [kept]);
}

#[test]
fn a_run_that_is_damaged_hides_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let mut records = Records::open(directory.path(), Bounds::default()).unwrap();
    let (damaged, sound) = (run(RunKind::FlowRun, SECOND), run(RunKind::FlowRun, 2 * SECOND));
    let book = records.book().unwrap();
    for run in [&damaged, &sound] {
        book.put(run).unwrap();
        book.heard_of(run.id, 2 * SECOND).unwrap();
    }
    book.close().unwrap();
    let connection = rusqlite::Connection::open(directory.path().join(Records::FILE)).unwrap();
    let damage = "UPDATE runs SET document = '{' WHERE id = ?1";
    connection.execute(damage, [damaged.id.into_bytes()]).unwrap();

    let book = records.book().unwrap();
    let found = |runs: Vec<Run>| runs.into_iter().map(|run| run.id).collect::<Vec<_>>();
    assert_eq!(found(book.runs(RunKind::FlowRun, &all()).unwrap()), [sound.id]);
    assert_eq!(found(book.with_heartbeat().unwrap()), [sound.id]);
    let running = Filter { state_names: Some(vec!["Running".to_owned()]), ..all() };
    assert_eq!(found(book.runs(RunKind::FlowRun, &running).unwrap()), [sound.id]);
    let read = book.run(RunKind::FlowRun, damaged.id);
    assert!(matches!(read, Err(RecordsError::Damaged(_))), "{read:?}");
}

#[test]
fn what_fails_halfway_leaves_the_rest_of_the_book() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let (kept, lost) = (run(RunKind::FlowRun, SECOND), run(RunKind::FlowRun, 2 * SECOND));
    let book = records.book().unwrap();
    book.wholly(|book| book.put(&kept)).unwrap();
    let failed = book.wholly(|book| {
        book.put(&lost)?;
        Err::<(), _>(serde_json::from_str::<Value>("{").unwrap_err().into())
    });
    assert!(matches!(failed, Err(RecordsError::Damaged(_))), "{failed:?}");
    book.close().unwrap();
    let book = records.book().unwrap();
    assert_eq!(book.runs(RunKind::FlowRun, &all()).unwrap(), [kept]);
}

#[test]
fn a_run_keeps_the_history_of_its_states() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let book = records.book().unwrap();
    let mut run = run(RunKind::TaskRun, SECOND);
    book.put(&run).unwrap();
    book.put(&run).unwrap();
    run.enter(state(StateType::Completed, 2 * SECOND));
    book.put(&run).unwrap();
    let kinds: Vec<_> = book.states(run.id).unwrap().into_iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [StateType::Running, StateType::Completed]);
    assert_eq!(book.run(RunKind::TaskRun, run.id).unwrap(), Some(run.clone()));
    assert_eq!(book.run(RunKind::FlowRun, run.id).unwrap(), None);
}

#[test]
fn a_run_is_found_with_all_that_runs_in_it() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let book = records.book().unwrap();
    let within = |parent: &Run, kind| Run { parent: Some(parent.id), ..run(kind, SECOND) };
    let flow = run(RunKind::FlowRun, SECOND);
    let task = within(&flow, RunKind::TaskRun);
    let subflow = within(&task, RunKind::FlowRun);
    let other = run(RunKind::FlowRun, SECOND);
    for run in [&flow, &task, &subflow, &other] {
        book.put(run).unwrap();
    }
    let found = book.within(RunKind::FlowRun, flow.id).unwrap();
    let expected = [&flow, &task, &subflow].map(|run| (run.kind, run.id));
    assert_eq!(found, expected);
    assert_eq!(book.within(RunKind::TaskRun, flow.id).unwrap(), []);
}

#[test]
fn a_run_is_not_written_over_one_of_another_kind() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let book = records.book().unwrap();
    let task = run(RunKind::TaskRun, SECOND);
    book.put(&task).unwrap();
    book.put(&Run { id: task.id, ..run(RunKind::FlowRun, 2 * SECOND) }).unwrap();
    assert_eq!(book.run(RunKind::TaskRun, task.id).unwrap(), Some(task.clone()));
    assert_eq!(book.run(RunKind::FlowRun, task.id).unwrap(), None);
    assert_eq!(book.states(task.id).unwrap().len(), 1);
}

#[test]
fn a_run_is_found_by_what_makes_it_the_same() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let book = records.book().unwrap();
    let identity = Identity("once".to_owned());
    let run = Run { identity: Some(identity.clone()), ..run(RunKind::FlowRun, SECOND) };
    book.put(&run).unwrap();
    assert_eq!(book.run_like(&identity).unwrap(), Some(run));
    assert_eq!(book.run_like(&Identity("twice".to_owned())).unwrap(), None);
}

#[test]
fn runs_are_filtered_and_the_newest_come_first() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let book = records.book().unwrap();
    let parent = Uuid::now_v7();
    let first = Run { parent: Some(parent), ..run(RunKind::FlowRun, SECOND) };
    let mut second = Run { parent: Some(parent), ..run(RunKind::FlowRun, 2 * SECOND) };
    second.enter(state(StateType::Failed, 3 * SECOND));
    let other = run(RunKind::FlowRun, 4 * SECOND);
    for run in [&first, &second, &other] {
        book.put(run).unwrap();
    }
    let found = |filter: Filter| -> Vec<Uuid> {
        let runs = book.runs(RunKind::FlowRun, &filter).unwrap();
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
    assert_eq!(book.run_count(RunKind::FlowRun, &Filter::default()).unwrap(), 3);
}

#[test]
fn runs_that_have_long_been_over_are_forgotten_and_others_are_not() {
    let bounds = Bounds { age_seconds_max: 10, ..Bounds::default() };
    let mut records = Records::in_memory(bounds).unwrap();
    let book = records.book().unwrap();
    let running = run(RunKind::FlowRun, SECOND);
    let mut over = run(RunKind::FlowRun, SECOND);
    over.enter(state(StateType::Completed, 2 * SECOND));
    book.put(&running).unwrap();
    book.put(&over).unwrap();
    book.heard_of(running.id, 9 * SECOND).unwrap();
    book.prune(12 * SECOND).unwrap();
    assert_eq!(book.run_count(RunKind::FlowRun, &Filter::default()).unwrap(), 2);
    assert!(!book.prune(13 * SECOND).unwrap());
    let runs = book.runs(RunKind::FlowRun, &all()).unwrap();
    assert_eq!(runs.iter().map(|run| run.id).collect::<Vec<_>>(), [running.id]);
    assert_eq!(book.states(over.id).unwrap(), []);
}

#[test]
fn a_run_that_never_ended_is_forgotten_when_nothing_is_heard_of_it_or_of_what_runs_in_it() {
    let bounds = Bounds { age_seconds_max: 10, ..Bounds::default() };
    let mut records = Records::in_memory(bounds).unwrap();
    let book = records.book().unwrap();
    let flow = run(RunKind::FlowRun, SECOND);
    let task = Run { parent: Some(flow.id), ..run(RunKind::TaskRun, 3 * SECOND) };
    book.put(&flow).unwrap();
    book.put(&task).unwrap();
    let left = |now: i64| {
        book.prune(now * SECOND).unwrap();
        let count = |kind| book.run_count(kind, &Filter::default()).unwrap();
        count(RunKind::FlowRun) + count(RunKind::TaskRun)
    };
    assert_eq!(left(13), 2);
    assert_eq!(left(14), 1);
    assert_eq!(left(14), 0);
}

#[test]
fn of_far_too_many_runs_some_go_at_a_time_until_there_is_no_excess() {
    let mut records = Records::in_memory(Bounds { runs_max: 2, ..Bounds::default() }).unwrap();
    let book = records.book().unwrap();
    for _ in 0..2_500 {
        book.put(&run(RunKind::TaskRun, SECOND)).unwrap();
    }
    assert_eq!([(); 3].map(|()| book.prune(SECOND).unwrap()), [true, true, false]);
    assert_eq!(book.run_count(RunKind::TaskRun, &Filter::default()).unwrap(), 2);
}

#[test]
fn of_too_many_parts_of_blocks_the_oldest_go_first() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let book = records.book().unwrap();
    for number in 0..1_002 {
        book.put_block(Uuid::now_v7(), &number.to_string(), &Value::Null).unwrap();
    }
    book.prune(0).unwrap();
    let is_there = |number: usize| book.block_by_key(&number.to_string()).unwrap().is_some();
    assert_eq!([0, 1, 2, 1_001].map(is_there), [false, false, true, true]);
}

#[test]
fn of_too_many_runs_those_that_are_over_go_first() {
    let mut records = Records::in_memory(Bounds { runs_max: 2, ..Bounds::default() }).unwrap();
    let book = records.book().unwrap();
    let running = run(RunKind::FlowRun, SECOND);
    let mut over = run(RunKind::TaskRun, 2 * SECOND);
    over.enter(state(StateType::Completed, 3 * SECOND));
    let newest = run(RunKind::FlowRun, 4 * SECOND);
    for run in [&running, &over, &newest] {
        book.put(run).unwrap();
    }
    book.prune(5 * SECOND).unwrap();
    assert_eq!(book.runs(RunKind::FlowRun, &all()).unwrap(), [newest, running]);
    assert_eq!(book.runs(RunKind::TaskRun, &all()).unwrap(), []);
}

#[test]
fn of_too_many_runs_that_are_not_over_a_flow_run_goes_after_its_tasks_and_after_those_of_others() {
    let mut records = Records::in_memory(Bounds { runs_max: 3, ..Bounds::default() }).unwrap();
    let book = records.book().unwrap();
    let flow = run(RunKind::FlowRun, SECOND);
    let task = |parent: Uuid, at| Run { parent: Some(parent), ..run(RunKind::TaskRun, at) };
    let in_nothing_known = task(Uuid::now_v7(), 9 * SECOND);
    let younger = run(RunKind::FlowRun, 2 * SECOND);
    book.put(&flow).unwrap();
    book.put(&younger).unwrap();
    book.put(&in_nothing_known).unwrap();
    for at in 3..8 {
        book.put(&task(flow.id, at * SECOND)).unwrap();
    }
    assert!(!book.prune(9 * SECOND).unwrap());
    assert_eq!(book.runs(RunKind::FlowRun, &all()).unwrap(), [younger, flow]);
    let left = book.runs(RunKind::TaskRun, &all()).unwrap();
    assert_eq!(left.iter().map(|run| run.created_micros).collect::<Vec<_>>(), [7 * SECOND]);
}

#[test]
fn of_far_too_many_runs_in_runs_the_outermost_is_left() {
    let mut records = Records::in_memory(Bounds { runs_max: 1, ..Bounds::default() }).unwrap();
    let book = records.book().unwrap();
    let flow = run(RunKind::FlowRun, SECOND);
    let task = Run { parent: Some(flow.id), ..run(RunKind::TaskRun, SECOND) };
    let subflow = Run { parent: Some(task.id), ..run(RunKind::FlowRun, SECOND) };
    for run in [&flow, &task, &subflow] {
        book.put(run).unwrap();
    }
    assert_eq!([(); 2].map(|()| book.prune(SECOND).unwrap()), [true, false]);
    assert_eq!(book.runs(RunKind::FlowRun, &all()).unwrap(), [flow]);
}

#[test]
fn a_sign_of_life_is_remembered_until_the_run_is_over() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let book = records.book().unwrap();
    let mut run = run(RunKind::FlowRun, SECOND);
    book.put(&run).unwrap();
    assert_eq!(book.with_heartbeat().unwrap(), []);
    assert!(book.heard_of(run.id, 5 * SECOND).unwrap());
    assert!(!book.heard_of(Uuid::now_v7(), 5 * SECOND).unwrap());
    let heard: Vec<_> = book.with_heartbeat().unwrap();
    assert_eq!(heard.first().and_then(|run| run.heartbeat_micros), Some(5 * SECOND));
    run.enter(state(StateType::Completed, 6 * SECOND));
    book.put(&run).unwrap();
    assert_eq!(book.with_heartbeat().unwrap(), []);
}

#[test]
fn a_flow_is_found_by_its_name() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let book = records.book().unwrap();
    let flow =
        Flow { id: Uuid::now_v7(), name: "etl".into(), created_micros: 1, details: Map::new() };
    book.add_flow(&flow).unwrap();
    assert_eq!(book.flow_by_name("etl").unwrap().as_ref(), Some(&flow));
    assert_eq!(book.flow(flow.id).unwrap(), Some(flow));
}

#[test]
fn records_of_a_newer_version_are_left_alone() {
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
    EventRow { limit: Some(limit.to_owned()), ..EventRow::new("lease.granted", SECOND) }
}

fn sent(bytes: usize) -> EventRow {
    EventRow { document: Some("x".repeat(bytes)), ..EventRow::new("x.happened", SECOND) }
}

fn every_event() -> EventFilter {
    EventFilter { limit_count: 1_000_000, ..EventFilter::default() }
}

/// Forgets all that is too much.
fn prune(records: &mut Records) -> Result<(), RecordsError> {
    loop {
        let book = records.book()?;
        let is_behind = book.prune(SECOND)?;
        book.close()?;
        if !is_behind {
            return Ok(());
        }
    }
}

#[test]
fn what_clients_send_never_pushes_out_what_happened_to_a_lease() {
    let bounds = Bounds { events_max: 100, client_events_max: 1_000, ..Bounds::default() };
    let mut records = Records::in_memory(bounds).unwrap();
    let book = records.book().unwrap();
    book.add_event(&happened("held")).unwrap();
    for _ in 0..10_000 {
        book.add_event(&sent(2)).unwrap();
    }
    book.close().unwrap();
    assert!(records.overflow());
    prune(&mut records).unwrap();
    assert!(!records.overflow());
    let book = records.book().unwrap();
    let kept = book.events(&every_event()).unwrap().events;
    assert_eq!(kept.len(), 1_001);
    assert_eq!(kept[0].limit.as_deref(), Some("held"));
}

#[test]
fn the_log_is_bounded_in_bytes_and_forgets_the_oldest_first() {
    let bounds = Bounds { events_bytes_max: 2_000_000, ..Bounds::default() };
    let directory = tempfile::tempdir().unwrap();
    let mut records = Records::open(directory.path(), bounds).unwrap();
    let book = records.book().unwrap();
    for _ in 0..40 {
        book.add_event(&sent(50_000)).unwrap();
    }
    // What does not become durable takes no room.
    book.wholly(|book| {
        book.add_event(&sent(900_000))?;
        Err::<(), _>(RecordsError::Damaged(serde_json::from_str::<u8>("x").unwrap_err()))
    })
    .unwrap_err();
    book.close().unwrap();
    prune(&mut records).unwrap();
    let numbers = |records: &mut Records| {
        let found = records.book().unwrap().events(&every_event()).unwrap();
        found.events.iter().map(|event| event.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&mut records), (22..=40).collect::<Vec<_>>());
    // What is in the file counts after a restart as well.
    drop(records);
    let bounds = Bounds { events_bytes_max: 200_000, ..bounds };
    let mut records = Records::open(directory.path(), bounds).unwrap();
    assert!(records.overflow());
    prune(&mut records).unwrap();
    assert_eq!(numbers(&mut records), [40]);
}

#[test]
fn a_search_ends_where_it_has_found_so_many_bytes() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let book = records.book().unwrap();
    for bytes in [10, 10, 10_000, 10] {
        book.add_event(&sent(bytes)).unwrap();
    }
    let found = |after, bytes_max| {
        let filter = EventFilter { after, bytes_max: Some(bytes_max), ..every_event() };
        let found = book.events(&filter).unwrap();
        (found.events.len(), found.is_cut)
    };
    assert_eq!(found(0, 1_000), (2, true));
    // One is always found, so that a search behind it goes on.
    assert_eq!(found(2, 1_000), (1, true));
    assert_eq!(found(3, 1_000), (1, false));
    assert_eq!(found(0, 100_000), (4, false));
}

#[test]
fn a_filter_passes_the_same_events_in_memory_as_in_the_file() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let book = records.book().unwrap();
    let lease = Some(Uuid::now_v7());
    let holder = Some(("task_run".to_owned(), "7".to_owned()));
    let events = [
        happened("db"),
        EventRow { lease, ..happened("tag:db") },
        EventRow { holder: holder.clone(), at_micros: 9, ..EventRow::new("lease", 0) },
        EventRow { holder, ..EventRow::new("leases.granted", 9 * SECOND) },
        sent(3),
    ];
    let events: Vec<_> = (events.into_iter())
        .map(|event| EventRow { number: book.add_event(&event).unwrap(), ..event })
        .collect();
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
        let found = book.events(&filter).unwrap().events;
        let passing: Vec<_> = events.iter().filter(|it| filter.passes(it)).cloned().collect();
        assert_eq!(found, passing, "{filter:?}");
    }
}
