//! The log of events: what happened to limits and leases, and what clients say of their work.

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde_json::Value;
use uuid::Uuid;

use crate::store::{Bounds, RecordsError};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its place in the log; 0 before it is in there.
    pub number: u64,
    /// Its id.
    pub id: Uuid,
    /// When it happened.
    pub at_micros: i64,
    /// What happened: `lease.granted`, `prefect.task-run.Running`.
    pub kind: String,
    /// The name of the limit that it happened on.
    pub limit: Option<String>,
    /// The kind and the id of who held it, or whom it happened to.
    pub holder: Option<(String, String)>,
    /// The lease that it happened to.
    pub lease: Option<Uuid>,
    /// Why.
    pub reason: Option<String>,
    /// The event as a client sent it.
    pub document: Option<Value>,
}

impl Event {
    /// Something that happened at that time, in microseconds since the Unix epoch, of which nothing
    /// more is said yet.
    pub fn new(kind: impl Into<String>, at_micros: i64) -> Self {
        Self {
            number: 0,
            id: Uuid::now_v7(),
            at_micros,
            kind: kind.into(),
            limit: None,
            holder: None,
            lease: None,
            reason: None,
            document: None,
        }
    }
}

/// Which events are looked for; `None` is all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFilter {
    /// On the limit with this name.
    pub limit: Option<String>,
    /// Of the holder with this id.
    pub holder: Option<String>,
    /// Of this kind, or of those that begin with it and a dot.
    pub kind: Option<String>,
    /// To this lease.
    pub lease: Option<Uuid>,
    /// No earlier than this.
    pub since_micros: Option<i64>,
    /// Earlier than this.
    pub until_micros: Option<i64>,
    /// Behind the event with this number, in the order in which they come; 0 is all of them.
    pub after: u64,
    /// Whether the newest come first; otherwise the oldest do.
    pub is_newest_first: bool,
    /// How many at the most.
    pub limit_count: u64,
}

/// Up to when the log tells what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToldUntil {
    /// It is new.
    Never,
    /// What it told is forgotten.
    Forgotten,
    /// In microseconds since the Unix epoch.
    At(i64),
}

/// How many are forgotten at once: more than are written at once.
const PRUNED_MAX: usize = 4_000;

type Result<T> = std::result::Result<T, RecordsError>;

pub(crate) fn add(connection: &Connection, event: &Event) -> Result<u64> {
    let document = event.document.as_ref().map(serde_json::to_string).transpose()?;
    connection
        .prepare_cached("INSERT INTO events VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
        .execute(params![
            event.id.into_bytes(),
            event.at_micros,
            event.kind,
            event.limit,
            event.holder.as_ref().map(|(kind, _)| kind),
            event.holder.as_ref().map(|(_, id)| id),
            event.lease.map(Uuid::into_bytes),
            event.reason,
            document,
        ])?;
    Ok(u64::try_from(connection.last_insert_rowid()).unwrap_or(0))
}

pub(crate) fn last(connection: &Connection) -> Result<u64> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(number) FROM events")?
        .query_row([], |row| row.get(0))?;
    Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or(0))
}

pub(crate) fn find(connection: &Connection, filter: &EventFilter) -> Result<Vec<Event>> {
    let (behind, order) = match filter.is_newest_first {
        true => ("number < ?", "number DESC"),
        false => ("number > ?", "number"),
    };
    let after = match filter.is_newest_first && filter.after == 0 {
        true => u64::MAX,
        false => filter.after,
    };
    let mut conditions = behind.to_owned();
    let mut cells = vec![Cell::Integer(integer(after))];
    let mut also = |condition: &str, values: Vec<Option<Cell>>| {
        let values: Vec<_> = values.into_iter().flatten().collect();
        if !values.is_empty() {
            conditions.push_str(condition);
            cells.extend(values);
        }
    };
    let text = |text: &Option<String>| text.clone().map(Cell::Text);
    also(" AND limit_name = ?", vec![text(&filter.limit)]);
    also(" AND holder_id = ?", vec![text(&filter.holder)]);
    let within = filter.kind.as_ref().map(|kind| Cell::Text(format!("{kind}.")));
    also(
        " AND (kind = ? OR substr(kind, 1, length(?)) = ?)",
        vec![text(&filter.kind), within.clone(), within],
    );
    also(" AND lease = ?", vec![filter.lease.map(|it| Cell::Blob(it.into_bytes().to_vec()))]);
    also(" AND at_micros >= ?", vec![filter.since_micros.map(Cell::Integer)]);
    also(" AND at_micros < ?", vec![filter.until_micros.map(Cell::Integer)]);
    cells.push(Cell::Integer(integer(filter.limit_count)));
    let mut statement = connection.prepare_cached(&format!(
        "SELECT * FROM events WHERE {conditions} ORDER BY {order} LIMIT ?"
    ))?;
    let events = statement.query_map(params_from_iter(cells), |row| Ok(read(row)))?;
    events.map(|event| event?).collect()
}

/// Of each lease on each limit the event that came last, in their order. What is told of who waits
/// does not count.
pub(crate) fn last_of_leases(connection: &Connection) -> Result<Vec<Event>> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM events WHERE number IN
         (SELECT max(number) FROM events
          WHERE lease IS NOT NULL AND substr(kind, 1, 6) = 'lease.' GROUP BY lease, limit_name)
         ORDER BY number",
    )?;
    let events = statement.query_map([], |row| Ok(read(row)))?;
    events.map(|event| event?).collect()
}

/// When that happened what was told last, but for what clients and the log itself say.
pub(crate) fn told_until(connection: &Connection) -> Result<ToldUntil> {
    let last = connection
        .prepare_cached(
            "SELECT at_micros FROM events
             WHERE document IS NULL AND substr(kind, 1, 4) <> 'log.'
             ORDER BY number DESC LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()?;
    if let Some(at_micros) = last {
        return Ok(ToldUntil::At(at_micros));
    }
    // A number is used once: the last one is known when its event is forgotten.
    let was_used = connection
        .prepare_cached("SELECT 1 FROM sqlite_sequence WHERE name = 'events' AND seq > 0")?
        .exists([])?;
    Ok(if was_used { ToldUntil::Forgotten } else { ToldUntil::Never })
}

/// Answers whether there may be more to forget.
pub(crate) fn prune(connection: &Connection, bounds: Bounds, now_micros: i64) -> Result<bool> {
    let last = integer(last(connection)?);
    let age_micros = integer(bounds.age_seconds_max.saturating_mul(1_000_000));
    let forgotten = connection
        .prepare_cached(
            "DELETE FROM events WHERE number IN
             (SELECT number FROM events ORDER BY number LIMIT ?1)
             AND (number <= ?2 OR at_micros < ?3)",
        )?
        .execute([
            PRUNED_MAX as i64,
            last.saturating_sub(integer(bounds.events_max)),
            now_micros.saturating_sub(age_micros),
        ])?;
    Ok(forgotten == PRUNED_MAX)
}

fn read(row: &Row<'_>) -> Result<Event> {
    let holder = row.get::<_, Option<String>>(5)?.zip(row.get(6)?);
    let document: Option<String> = row.get(9)?;
    Ok(Event {
        number: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
        id: Uuid::from_bytes(row.get(1)?),
        at_micros: row.get(2)?,
        kind: row.get(3)?,
        limit: row.get(4)?,
        holder,
        lease: row.get::<_, Option<[u8; 16]>>(7)?.map(Uuid::from_bytes),
        reason: row.get(8)?,
        document: document.map(|document| serde_json::from_str(&document)).transpose()?,
    })
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
