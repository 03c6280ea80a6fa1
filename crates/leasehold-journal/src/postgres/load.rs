//! From the tables of PostgreSQL to a snapshot.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use leasehold_engine::{Lease, Resume, Snapshot};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row as PostgresRow};

use super::error::PostgresError;
use super::statements;
use super::text;
use crate::LoadError;
use crate::rows::{Kind, LedgerRow, Row, Shared, Stored, Value, read};

const READ_LEDGER: &str =
    "SELECT at_micros, next_fence, commits, limits, leases, sum FROM leasehold.ledger";

/// Everything, as it is at one moment.
pub(super) async fn snapshot(client: &Client) -> Result<(LedgerRow, Snapshot), PostgresError> {
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    let read = within(client).await;
    let ended = client.batch_execute("ROLLBACK").await;
    let (ledger, snapshot) = read?;
    ended?;
    let snapshot = ledger.complete(snapshot).map_err(|error| match error {
        LoadError::Damaged { table, reason } => PostgresError::Damaged { table, reason },
        other => PostgresError::Server(other.to_string()),
    })?;
    Ok((ledger, snapshot))
}

async fn within(client: &Client) -> Result<(LedgerRow, Snapshot), PostgresError> {
    let ledger = ledger(client).await?;
    let snapshot = Snapshot {
        limits: all(client, "", "").await?,
        leases: all(client, "", "").await?,
        endings: all(client, "", "at_micros, fence").await?,
        ..Snapshot::default()
    };
    Ok((ledger, snapshot))
}

/// The ledger's row.
pub(super) async fn ledger(client: &Client) -> Result<LedgerRow, PostgresError> {
    let row = client.query_typed_opt(READ_LEDGER, &[]).await?;
    let row = row.ok_or_else(|| PostgresError::damaged("ledger", "it has no row"))?;
    let mut columns = [0; 5];
    for (index, column) in columns.iter_mut().enumerate() {
        *column = row.try_get(index)?;
    }
    LedgerRow::from_columns(columns, row.try_get(5)?)
        .map_err(|reason| PostgresError::damaged("ledger", reason))
}

/// The leases whose deadlines a downtime moves, with the new ones.
pub(super) async fn moved(client: &Client, resume: Resume) -> Result<Vec<Lease>, PostgresError> {
    let after = resume.after.as_micros();
    let filter = format!("WHERE deadline_micros > {after}");
    let mut leases: Vec<Lease> = all(client, &filter, "").await?;
    for lease in &mut leases {
        lease.deadline = lease.deadline.map(|deadline| deadline + resume.by);
    }
    Ok(leases)
}

async fn all<T: Stored>(
    client: &Client,
    filter: &str,
    order: &str,
) -> Result<Vec<T>, PostgresError> {
    let sql = statements::select(&T::TABLE, filter, order);
    let none: [(i64, Type); 0] = [];
    let mut rows = pin!(client.query_typed_raw(&sql, none).await?);
    let mut shared = Shared::default();
    let mut found = Vec::new();
    while let Some(row) = rows.try_next().await? {
        found.push(read_row(&row, &mut shared)?);
    }
    Ok(found)
}

fn read_row<T: Stored>(row: &PostgresRow, shared: &mut Shared) -> Result<T, PostgresError> {
    let mut columns = Row::new();
    for (index, (_, kind)) in T::TABLE.columns.iter().enumerate() {
        columns.push(value::<T>(row, index, *kind)?);
    }
    let sum = row.try_get(columns.len())?;
    read(&columns, sum, shared).map_err(|reason| PostgresError::damaged(T::TABLE.name, reason))
}

fn value<T: Stored>(
    row: &PostgresRow,
    index: usize,
    kind: Kind,
) -> Result<Value<'_>, PostgresError> {
    let value = match kind {
        Kind::Integer => row.try_get::<_, Option<i64>>(index)?.map(Value::Integer),
        Kind::Real => row.try_get::<_, Option<f64>>(index)?.map(Value::Real),
        Kind::Text => {
            row.try_get::<_, Option<&str>>(index)?.map(|stored| Value::Text(text::read(stored)))
        }
        Kind::Id => match row.try_get::<_, Option<&[u8]>>(index)? {
            None => None,
            Some(bytes) => Some(Value::Id(bytes.try_into().map_err(|_| {
                let reason = format!("an id has 16 bytes, and this one {}", bytes.len());
                PostgresError::damaged(T::TABLE.name, reason)
            })?)),
        },
    };
    Ok(value.unwrap_or(Value::Null))
}
