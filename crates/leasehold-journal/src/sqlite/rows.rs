//! From changes to rows, and from rows to a snapshot.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use leasehold_engine::{
    Changes, EndReason, Ending, Fence, Holder, Holding, Holdings, Inconsistent, Lease, LeaseId,
    Level, Limit, LimitId, Notes, Rate, RequestDigest, Snapshot, TakenBy, Timestamp, Totals,
    Unheld, Unleased,
};
use leasehold_sqlite::{check_sum, execute_with_sum};
use rusqlite::types::{ToSql, Type};
use rusqlite::{Connection, Row, Statement, params};
use serde::{Deserialize, Serialize};

use super::origins::{self, Origins};
use super::statements;
use crate::LoadError;

/// A holding as it stands in a lease's row.
#[derive(Serialize, Deserialize)]
struct StoredHolding {
    /// The limit's id, in hex.
    limit: String,
    slots: u64,
    /// What has drained of the slots, in 10⁻¹⁵ slots; mostly nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    drained: String,
}

/// Slots that no lease holds, as they stand in a limit's row.
#[derive(Serialize, Deserialize)]
struct StoredUnheld {
    by: StoredTakenBy,
    /// Microseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since: Option<i64>,
    slots: u64,
    /// What there is beyond whole slots, in 10⁻¹⁵ slots.
    #[serde(default)]
    fraction: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredTakenBy {
    Created,
    Incremented,
    Spent,
    Reset,
    Unknown,
}

/// A lease's notes as they stand in its row.
#[derive(Serialize, Deserialize)]
struct StoredNotes<'a> {
    #[serde(borrow, default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// The digest of the request, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<String>,
}

fn is_zero(drained: &str) -> bool {
    drained.is_empty()
}

/// Writes changes as the commit with this number, within a transaction.
pub(super) fn write(
    connection: &Connection,
    changes: &Changes,
    commit: u64,
) -> rusqlite::Result<()> {
    let ledger: &[&dyn ToSql] = params![
        changes.at.as_micros(),
        integer(changes.next_fence.0),
        integer(commit),
        integer(changes.totals.limits),
        integer(changes.totals.leases),
    ];
    execute_with_sum(&mut *connection.prepare_cached(statements::UPDATE_LEDGER)?, ledger)?;
    if let Some(resume) = changes.resumed {
        connection
            .prepare_cached(statements::MOVE_DEADLINES)?
            .execute(params![resume.after.as_micros(), integer(resume.by.as_micros())])?;
    }
    let deleted = changes.deleted_limits.iter().map(|id| id.0.to_be_bytes());
    for_each(connection, "DELETE FROM limits WHERE id = ?1", deleted, |delete, id| {
        delete.execute([id])
    })?;
    for_each(connection, statements::PUT_LIMIT, &changes.limits, put_limit)?;
    let delete = |delete: &mut Statement<'_>, fence: &Fence| delete.execute([integer(fence.0)]);
    for_each(connection, "DELETE FROM leases WHERE fence = ?1", &changes.ended, delete)?;
    for_each(connection, statements::PUT_LEASE, &changes.leases, put_lease)?;
    for_each(connection, statements::PUT_ENDING, &changes.endings, put_ending)?;
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

fn put_limit(put: &mut Statement<'_>, limit: &Limit) -> rusqlite::Result<usize> {
    let columns: &[&dyn ToSql] = params![
        limit.id.0.to_be_bytes(),
        &*limit.name,
        integer(limit.slots),
        limit.active,
        integer(limit.decay.as_units()),
        limit.created.as_micros(),
        limit.updated.as_micros(),
        integer(limit.denied_slots),
        limit.occupancy_seconds_average,
        limit.settled.as_micros(),
        unleased_to_text(&limit.unleased),
        (limit.foreign > 0).then_some(integer(limit.foreign)),
        limit.returning.then_some(true),
    ];
    execute_with_sum(put, columns)
}

fn put_lease(put: &mut Statement<'_>, lease: &Lease) -> rusqlite::Result<usize> {
    let columns: &[&dyn ToSql] = params![
        integer(lease.fence.0),
        lease.id.0.to_be_bytes(),
        lease.holder.as_ref().map(|holder| &*holder.kind),
        lease.holder.as_ref().map(|holder| &*holder.id),
        holdings_to_text(&lease.holdings),
        lease.created.as_micros(),
        lease.deadline.map(Timestamp::as_micros),
        lease.notes.as_deref().map(notes_to_text),
        lease.origin.as_deref().map(origins::to_text),
        (!lease.partners.is_empty()).then(|| partners_to_text(&lease.partners)),
    ];
    execute_with_sum(put, columns)
}

fn put_ending(put: &mut Statement<'_>, ending: &Ending) -> rusqlite::Result<usize> {
    let (how, reason, by) = match &ending.how {
        EndReason::Expired => ("expired", None, None),
        EndReason::Revoked { reason, by } => ("revoked", reason.as_deref(), by.as_deref()),
        EndReason::Repossessed { evidence } => ("repossessed", Some(&**evidence), None),
        EndReason::Released => ("released", None, None),
    };
    let columns: &[&dyn ToSql] = params![
        integer(ending.fence.0),
        ending.lease.0.to_be_bytes(),
        ending.at.as_micros(),
        how,
        reason,
        by,
    ];
    execute_with_sum(put, columns)
}

/// How many commits are durable.
pub(super) fn commits(connection: &Connection) -> rusqlite::Result<u64> {
    connection.query_row(statements::READ_LEDGER, [], |row| {
        check_sum(row, 6)?;
        natural(row, 2)
    })
}

pub(super) fn load(connection: &Connection) -> Result<Snapshot, LoadError> {
    let (at, next_fence, totals) = connection
        .query_row(statements::READ_LEDGER, [], |row| {
            check_sum(row, 6)?;
            let totals = Totals { limits: natural(row, 3)?, leases: natural(row, 4)? };
            Ok((time(row, 0)?, Fence(natural(row, 1)?), totals))
        })
        .map_err(|error| load_error("ledger", error))?;
    let mut origins = Origins::default();
    let snapshot = Snapshot {
        at,
        next_fence,
        limits: all(connection, "limits", statements::READ_LIMITS, read_limit)?,
        leases: all(connection, "leases", statements::READ_LEASES, |row| {
            read_lease(row, &mut origins)
        })?,
        endings: all(connection, "endings", statements::READ_ENDINGS, read_ending)?,
    };
    check_total("limits", snapshot.limits.len(), totals.limits)?;
    check_total("leases", snapshot.leases.len(), totals.leases)?;
    snapshot
        .check()
        .map_err(|Inconsistent { what, reason }| LoadError::Damaged { table: what, reason })?;
    Ok(snapshot)
}

fn check_total(table: &'static str, found: usize, expected: u64) -> Result<(), LoadError> {
    if found as u64 == expected {
        return Ok(());
    }
    let reason = format!("it has {found} rows, and {expected} were written");
    Err(LoadError::Damaged { table, reason })
}

fn all<T>(
    connection: &Connection,
    table: &'static str,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, LoadError> {
    let collect = || -> rusqlite::Result<Vec<T>> {
        let mut statement = connection.prepare(sql)?;
        statement.query_map([], read)?.collect()
    };
    collect().map_err(|error| load_error(table, error))
}

fn read_limit(row: &Row<'_>) -> rusqlite::Result<Limit> {
    check_sum(row, 14)?;
    Ok(Limit {
        id: LimitId(id(row, 0)?),
        name: row.get::<_, Arc<str>>(1)?,
        slots: natural(row, 2)?,
        active: row.get(3)?,
        decay: Rate::from_units(natural(row, 4)?),
        created: time(row, 5)?,
        updated: time(row, 6)?,
        denied_slots: natural(row, 7)?,
        occupancy_seconds_average: row.get(8)?,
        settled: time(row, 9)?,
        unleased: unleased_from_text(row.get_ref(10)?.as_str()?)
            .map_err(|reason| damaged(10, Type::Text, reason))?,
        foreign: match row.get_ref(11)?.as_i64_or_null()? {
            Some(_) => natural(row, 11)?,
            None => 0,
        },
        returning: row.get::<_, Option<bool>>(12)?.unwrap_or(false),
    })
}

fn read_lease(row: &Row<'_>, origins: &mut Origins) -> rusqlite::Result<Lease> {
    check_sum(row, 11)?;
    let holder = match (row.get::<_, Option<Arc<str>>>(2)?, row.get::<_, Option<Arc<str>>>(3)?) {
        (Some(kind), Some(id)) => Some(Holder { kind, id }),
        (None, None) => None,
        _ => return Err(damaged(2, Type::Null, "it has half a holder".to_owned())),
    };
    let deadline: Option<i64> = row.get(6)?;
    Ok(Lease {
        fence: Fence(natural(row, 0)?),
        id: LeaseId(id(row, 1)?),
        holder,
        holdings: holdings_from_text(row.get_ref(4)?.as_str()?)
            .map_err(|reason| damaged(4, Type::Text, reason))?,
        created: time(row, 5)?,
        deadline: deadline.map(Timestamp::from_micros),
        notes: match row.get_ref(7)?.as_str_or_null()? {
            Some(text) => {
                Some(notes_from_text(text).map_err(|reason| damaged(7, Type::Text, reason))?.into())
            }
            None => None,
        },
        origin: match row.get_ref(8)?.as_str_or_null()? {
            Some(text) => {
                Some(origins.read(text).map_err(|reason| damaged(8, Type::Text, reason))?)
            }
            None => None,
        },
        partners: match row.get_ref(9)?.as_str_or_null()? {
            Some(text) => {
                partners_from_text(text).map_err(|reason| damaged(9, Type::Text, reason))?
            }
            None => Vec::new(),
        },
    })
}

fn read_ending(row: &Row<'_>) -> rusqlite::Result<Ending> {
    check_sum(row, 7)?;
    let how = match row.get_ref(3)?.as_str()? {
        "expired" => EndReason::Expired,
        "repossessed" => EndReason::Repossessed { evidence: row.get(4)? },
        "released" => EndReason::Released,
        "revoked" => EndReason::Revoked { reason: row.get(4)?, by: row.get(5)? },
        word => return Err(damaged(3, Type::Text, format!("'{word}' is no kind of ending"))),
    };
    Ok(Ending {
        fence: Fence(natural(row, 0)?),
        lease: LeaseId(id(row, 1)?),
        at: time(row, 2)?,
        how,
    })
}

fn unleased_to_text(unleased: &Unleased) -> Cow<'static, str> {
    if unleased.parts().is_empty() {
        return "[]".into();
    }
    let parts = unleased.parts().iter().map(|part| {
        let whole = part.level.floor();
        StoredUnheld {
            by: part.taken_by.into(),
            since: part.since.map(Timestamp::as_micros),
            slots: whole.slots_taken(),
            fraction: u64::try_from((part.level - whole).as_units()).unwrap_or(0),
        }
    });
    serde_json::to_string(&parts.collect::<Vec<_>>()).unwrap_or_default().into()
}

fn unleased_from_text(text: &str) -> Result<Unleased, String> {
    let stored: Vec<StoredUnheld> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    Ok(Unleased::from_parts(stored.into_iter().map(|stored| Unheld {
        taken_by: stored.by.into(),
        since: stored.since.map(Timestamp::from_micros),
        level: Level::from_slots(stored.slots) + Level::from_units(stored.fraction.into()),
    })))
}

impl From<TakenBy> for StoredTakenBy {
    fn from(taken_by: TakenBy) -> Self {
        match taken_by {
            TakenBy::Created => Self::Created,
            TakenBy::Incremented => Self::Incremented,
            TakenBy::Spent => Self::Spent,
            TakenBy::Reset => Self::Reset,
            TakenBy::Unknown => Self::Unknown,
        }
    }
}

impl From<StoredTakenBy> for TakenBy {
    fn from(stored: StoredTakenBy) -> Self {
        match stored {
            StoredTakenBy::Created => Self::Created,
            StoredTakenBy::Incremented => Self::Incremented,
            StoredTakenBy::Spent => Self::Spent,
            StoredTakenBy::Reset => Self::Reset,
            StoredTakenBy::Unknown => Self::Unknown,
        }
    }
}

fn holdings_to_text(holdings: &Holdings) -> String {
    let stored: Vec<_> = holdings
        .iter()
        .map(|holding| StoredHolding {
            limit: format!("{:032x}", holding.limit.0),
            slots: holding.slots,
            drained: match Level::from_slots(holding.slots).saturating_sub(holding.level) {
                Level::ZERO => String::new(),
                drained => drained.as_units().to_string(),
            },
        })
        .collect();
    serde_json::to_string(&stored).unwrap_or_default()
}

fn holdings_from_text(text: &str) -> Result<Holdings, String> {
    let stored: Vec<StoredHolding> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    stored
        .into_iter()
        .map(|stored| {
            let limit = u128::from_str_radix(&stored.limit, 16).map_err(|e| e.to_string())?;
            let drained = match stored.drained.as_str() {
                "" => 0,
                units => units.parse().map_err(|_| format!("no amount of slots: {units}"))?,
            };
            let level = Level::from_slots(stored.slots).saturating_sub(Level::from_units(drained));
            Ok(Holding { limit: LimitId(limit), slots: stored.slots, level })
        })
        .collect()
}

fn partners_to_text(partners: &[LeaseId]) -> String {
    let ids: Vec<_> = partners.iter().map(|partner| format!("{:032x}", partner.0)).collect();
    ids.join(",")
}

fn partners_from_text(text: &str) -> Result<Vec<LeaseId>, String> {
    let ids = text.split(',').map(|id| u128::from_str_radix(id, 16).map(LeaseId));
    ids.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

fn notes_to_text(notes: &Notes) -> String {
    let labels = notes.labels.iter().map(|(name, value)| ((&**name).into(), (&**value).into()));
    let request = notes.request.map(|request| format!("{:032x}", request.0));
    let stored = StoredNotes { labels: labels.collect(), request };
    serde_json::to_string(&stored).unwrap_or_default()
}

fn notes_from_text(text: &str) -> Result<Notes, String> {
    let stored: StoredNotes<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let request = stored.request.map(|digits| u128::from_str_radix(&digits, 16)).transpose();
    let labels = stored.labels.into_iter();
    Ok(Notes {
        labels: labels.map(|(name, value)| (Arc::from(&*name), Arc::from(&*value))).collect(),
        request: request.map_err(|error| error.to_string())?.map(RequestDigest),
    })
}

/// SQLite's integers are signed. Everything that is counted here stays below 2⁶³ for the
/// life of a server, and a rate beyond it is as good as no limit.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number)
        .map_err(|_| damaged(column, Type::Integer, format!("{number} is negative")))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_micros)
}

fn id(row: &Row<'_>, column: usize) -> rusqlite::Result<u128> {
    row.get(column).map(u128::from_be_bytes)
}

fn damaged(column: usize, kind: Type, reason: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, reason.into())
}

fn load_error(table: &'static str, error: rusqlite::Error) -> LoadError {
    if error.sqlite_error().is_some() {
        LoadError::storage(error)
    } else {
        LoadError::Damaged { table, reason: error.to_string() }
    }
}
