//! Limits, leases and endings as rows, in the same columns in every database. A column is declared,
//! written and read here once. What a database does with rows is not known here.

mod endings;
mod leases;
mod limits;
mod origins;

use std::borrow::Cow;

use leasehold_engine::{Changes, Fence, Inconsistent, Snapshot, Timestamp, Totals};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use smallvec::SmallVec;

use crate::LoadError;
use origins::Origins;

/// What many rows have in common, and is in memory once.
#[derive(Default)]
pub(crate) struct Shared {
    origins: Origins,
}

/// A table, whose last column is the [sum](row_sum) of the others.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// The first column is the key.
    pub(crate) columns: &'static [(&'static str, Kind)],
}

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Integer,
    Real,
    Text,
    /// An id: 16 bytes.
    Id,
}

/// A column of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(Cow<'a, str>),
    Id([u8; 16]),
}

/// The columns of a row, without their sum.
pub(crate) type Row<'a> = SmallVec<[Value<'a>; 16]>;

/// What a table has a row of.
pub(crate) trait Stored: Sized {
    const TABLE: Table;

    fn to_row(&self) -> Row<'_>;

    /// Fails with what is wrong with the row.
    fn from_row(row: &Columns<'_>, shared: &mut Shared) -> Result<Self, String>;
}

/// The checksum of a row. It is stored, so it never changes.
pub(crate) fn row_sum(row: &[Value<'_>]) -> i64 {
    leasehold_sqlite::row_sum(row.iter().map(Value::as_ref))
}

/// Reads a row, and compares its sum with the stored one.
pub(crate) fn read<T: Stored>(
    row: &[Value<'_>],
    sum: i64,
    shared: &mut Shared,
) -> Result<T, String> {
    if row_sum(row) != sum {
        return Err("its checksum is another one".to_owned());
    }
    T::from_row(&Columns(row), shared)
}

/// The one row of the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LedgerRow {
    pub(crate) at: Timestamp,
    pub(crate) next_fence: Fence,
    pub(crate) commits: u64,
    pub(crate) totals: Totals,
}

impl LedgerRow {
    /// After these changes, as the commit with this number.
    pub(crate) fn after(changes: &Changes, commit: u64) -> Self {
        let Changes { at, next_fence, totals, .. } = *changes;
        Self { at, next_fence, commits: commit, totals }
    }

    /// Time, next token, and how many commits, limits and leases there are.
    pub(crate) fn columns(&self) -> [i64; 5] {
        [
            self.at.as_micros(),
            integer(self.next_fence.0),
            integer(self.commits),
            integer(self.totals.limits),
            integer(self.totals.leases),
        ]
    }

    pub(crate) fn from_columns(columns: [i64; 5], sum: i64) -> Result<Self, String> {
        let row = columns.map(Value::Integer);
        if row_sum(&row) != sum {
            return Err("its checksum is another one".to_owned());
        }
        let row = Columns(&row);
        Ok(Self {
            at: row.time(0)?,
            next_fence: Fence(row.natural(1)?),
            commits: row.natural(2)?,
            totals: Totals { limits: row.natural(3)?, leases: row.natural(4)? },
        })
    }

    /// Completes a snapshot, and checks that it lacks nothing and holds together.
    pub(crate) fn complete(&self, snapshot: Snapshot) -> Result<Snapshot, LoadError> {
        let snapshot = Snapshot { at: self.at, next_fence: self.next_fence, ..snapshot };
        check_total("limits", snapshot.limits.len(), self.totals.limits)?;
        check_total("leases", snapshot.leases.len(), self.totals.leases)?;
        snapshot
            .check()
            .map_err(|Inconsistent { what, reason }| LoadError::Damaged { table: what, reason })?;
        Ok(snapshot)
    }
}

fn check_total(table: &'static str, found: usize, expected: u64) -> Result<(), LoadError> {
    if found as u64 == expected {
        return Ok(());
    }
    let reason = format!("it has {found} rows, and {expected} were written");
    Err(LoadError::Damaged { table, reason })
}

/// The columns of a row, to read.
#[derive(Debug)]
pub(crate) struct Columns<'a>(&'a [Value<'a>]);

impl<'a> Columns<'a> {
    fn at(&self, column: usize) -> &'a Value<'a> {
        self.0.get(column).unwrap_or(&Value::Null)
    }

    fn integer_or_null(&self, column: usize) -> Result<Option<i64>, String> {
        match self.at(column) {
            Value::Null => Ok(None),
            Value::Integer(number) => Ok(Some(*number)),
            _ => Err(format!("column {column} is no integer")),
        }
    }

    fn integer(&self, column: usize) -> Result<i64, String> {
        self.integer_or_null(column)?.ok_or_else(|| missing(column))
    }

    fn natural_or_null(&self, column: usize) -> Result<Option<u64>, String> {
        let read = |number| u64::try_from(number).map_err(|_| format!("{number} is negative"));
        self.integer_or_null(column)?.map(read).transpose()
    }

    fn natural(&self, column: usize) -> Result<u64, String> {
        self.natural_or_null(column)?.ok_or_else(|| missing(column))
    }

    fn time(&self, column: usize) -> Result<Timestamp, String> {
        self.integer(column).map(Timestamp::from_micros)
    }

    fn real(&self, column: usize) -> Result<f64, String> {
        match self.at(column) {
            Value::Real(number) => Ok(*number),
            _ => Err(format!("column {column} is no number")),
        }
    }

    fn text_or_null(&self, column: usize) -> Result<Option<&'a str>, String> {
        match self.at(column) {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            _ => Err(format!("column {column} is no text")),
        }
    }

    fn text(&self, column: usize) -> Result<&'a str, String> {
        self.text_or_null(column)?.ok_or_else(|| missing(column))
    }

    fn id(&self, column: usize) -> Result<u128, String> {
        match self.at(column) {
            Value::Id(bytes) => Ok(u128::from_be_bytes(*bytes)),
            _ => Err(format!("column {column} is no id")),
        }
    }
}

fn missing(column: usize) -> String {
    format!("column {column} is empty")
}

impl Value<'_> {
    fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Id(bytes) => ValueRef::Blob(bytes),
        }
    }
}

impl<'a> Value<'a> {
    fn natural(number: u64) -> Self {
        Self::Integer(integer(number))
    }

    fn id(id: u128) -> Self {
        Self::Id(id.to_be_bytes())
    }

    fn time(time: Timestamp) -> Self {
        Self::Integer(time.as_micros())
    }

    fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::Text(text.into())
    }

    fn optional<T>(value: Option<T>, make: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Null, make)
    }
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.as_ref()))
    }
}

/// Integers of databases are signed. Everything that is counted here stays below 2⁶³ for the life
/// of a server, and a rate beyond it is as good as no limit.
pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
