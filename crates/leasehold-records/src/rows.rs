//! From records to rows and back.

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OptionalExtension, Params, Row, params, params_from_iter};
use serde_json::Value;
use uuid::Uuid;

use crate::error::RecordsError;
use crate::run::{Flow, Identity, Run, RunKind};
use crate::state::State;
use crate::store::{Bounds, Filter, FlowSort, Order, Sort};

type Result<T> = std::result::Result<T, RecordsError>;

/// How many are forgotten at once: nobody waits for a great tidying.
const PRUNED_MAX: i64 = 1_000;
/// How many parts of blocks are kept. A client makes one for each directory of results.
const BLOCKS_MAX: i64 = 1_000;

/// The name of a run's state; of a document that is damaged, none.
const STATE_NAME: &str = "CASE WHEN json_valid(document) THEN document ->> '$.state.name' END";

pub(crate) fn flow_by_id(connection: &Connection, id: Uuid) -> Result<Option<Flow>> {
    let mut statement = connection.prepare_cached("SELECT * FROM flows WHERE id = ?1")?;
    statement.query_row([id.into_bytes()], |row| Ok(read_flow(row))).optional()?.transpose()
}

pub(crate) fn flow_by_name(connection: &Connection, name: &str) -> Result<Option<Flow>> {
    let mut statement = connection.prepare_cached("SELECT * FROM flows WHERE name = ?1")?;
    statement.query_row([name], |row| Ok(read_flow(row))).optional()?.transpose()
}

pub(crate) fn flows(
    connection: &Connection,
    sort: FlowSort,
    offset: u64,
    limit: u64,
) -> Result<Vec<Flow>> {
    let order = match sort {
        FlowSort::Newest => "created_micros DESC",
        FlowSort::Name(Order::Ascending) => "name",
        FlowSort::Name(Order::Descending) => "name DESC",
    };
    let mut statement = connection
        .prepare_cached(&format!("SELECT * FROM flows ORDER BY {order} LIMIT ?1 OFFSET ?2"))?;
    let flows = statement.query_map([integer(limit), integer(offset)], |row| Ok(read_flow(row)))?;
    flows.map(|flow| flow?).collect()
}

pub(crate) fn add_flow(connection: &Connection, flow: &Flow) -> Result<()> {
    let details = serde_json::to_string(&flow.details)?;
    connection.prepare_cached("INSERT INTO flows VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        flow.id.into_bytes(),
        flow.name,
        flow.created_micros,
        details
    ])?;
    Ok(())
}

pub(crate) fn run(connection: &Connection, kind: RunKind, id: Uuid) -> Result<Option<Run>> {
    let mut statement = connection.prepare_cached(
        "SELECT document, heartbeat_micros FROM runs WHERE id = ?1 AND kind = ?2",
    )?;
    let found = statement
        .query_row(params![id.into_bytes(), kind.as_str()], |row| Ok(read_run(row)))
        .optional()?;
    found.transpose()
}

pub(crate) fn run_like(connection: &Connection, identity: &Identity) -> Result<Option<Run>> {
    let mut statement = connection
        .prepare_cached("SELECT document, heartbeat_micros FROM runs WHERE identity = ?1")?;
    statement.query_row([&identity.0], |row| Ok(read_run(row))).optional()?.transpose()
}

pub(crate) fn runs(connection: &Connection, kind: RunKind, filter: &Filter) -> Result<Vec<Run>> {
    let (conditions, mut cells) = conditions(kind, filter);
    cells.push(Cell::Integer(integer(filter.limit)));
    cells.push(Cell::Integer(integer(filter.offset)));
    let order = order_by(filter.sort);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT document, heartbeat_micros FROM runs WHERE {conditions}
         ORDER BY {order} LIMIT ? OFFSET ?"
    ))?;
    let runs = statement.query_map(params_from_iter(cells), |row| Ok(read_run(row)))?;
    readable(runs)
}

pub(crate) fn run_count(connection: &Connection, kind: RunKind, filter: &Filter) -> Result<u64> {
    let (conditions, cells) = conditions(kind, filter);
    let mut statement =
        connection.prepare_cached(&format!("SELECT count(*) FROM runs WHERE {conditions}"))?;
    let count: i64 = statement.query_row(params_from_iter(cells), |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The ORDER BY clause of an order. Equal ones come by their ids, so that pages do not overlap.
fn order_by(sort: Sort) -> String {
    let of_document =
        |path: &str| format!("CASE WHEN json_valid(document) THEN document ->> '$.{path}' END");
    let expected = || format!("coalesce({}, created_micros)", of_document("expected_micros"));
    let (column, order) = match sort {
        Sort::Id => return "id DESC".to_owned(),
        Sort::Start(order) => {
            (format!("coalesce({}, {})", of_document("start_micros"), expected()), order)
        }
        Sort::ExpectedStart(order) => (expected(), order),
        Sort::Name(order) => ("name".to_owned(), order),
        Sort::Due(order) => {
            let scheduled = of_document("state.details.scheduled_time");
            let due = format!(
                "CASE WHEN state_type IN ('SCHEDULED', 'PENDING') THEN julianday({scheduled}) END"
            );
            (due, order)
        }
        Sort::End(order) => (of_document("end_micros"), order),
        Sort::Duration(order, now_micros) => {
            let (total, since) = (of_document("total_run_micros"), of_document("state.at_micros"));
            let running = format!(
                "CASE WHEN state_type = 'RUNNING' THEN max({now_micros} - {since}, 0) ELSE 0 END"
            );
            (format!("{total} + {running}"), order)
        }
    };
    let direction = match order {
        Order::Ascending => "ASC",
        Order::Descending => "DESC",
    };
    format!("{column} {direction}, id DESC")
}

/// The WHERE clause of a filter, and what its question marks stand for.
fn conditions(kind: RunKind, filter: &Filter) -> (String, Vec<Cell>) {
    let mut conditions = "kind = ?".to_owned();
    let mut cells = vec![Cell::Text(kind.as_str().to_owned())];
    let mut one_of = |column: &str, values: Option<Vec<Cell>>| {
        if let Some(values) = values {
            let marks = vec!["?"; values.len()].join(", ");
            conditions.push_str(&format!(" AND {column} IN ({marks})"));
            cells.extend(values);
        }
    };
    let ids = |ids: &Option<Vec<Uuid>>| -> Option<Vec<Cell>> {
        let ids = ids.as_ref()?;
        Some(ids.iter().map(|id| Cell::Blob(id.into_bytes().to_vec())).collect())
    };
    one_of("id", ids(&filter.ids));
    one_of("parent", ids(&filter.parents));
    one_of("flow", ids(&filter.flows));
    let texts = |texts: Vec<String>| -> Vec<Cell> { texts.into_iter().map(Cell::Text).collect() };
    one_of("name", filter.names.clone().map(texts));
    let words = filter
        .states
        .as_ref()
        .map(|kinds| kinds.iter().map(|kind| kind.as_str().to_owned()).collect());
    one_of("state_type", words.map(texts));
    one_of(STATE_NAME, filter.state_names.clone().map(texts));
    (conditions, cells)
}

pub(crate) fn put_run(connection: &Connection, run: &Run) -> Result<()> {
    let written = connection
        .prepare_cached(
            "INSERT INTO runs VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (id) DO UPDATE SET
                 name = ?6, state_type = ?7, is_over = ?8, updated_micros = max(updated_micros, ?10),
                 flow = ?3, parent = ?4, document = ?12
             WHERE runs.kind = excluded.kind",
        )?
        .execute(params![
            run.id.into_bytes(),
            run.kind.as_str(),
            run.flow.map(Uuid::into_bytes),
            run.parent.map(Uuid::into_bytes),
            run.identity.as_ref().map(|identity| &identity.0),
            run.name,
            run.state_type().map(crate::StateType::as_str),
            run.is_over(),
            run.created_micros,
            run.updated_micros,
            run.heartbeat_micros,
            serde_json::to_string(run)?,
        ])?;
    let Some(state) = run.state.as_ref().filter(|_| written > 0) else { return Ok(()) };
    connection
        .prepare_cached(
            "INSERT INTO states SELECT ?1, ?2, ?3, ?4
             WHERE NOT EXISTS (SELECT 1 FROM states WHERE run = ?1 AND at_micros = ?2 AND id = ?3)",
        )?
        .execute(params![
            run.id.into_bytes(),
            state.at_micros,
            state.id.into_bytes(),
            serde_json::to_string(state)?,
        ])?;
    Ok(())
}

/// A run with all that runs in it, itself first; nothing if it is not there.
pub(crate) fn within(
    connection: &Connection,
    kind: RunKind,
    id: Uuid,
) -> Result<Vec<(RunKind, Uuid)>> {
    let mut statement = connection.prepare_cached(
        "WITH RECURSIVE found (id, kind) AS (
             SELECT id, kind FROM runs WHERE id = ?1 AND kind = ?2
             UNION SELECT runs.id, runs.kind FROM runs JOIN found ON runs.parent = found.id)
         SELECT id, kind = 'flow_run' FROM found",
    )?;
    let found = statement.query_map(params![id.into_bytes(), kind.as_str()], |row| {
        let kind = if row.get(1)? { RunKind::FlowRun } else { RunKind::TaskRun };
        Ok((kind, Uuid::from_bytes(row.get(0)?)))
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

pub(crate) fn delete_run(connection: &Connection, kind: RunKind, id: Uuid) -> Result<bool> {
    let run = "SELECT rowid FROM runs WHERE id = ?1 AND kind = ?2";
    let was_there = forget(connection, run, params![id.into_bytes(), kind.as_str()])? > 0;
    if was_there && kind == RunKind::FlowRun {
        let tasks = "SELECT rowid FROM runs WHERE parent = ?1 AND kind = 'task_run'";
        forget(connection, tasks, [id.into_bytes()])?;
    }
    Ok(was_there)
}

pub(crate) fn states(connection: &Connection, run: Uuid) -> Result<Vec<State>> {
    let mut statement = connection
        .prepare_cached("SELECT document FROM states WHERE run = ?1 ORDER BY at_micros, rowid")?;
    let documents = statement.query_map([run.into_bytes()], |row| row.get::<_, String>(0))?;
    documents.map(|document| Ok(serde_json::from_str(&document?)?)).collect()
}

pub(crate) fn heard_of(connection: &Connection, flow_run: Uuid, at_micros: i64) -> Result<bool> {
    let changed = connection
        .prepare_cached(
            "UPDATE runs SET heartbeat_micros = ?2, updated_micros = max(updated_micros, ?2)
             WHERE id = ?1 AND kind = 'flow_run'",
        )?
        .execute(params![flow_run.into_bytes(), at_micros])?;
    Ok(changed > 0)
}

pub(crate) fn with_heartbeat(connection: &Connection) -> Result<Vec<Run>> {
    let mut statement = connection.prepare_cached(
        "SELECT document, heartbeat_micros FROM runs
         WHERE is_over = 0 AND heartbeat_micros IS NOT NULL",
    )?;
    let runs = statement.query_map([], |row| Ok(read_run(row)))?;
    readable(runs)
}

pub(crate) fn block(connection: &Connection, id: Uuid) -> Result<Option<Value>> {
    let mut statement = connection.prepare_cached("SELECT document FROM blocks WHERE id = ?1")?;
    let found: Option<String> =
        statement.query_row([id.into_bytes()], |row| row.get(0)).optional()?;
    Ok(found.map(|document| serde_json::from_str(&document)).transpose()?)
}

pub(crate) fn block_by_key(connection: &Connection, key: &str) -> Result<Option<Value>> {
    let mut statement = connection.prepare_cached("SELECT document FROM blocks WHERE key = ?1")?;
    let found: Option<String> = statement.query_row([key], |row| row.get(0)).optional()?;
    Ok(found.map(|document| serde_json::from_str(&document)).transpose()?)
}

pub(crate) fn put_block(connection: &Connection, id: Uuid, key: &str, block: &Value) -> Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO blocks VALUES (?1, ?2, ?3)")?
        .execute(params![id.into_bytes(), key, block.to_string()])?;
    Ok(())
}

/// Answers whether there may be more to forget. A run that never ended and of which nothing was
/// heard any more is as old as one that did; what it ran in is kept for as long as it.
pub(crate) fn prune(connection: &Connection, bounds: Bounds, now_micros: i64) -> Result<bool> {
    let age_micros = integer(bounds.age_seconds_max.saturating_mul(1_000_000));
    let old = forget(
        connection,
        "SELECT rowid FROM runs WHERE is_over IN (0, 1) AND updated_micros < ?1
             AND (is_over = 1 OR NOT EXISTS
                 (SELECT 1 FROM runs AS inner_run WHERE inner_run.parent = runs.id))
             LIMIT ?2",
        [now_micros.saturating_sub(age_micros), PRUNED_MAX],
    )?;
    let count: i64 =
        connection.prepare_cached("SELECT count(*) FROM runs")?.query_row([], |row| row.get(0))?;
    let excess = count.saturating_sub(integer(bounds.runs_max));
    let forgotten = forget_excess(connection, excess.min(PRUNED_MAX))?;
    // A flow is a name and little else, but a program may make up names.
    connection
        .prepare_cached(
            "DELETE FROM flows WHERE created_micros < ?1
             AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.flow = flows.id)",
        )?
        .execute([now_micros.saturating_sub(age_micros)])?;
    connection
        .prepare_cached(
            "DELETE FROM blocks WHERE rowid IN
             (SELECT rowid FROM blocks ORDER BY rowid DESC LIMIT -1 OFFSET ?1)",
        )?
        .execute([BLOCKS_MAX])?;
    let is_behind = forgotten > 0 && excess > forgotten;
    Ok(is_behind || old == PRUNED_MAX)
}

/// Those that are over go first. Of the others, those go that nothing runs in, so that a flow run
/// goes after its tasks: without its record its program fails. Whatever runs in nothing that is
/// known goes before what does, and task runs go before flow runs; most of them were left by
/// programs that were killed. Answers how many were forgotten.
fn forget_excess(connection: &Connection, excess: i64) -> Result<i64> {
    let mut forgotten = 0;
    for statement in [
        "SELECT rowid FROM runs WHERE is_over = 1 ORDER BY updated_micros LIMIT ?1",
        "SELECT rowid FROM runs WHERE is_over = 0
             AND NOT EXISTS (SELECT 1 FROM runs AS inner_run WHERE inner_run.parent = runs.id)
             ORDER BY parent IS NULL
                 OR EXISTS (SELECT 1 FROM runs AS outer_run WHERE outer_run.id = runs.parent),
                 kind DESC, updated_micros
             LIMIT ?1",
    ] {
        if forgotten < excess {
            forgotten += forget(connection, statement, [excess - forgotten])?;
        }
    }
    Ok(forgotten)
}

/// Forgets the runs whose rowids a statement selects, with their states. Answers how many.
fn forget(connection: &Connection, selected: &str, by: impl Params) -> Result<i64> {
    let rowids: Vec<i64> = connection
        .prepare_cached(selected)?
        .query_map(by, |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut states = connection
        .prepare_cached("DELETE FROM states WHERE run = (SELECT id FROM runs WHERE rowid = ?1)")?;
    let mut runs = connection.prepare_cached("DELETE FROM runs WHERE rowid = ?1")?;
    for rowid in &rowids {
        states.execute([rowid])?;
        runs.execute([rowid])?;
    }
    Ok(i64::try_from(rowids.len()).unwrap_or(i64::MAX))
}

fn read_flow(row: &Row<'_>) -> Result<Flow> {
    let details: String = row.get(3)?;
    Ok(Flow {
        id: Uuid::from_bytes(row.get(0)?),
        name: row.get(1)?,
        created_micros: row.get(2)?,
        details: match serde_json::from_str(&details)? {
            Value::Object(details) => details,
            _ => serde_json::Map::new(),
        },
    })
}

fn read_run(row: &Row<'_>) -> Result<Run> {
    let mut run: Run = serde_json::from_str(row.get_ref(0)?.as_str().map_err(into_sqlite)?)?;
    // Signs of life are too many to write a document for each.
    run.heartbeat_micros = row.get(1)?;
    Ok(run)
}

/// Those that can be read: one that is damaged must not hide all others. Whoever asks for it by
/// its id is told.
fn readable(runs: impl Iterator<Item = rusqlite::Result<Result<Run>>>) -> Result<Vec<Run>> {
    let mut readable = Vec::new();
    for run in runs {
        match run? {
            Ok(run) => readable.push(run),
            Err(RecordsError::Damaged(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(readable)
}

fn into_sqlite(error: rusqlite::types::FromSqlError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
