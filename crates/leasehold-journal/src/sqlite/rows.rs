//! From changes to the tables of SQLite, and from them to a snapshot.

use std::borrow::Cow;

use leasehold_engine::{Changes, Fence, Snapshot};
use rusqlite::types::{ToSql, Type, ValueRef};
use rusqlite::{Connection, Row as SqliteRow, Statement, params, params_from_iter};

use super::statements;
use crate::LoadError;
use crate::rows::{LedgerRow, Row, Shared, Stored, Value, integer, read, row_sum};

/// Writes changes as the commit with this number, within a transaction.
pub(super) fn write(
    connection: &Connection,
    changes: &Changes,
    commit: u64,
) -> rusqlite::Result<()> {
    let ledger = LedgerRow::after(changes, commit).columns().map(Value::Integer);
    execute_with_sum(&mut *connection.prepare_cached(statements::UPDATE_LEDGER)?, &ledger)?;
    if let Some(resume) = changes.resumed {
        connection
            .prepare_cached(statements::MOVE_DEADLINES)?
            .execute(params![resume.after.as_micros(), integer(resume.by.as_micros())])?;
    }
    let deleted = changes.deleted_limits.iter().map(|id| id.0.to_be_bytes());
    for_each(connection, "DELETE FROM limits WHERE id = ?1", deleted, |delete, id| {
        delete.execute([id])
    })?;
    for_each(connection, statements::PUT_LIMIT, &changes.limits, put)?;
    let delete = |delete: &mut Statement<'_>, fence: &Fence| delete.execute([integer(fence.0)]);
    for_each(connection, "DELETE FROM leases WHERE fence = ?1", &changes.ended, delete)?;
    for_each(connection, statements::PUT_LEASE, &changes.leases, put)?;
    for_each(connection, statements::PUT_ENDING, &changes.endings, put)?;
    for_each(connection, "DELETE FROM endings WHERE fence = ?1", &changes.forgotten, delete)
}

/// Executes a statement for each of some things. Most commits have none of a kind, and need no
/// statement then.
fn for_each<T>(
    connection: &Connection,
    sql: &str,
    things: impl IntoIterator<Item = T>,
    execute: impl Fn(&mut Statement<'_>, T) -> rusqlite::Result<usize>,
) -> rusqlite::Result<()> {
    let mut things = things.into_iter().peekable();
    if things.peek().is_none() {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(sql)?;
    things.try_for_each(|thing| execute(&mut statement, thing).map(drop))
}

fn put<T: Stored>(put: &mut Statement<'_>, stored: &T) -> rusqlite::Result<usize> {
    execute_with_sum(put, &stored.to_row())
}

/// Executes a statement whose parameters are the columns of a row, followed by their sum.
fn execute_with_sum(statement: &mut Statement<'_>, row: &[Value<'_>]) -> rusqlite::Result<usize> {
    let sum = row_sum(row);
    let columns = row.iter().map(|value| value as &dyn ToSql);
    statement.execute(params_from_iter(columns.chain([&sum as &dyn ToSql])))
}

/// How many commits are durable.
pub(super) fn commits(connection: &Connection) -> rusqlite::Result<u64> {
    read_ledger(connection).map(|ledger| ledger.commits)
}

fn read_ledger(connection: &Connection) -> rusqlite::Result<LedgerRow> {
    connection.query_row(statements::READ_LEDGER, [], |row| {
        let columns = [row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get::<_, i64>(4)?];
        LedgerRow::from_columns(columns, row.get(5)?).map_err(|reason| damaged(0, reason))
    })
}

pub(super) fn load(connection: &Connection) -> Result<Snapshot, LoadError> {
    let ledger = read_ledger(connection).map_err(|error| load_error("ledger", error))?;
    let snapshot = Snapshot {
        limits: all(connection, statements::READ_LIMITS)?,
        leases: all(connection, statements::READ_LEASES)?,
        endings: all(connection, statements::READ_ENDINGS)?,
        ..Snapshot::default()
    };
    ledger.complete(snapshot)
}

fn all<T: Stored>(connection: &Connection, sql: &str) -> Result<Vec<T>, LoadError> {
    let mut shared = Shared::default();
    let mut collect = || -> rusqlite::Result<Vec<T>> {
        let mut statement = connection.prepare(sql)?;
        let read = |row: &SqliteRow<'_>| read_row(row, &mut shared);
        statement.query_map([], read)?.collect()
    };
    collect().map_err(|error| load_error(T::TABLE.name, error))
}

fn read_row<T: Stored>(row: &SqliteRow<'_>, shared: &mut Shared) -> rusqlite::Result<T> {
    let count = T::TABLE.columns.len();
    let columns = (0..count).map(|column| value(row.get_ref(column)?, column));
    let columns: Row<'_> = columns.collect::<rusqlite::Result<_>>()?;
    read(&columns, row.get(count)?, shared).map_err(|reason| damaged(count, reason))
}

fn value(value: ValueRef<'_>, column: usize) -> rusqlite::Result<Value<'_>> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(_) => Value::Text(Cow::Borrowed(value.as_str()?)),
        ValueRef::Blob(bytes) => Value::Id(bytes.try_into().map_err(|_| {
            damaged(column, format!("an id has 16 bytes, and this one {}", bytes.len()))
        })?),
    })
}

fn damaged(column: usize, reason: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, reason.into())
}

fn load_error(table: &'static str, error: rusqlite::Error) -> LoadError {
    if error.sqlite_error().is_some() {
        LoadError::storage(error)
    } else {
        LoadError::Damaged { table, reason: error.to_string() }
    }
}
