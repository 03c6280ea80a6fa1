//! The log of events: what happened to limits and leases, and what clients say of their work.

use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use uuid::Uuid;

use crate::error::RecordsError;
use crate::store::Bounds;

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
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
    /// Where the request for that lease came from, as JSON.
    pub origin: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The event as a client sent it, as JSON.
    pub document: Option<String>,
}

impl EventRow {
    /// How many bytes it takes in the log, about.
    pub fn bytes(&self) -> u64 {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let (kind, id) = self.holder.as_ref().map_or((0, 0), |(kind, id)| (kind.len(), id.len()));
        let others =
            text(&self.limit) + text(&self.origin) + text(&self.reason) + text(&self.document);
        let texts = self.kind.len() + kind + id + others;
        u64::try_from(texts).unwrap_or(u64::MAX).saturating_add(ROW_BYTES)
    }

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
            origin: None,
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
    /// How many bytes they have together at the most, whereby one is always found; `None` is any
    /// number.
    pub bytes_max: Option<u64>,
}

/// The events that pass a filter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// In the filter's order.
    pub events: Vec<EventRow>,
    /// Whether the filter's bounds ended the search: more events may pass.
    pub is_cut: bool,
}

impl EventFilter {
    /// Whether an event passes, wherever it is kept; the bounds of the search do not count.
    pub fn passes(&self, event: &EventRow) -> bool {
        let is_kind = |kind: &String| {
            let rest = event.kind.strip_prefix(kind.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let is_holder = |id: &String| event.holder.as_ref().is_some_and(|(_, known)| known == id);
        event.number > self.after
            && (self.limit.is_none() || self.limit == event.limit)
            && self.holder.as_ref().is_none_or(is_holder)
            && self.kind.as_ref().is_none_or(is_kind)
            && (self.lease.is_none() || self.lease == event.lease)
            && self.since_micros.is_none_or(|since| since <= event.at_micros)
            && self.until_micros.is_none_or(|until| event.at_micros < until)
    }
}

/// How much of the log one kind of event takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    count: u64,
    bytes: u64,
}

/// What is in the log: what happened here and what clients sent have a room each, so that no
/// client can push out what happened to a lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rooms {
    ours: Room,
    clients: Room,
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

/// What an event takes beside its texts: ids, numbers, and entries in the indexes.
const ROW_BYTES: u64 = 128;
/// Beyond a room by this part of it, events are forgotten at once and not in turn.
const EXCESS_PART: u64 = 8;

/// What [`EventRow::bytes`] says, in SQL: it looks at no text itself.
const BYTES: &str = "128 + octet_length(kind) + ifnull(octet_length(limit_name), 0)
    + ifnull(octet_length(holder_kind), 0) + ifnull(octet_length(holder_id), 0)
    + ifnull(octet_length(reason), 0) + ifnull(octet_length(document), 0)
    + ifnull(octet_length(origin), 0)";
const OURS: &str = "document IS NULL";
const OF_CLIENTS: &str = "document IS NOT NULL";

type Result<T> = std::result::Result<T, RecordsError>;

impl Rooms {
    /// What is in the log of a file.
    pub(crate) fn count(connection: &Connection) -> rusqlite::Result<Self> {
        let room = |which: &str| {
            let statement = format!("SELECT count(*), sum({BYTES}) FROM events WHERE {which}");
            connection.query_row(&statement, [], |row| {
                let bytes = row.get::<_, Option<i64>>(1)?.unwrap_or(0);
                Ok(Room { count: unsigned(row.get(0)?), bytes: unsigned(bytes) })
            })
        };
        Ok(Self { ours: room(OURS)?, clients: room(OF_CLIENTS)? })
    }

    /// Whether either room is so full that its events must not wait to be forgotten.
    pub(crate) fn overflow(&self, bounds: Bounds) -> bool {
        let (ours, clients) = shares(bounds);
        self.ours.overflows(ours) || self.clients.overflows(clients)
    }
}

impl Room {
    fn take(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }

    fn give_back(&mut self, bytes: u64) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn is_over(&self, most: Self) -> bool {
        self.count > most.count || self.bytes > most.bytes
    }

    fn overflows(&self, most: Self) -> bool {
        let more = |most: u64| most.saturating_add(most / EXCESS_PART);
        self.is_over(Self { count: more(most.count), bytes: more(most.bytes) })
    }
}

/// How much of the log is for what happened here, and for what clients sent: half of its bytes
/// each.
fn shares(bounds: Bounds) -> (Room, Room) {
    let bytes = bounds.events_bytes_max / 2;
    let ours = Room { count: bounds.events_max, bytes };
    let clients = Room { count: bounds.client_events_max, bytes };
    (ours, clients)
}

pub(crate) fn add(connection: &Connection, event: &EventRow, rooms: &mut Rooms) -> Result<u64> {
    let room = if event.document.is_some() { &mut rooms.clients } else { &mut rooms.ours };
    room.take(event.bytes());
    connection
        .prepare_cached(
            "INSERT INTO events VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            event.id.into_bytes(),
            event.at_micros,
            event.kind,
            event.limit,
            event.holder.as_ref().map(|(kind, _)| kind),
            event.holder.as_ref().map(|(_, id)| id),
            event.lease.map(Uuid::into_bytes),
            event.reason,
            event.document,
            event.origin,
        ])?;
    Ok(u64::try_from(connection.last_insert_rowid()).unwrap_or(0))
}

pub(crate) fn last(connection: &Connection) -> Result<u64> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(number) FROM events")?
        .query_row([], |row| row.get(0))?;
    Ok(last.and_then(|last| u64::try_from(last).ok()).unwrap_or(0))
}

pub(crate) fn find(connection: &Connection, filter: &EventFilter) -> Result<Found> {
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
    let mut found = Found::default();
    let mut left = filter.bytes_max.unwrap_or(u64::MAX);
    let mut rows = statement.query(params_from_iter(cells))?;
    while let Some(row) = rows.next()? {
        let event = read(row)?;
        let bytes = event.bytes();
        if bytes > left && !found.events.is_empty() {
            found.is_cut = true;
            return Ok(found);
        }
        left = left.saturating_sub(bytes);
        found.events.push(event);
    }
    found.is_cut = u64::try_from(found.events.len()).is_ok_and(|it| it >= filter.limit_count);
    Ok(found)
}

/// Of each lease on each limit the event that came last, in their order. What is told of who waits
/// does not count.
pub(crate) fn last_of_leases(connection: &Connection) -> Result<Vec<EventRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM events WHERE number IN
         (SELECT max(number) FROM events
          WHERE lease IS NOT NULL AND substr(kind, 1, 6) = 'lease.' GROUP BY lease, limit_name)
         ORDER BY number",
    )?;
    let events = statement.query_map([], |row| Ok(read(row)))?;
    events.map(|event| event?).collect()
}

/// When that happened what was told last, but for what clients and the log itself say,
/// and what is noted beside the ledger.
pub(crate) fn told_until(connection: &Connection) -> Result<ToldUntil> {
    let last = connection
        .prepare_cached(
            "SELECT at_micros FROM events
             WHERE document IS NULL AND substr(kind, 1, 4) <> 'log.'
             AND kind NOT IN ('holder.identified', 'limit.missing')
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

/// Forgets what is too old, and of each room what it has no place for, oldest first. Answers
/// whether there may be more to forget.
pub(crate) fn prune(
    connection: &Connection,
    bounds: Bounds,
    rooms: &mut Rooms,
    now_micros: i64,
) -> Result<bool> {
    let age_micros = integer(bounds.age_seconds_max.saturating_mul(1_000_000));
    let oldest_micros = now_micros.saturating_sub(age_micros);
    let (ours, clients) = shares(bounds);
    let is_behind = prune_room(connection, OURS, &mut rooms.ours, ours, oldest_micros)?;
    Ok(prune_room(connection, OF_CLIENTS, &mut rooms.clients, clients, oldest_micros)? || is_behind)
}

fn prune_room(
    connection: &Connection,
    which: &str,
    room: &mut Room,
    most: Room,
    oldest_micros: i64,
) -> Result<bool> {
    let mut oldest = connection.prepare_cached(&format!(
        "SELECT number, at_micros, {BYTES} FROM events WHERE {which} ORDER BY number LIMIT ?1"
    ))?;
    let mut delete = connection.prepare_cached("DELETE FROM events WHERE number = ?1")?;
    let mut rows = oldest.query([PRUNED_MAX as i64])?;
    let mut forgotten = Vec::new();
    while let Some(row) = rows.next()? {
        let (number, at_micros): (i64, i64) = (row.get(0)?, row.get(1)?);
        if room.is_over(most) || at_micros < oldest_micros {
            room.give_back(unsigned(row.get(2)?));
            forgotten.push(number);
        }
    }
    for number in &forgotten {
        delete.execute([number])?;
    }
    Ok(forgotten.len() == PRUNED_MAX)
}

fn read(row: &Row<'_>) -> Result<EventRow> {
    let holder = row.get::<_, Option<String>>(5)?.zip(row.get(6)?);
    Ok(EventRow {
        number: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
        id: Uuid::from_bytes(row.get(1)?),
        at_micros: row.get(2)?,
        kind: row.get(3)?,
        limit: row.get(4)?,
        holder,
        lease: row.get::<_, Option<[u8; 16]>>(7)?.map(Uuid::from_bytes),
        origin: row.get(10)?,
        reason: row.get(8)?,
        document: row.get(9)?,
    })
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
