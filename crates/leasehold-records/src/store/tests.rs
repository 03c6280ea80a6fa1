//! A full disk, and databases of older versions.

use uuid::Uuid;

use super::*;
use crate::event::{EventFilter, EventRow};
use crate::run::{Run, RunKind};
use crate::state::{State, StateType};

fn event() -> EventRow {
    EventRow { document: Some("x".repeat(60_000)), ..EventRow::new(Uuid::now_v7(), "x", 0) }
}

#[test]
fn a_failure_on_a_full_disk_says_that_the_disk_is_full() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let limit = |records: &Records, pages: u32| {
        records.connection.pragma_update(None, "max_page_count", pages).unwrap();
    };
    limit(&records, 40);
    let transaction = records.begin().unwrap();
    let failed = transaction.savepoint(|it| it.add_events(&mut vec![event(); 10]));
    assert!(matches!(failed, Err(RecordsError::Full)), "{failed:?}");
    drop(transaction);

    limit(&records, 1_000);
    let transaction = records.begin().unwrap();
    assert_eq!(transaction.last_event().unwrap(), 0);
    transaction.add_events(&mut [event()]).unwrap();
    transaction.commit().unwrap();
}

/// Records as the fourth version left them: with two runs, an event, and one that was pruned.
fn fourth_version() -> (Connection, Run) {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(&schema::STEPS[..4].concat()).unwrap();
    connection.pragma_update(None, "application_id", SCHEMA.application_id).unwrap();
    connection.pragma_update(None, "user_version", 4).unwrap();
    let mut run = Run::new(Uuid::now_v7(), RunKind::FlowRun, "brave-otter".to_owned(), 5);
    let details = [("scheduled_time".to_owned(), "1970-01-01T00:00:07Z".into())];
    run.enter(State {
        id: Uuid::now_v7(),
        kind: StateType::Scheduled,
        name: "AwaitingRetry".to_owned(),
        at_micros: 6,
        message: None,
        data: serde_json::Value::Null,
        details: details.into_iter().collect(),
    });
    let insert = "INSERT INTO runs VALUES (?1, 'flow_run', NULL, NULL, NULL, 'n', 'SCHEDULED', 0, 5, \
         6, NULL, ?2)";
    let document = serde_json::to_string(&run).unwrap();
    connection.execute(insert, (run.id.into_bytes(), document)).unwrap();
    connection.execute(insert, (Uuid::now_v7().into_bytes(), "{")).unwrap();
    let event =
        "INSERT INTO events VALUES (7, x'000102030405060708090a0b0c0d0e0f', 1, 'kind', 'db',
         NULL, NULL, NULL, NULL, NULL, NULL);
         UPDATE sqlite_sequence SET seq = 9";
    connection.execute_batch(event).unwrap();
    (connection, run)
}

#[test]
fn records_of_the_fourth_version_are_searched_and_numbered_as_before() {
    let (connection, run) = fourth_version();
    let mut records = Records::prepare(connection, Bounds::default(), None).unwrap();
    let transaction = records.begin().unwrap();
    let state_names = Some(vec!["AwaitingRetry".to_owned()]);
    let filter = Filter { state_names, limit: 2, ..Filter::default() };
    assert_eq!(transaction.runs(RunKind::FlowRun, &filter).unwrap(), [run]);
    let column = |name: &str| {
        let sql = format!("SELECT {name} FROM runs WHERE state_name = 'AwaitingRetry'");
        transaction.connection.query_row(&sql, [], |row| row.get::<_, Option<i64>>(0)).unwrap()
    };
    let columns = ["state_micros", "expected_micros", "start_micros", "due_micros"].map(column);
    assert_eq!(columns, [Some(6), Some(5), None, Some(7_000_000)]);

    let mut added = [EventRow::new(Uuid::now_v7(), "new", 2)];
    transaction.add_events(&mut added).unwrap();
    assert_eq!(added[0].number, 10);
    let every = EventFilter { limit_count: 9, ..EventFilter::default() };
    assert_eq!(transaction.events(&every).unwrap().events.len(), 2);
    let ledger = log_size::Size { count: 2, bytes: 134 + added[0].bytes() };
    let clients = log_size::Size { count: 0, bytes: 0 };
    let size = log_size::LogSize { last_number: 10, ledger, clients };
    assert_eq!(transaction.log_size().unwrap(), size);
}

/// The plan by which SQLite finds the running runs of a flow.
#[test]
fn the_running_runs_of_a_flow_are_found_without_its_other_runs() {
    let mut records = Records::in_memory(Bounds::default()).unwrap();
    let transaction = records.begin().unwrap();
    let filter = Filter {
        flows: Some(vec![Uuid::now_v7()]),
        states: Some(vec![StateType::Running]),
        limit: 2,
        ..Filter::default()
    };
    let mut conditions = filter::Conditions::new(RunKind::FlowRun, &filter);
    let sql = format!("EXPLAIN QUERY PLAN {}", runs::select(&mut conditions, &filter));
    let values = rusqlite::params_from_iter(conditions.values);
    let plan = transaction.all(&sql, values, |row| Ok(row.get::<_, String>(3)?)).unwrap();
    assert_eq!(plan, ["SEARCH runs USING INDEX runs_by_flow (flow=? AND state_type=?)"]);
}
