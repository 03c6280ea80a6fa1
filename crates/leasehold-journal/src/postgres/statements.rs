//! What is sent to PostgreSQL for changes: one statement for all rows of a kind, with an array for
//! each column. So a commit has the same few statements for one row and for thousands.

use std::borrow::Cow;
use std::fmt::Write as _;

use leasehold_engine::{Changes, Ending, Fence, Lease, Timestamp};
use tokio_postgres::types::{ToSql, Type};

use super::text::stored;
use crate::rows::{Kind, LedgerRow, Stored, Table, Value, integer, row_sum};

/// A statement with its parameters.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) sql: Cow<'static, str>,
    pub(super) parameters: Vec<Parameter>,
}

pub(super) type Parameter = (Box<dyn ToSql + Send + Sync>, Type);

/// Begins a commit. If the connection is cut in the middle, the server must not keep the ledger's
/// row locked for longer than its owner keeps the ledger.
pub(super) fn begin(idle_max_millis: u128) -> String {
    format!("BEGIN; SET LOCAL idle_in_transaction_session_timeout = {idle_max_millis}")
}

pub(super) const COMMIT: &str = "COMMIT";

/// The first statement of each commit: under another epoch, or after another commit than the last
/// one, the NULL fails it, and with it the transaction.
const UPDATE_LEDGER: &str = "\
    UPDATE leasehold.ledger SET \
    epoch = CASE WHEN epoch = $1 AND commits = $2 THEN epoch END, \
    owned_until = now() + $3 * INTERVAL '1 second', \
    at_micros = $4, next_fence = $5, commits = $6, limits = $7, leases = $8, sum = $9 \
    WHERE only_row = 1";

pub(super) fn update_ledger(epoch: i64, seconds: f64, ledger: &LedgerRow) -> Statement {
    let columns = ledger.columns();
    let sum = row_sum(&columns.map(Value::Integer));
    let before = integer(ledger.commits.saturating_sub(1));
    let mut parameters = vec![int8(epoch), int8(before), (Box::new(seconds) as _, Type::FLOAT8)];
    parameters.extend(columns.into_iter().chain([sum]).map(int8));
    Statement { sql: UPDATE_LEDGER.into(), parameters }
}

pub(super) fn int8(number: i64) -> Parameter {
    (Box::new(number), Type::INT8)
}

/// The columns and the sum of a table, in order. `order` is a list of columns, or empty.
pub(super) fn select(table: &Table, filter: &str, order: &str) -> String {
    let order = if order.is_empty() { table.columns[0].0 } else { order };
    format!("SELECT {}, sum FROM leasehold.{} {filter} ORDER BY {order}", names(table), table.name)
}

fn names(table: &Table) -> String {
    let names: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// The statements for the rows of changes, in the order in which they are applied.
pub(super) fn of_changes(changes: &Changes) -> Vec<Statement> {
    let limits = changes.deleted_limits.iter().map(|id| id.0.to_be_bytes().to_vec());
    let limits: Vec<Vec<u8>> = limits.collect();
    let mut statements = Vec::new();
    if !limits.is_empty() {
        let parameters = vec![(Box::new(limits) as _, Type::BYTEA_ARRAY)];
        let sql = "DELETE FROM leasehold.limits WHERE id = ANY($1)".into();
        statements.push(Statement { sql, parameters });
    }
    statements.extend(put(&changes.limits));
    let ended = "DELETE FROM leasehold.leases WHERE fence = ANY($1)";
    statements.extend(delete(ended, &changes.ended));
    statements.extend(put(&changes.leases));
    statements.extend(put::<Ending>(&changes.endings));
    let forgotten = "DELETE FROM leasehold.endings WHERE fence = ANY($1)";
    statements.extend(delete(forgotten, &changes.forgotten));
    statements
}

fn delete(sql: &'static str, fences: &[Fence]) -> Option<Statement> {
    if fences.is_empty() {
        return None;
    }
    let fences: Vec<i64> = fences.iter().map(|fence| integer(fence.0)).collect();
    let parameters = vec![(Box::new(fences) as _, Type::INT8_ARRAY)];
    Some(Statement { sql: sql.into(), parameters })
}

/// Inserts rows, or replaces those with the same key.
fn put<T: Stored>(things: &[T]) -> Option<Statement> {
    if things.is_empty() {
        return None;
    }
    let mut columns: Vec<Column> =
        T::TABLE.columns.iter().map(|(_, kind)| Column::new(*kind, things.len())).collect();
    let mut sums = Vec::with_capacity(things.len());
    for thing in things {
        let row = thing.to_row();
        sums.push(row_sum(&row));
        columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
    }
    let sums = (Box::new(sums) as _, Type::INT8_ARRAY);
    let parameters = columns.into_iter().map(Column::into_parameter).chain([sums]).collect();
    Some(Statement { sql: put_sql(&T::TABLE).into(), parameters })
}

fn put_sql(table: &Table) -> String {
    let all = || table.columns.iter().copied().chain([("sum", Kind::Integer)]);
    let names: Vec<_> = all().map(|(name, _)| name).collect();
    let mut arrays = String::new();
    for (index, (_, kind)) in all().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let type_name = match kind {
            Kind::Integer => "BIGINT",
            Kind::Real => "DOUBLE PRECISION",
            Kind::Text => "TEXT",
            Kind::Id => "BYTEA",
        };
        let _ = write!(arrays, "{separator}${}::{type_name}[]", index + 1);
    }
    let replaced: Vec<_> = names.iter().skip(1).map(|it| format!("{it} = excluded.{it}")).collect();
    let (all, key) = (names.join(", "), names[0]);
    format!(
        "INSERT INTO leasehold.{} ({all}) SELECT {all} FROM UNNEST({arrays}) AS given ({all}) \
         ON CONFLICT ({key}) DO UPDATE SET {}",
        table.name,
        replaced.join(", ")
    )
}

/// After a downtime: new deadlines and sums of leases.
pub(super) fn move_deadlines(moved: &[Lease]) -> Option<Statement> {
    if moved.is_empty() {
        return None;
    }
    let column = |value: fn(&Lease) -> i64| {
        let numbers: Vec<i64> = moved.iter().map(value).collect();
        (Box::new(numbers) as _, Type::INT8_ARRAY)
    };
    let parameters = vec![
        column(|lease| integer(lease.fence.0)),
        column(|lease| lease.deadline.map_or(0, Timestamp::as_micros)),
        column(|lease| row_sum(&lease.to_row())),
    ];
    let sql = "UPDATE leasehold.leases SET deadline_micros = moved.deadline, sum = moved.sum \
               FROM UNNEST($1::BIGINT[], $2::BIGINT[], $3::BIGINT[]) \
               AS moved (fence, deadline, sum) WHERE leases.fence = moved.fence";
    Some(Statement { sql: sql.into(), parameters })
}

/// A column of many rows.
enum Column {
    Integers(Vec<Option<i64>>),
    Reals(Vec<Option<f64>>),
    Texts(Vec<Option<String>>),
    Ids(Vec<Option<Vec<u8>>>),
}

impl Column {
    fn new(kind: Kind, rows: usize) -> Self {
        match kind {
            Kind::Integer => Self::Integers(Vec::with_capacity(rows)),
            Kind::Real => Self::Reals(Vec::with_capacity(rows)),
            Kind::Text => Self::Texts(Vec::with_capacity(rows)),
            Kind::Id => Self::Ids(Vec::with_capacity(rows)),
        }
    }

    /// A value of another kind than the column's is stored as NULL, and its sum tells.
    fn push(&mut self, value: Value<'_>) {
        match self {
            Self::Integers(column) => column.push(match value {
                Value::Integer(number) => Some(number),
                _ => None,
            }),
            Self::Reals(column) => column.push(match value {
                Value::Real(number) => Some(number),
                _ => None,
            }),
            Self::Texts(column) => column.push(match value {
                Value::Text(text) => Some(stored(text).into_owned()),
                _ => None,
            }),
            Self::Ids(column) => column.push(match value {
                Value::Id(id) => Some(id.to_vec()),
                _ => None,
            }),
        }
    }

    fn into_parameter(self) -> Parameter {
        match self {
            Self::Integers(column) => (Box::new(column), Type::INT8_ARRAY),
            Self::Reals(column) => (Box::new(column), Type::FLOAT8_ARRAY),
            Self::Texts(column) => (Box::new(column), Type::TEXT_ARRAY),
            Self::Ids(column) => (Box::new(column), Type::BYTEA_ARRAY),
        }
    }
}
