//! The log of events.

use rusqlite::types::Value;
use rusqlite::{Row, params, params_from_iter};
use uuid::Uuid;

use super::filter::Conditions;
use super::log_size::{LogSize, Size};
use super::row::{id, integer, natural};
use super::{Result, Transaction};
use crate::error::RecordsError;
use crate::event::{EventFilter, EventPage, EventRow, LoggedUntil};

/// How many events are pruned at once: more than are written at once.
const PRUNED_MAX: usize = 4_000;

/// [`EventRow::bytes`] in SQL: it looks at no text itself.
const BYTES: &str = "128 + octet_length(kind) + coalesce(octet_length(limit_name), 0)
    + coalesce(octet_length(holder_kind), 0) + coalesce(octet_length(holder_id), 0)
    + coalesce(octet_length(reason), 0) + coalesce(octet_length(document), 0)
    + coalesce(octet_length(origin), 0)";
const COLUMNS: &str = "number, id, at_micros, kind, limit_name, holder_kind, holder_id, lease, \
    reason, document, origin";

impl Transaction<'_> {
    /// Writes events at the end of the log, in their order, and gives each its number.
    pub fn add_events(&self, events: &mut [EventRow]) -> Result<()> {
        let mut size = self.log_size()?;
        for event in &mut *events {
            self.require_space()?;
            event.number = size.add(event);
            self.execute(
                "INSERT INTO events (number, id, at_micros, kind, limit_name, holder_kind, holder_id,
                     lease, reason, document, origin)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                params![
                    integer(event.number),
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
                ],
            )?;
        }
        self.put_log_size(size)
    }

    /// How many events of limits and leases are kept at the most.
    pub fn events_max(&self) -> u64 {
        self.bounds.events_max
    }

    /// The number of the last event, 0 without any.
    pub fn last_event(&self) -> Result<u64> {
        Ok(self.log_size()?.last_number)
    }

    /// The events that pass a filter, in its order.
    pub fn events(&self, filter: &EventFilter) -> Result<EventPage> {
        let mut conditions = conditions(filter);
        let order = if filter.is_newest_first { "DESC" } else { "ASC" };
        let limit = conditions.param(Value::Integer(integer(filter.limit_count)));
        let mut statement = self.connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM events WHERE {} ORDER BY number {order} LIMIT {limit}",
            conditions.sql,
        ))?;
        let mut page = EventPage::default();
        let mut left = filter.bytes_max.unwrap_or(u64::MAX);
        let mut rows = statement.query(params_from_iter(conditions.values))?;
        while let Some(row) = rows.next()? {
            let event = read(row)?;
            let bytes = event.bytes();
            if bytes > left && !page.events.is_empty() {
                page.is_cut = true;
                return Ok(page);
            }
            left = left.saturating_sub(bytes);
            page.events.push(event);
        }
        page.is_cut = page.events.len() as u64 >= filter.limit_count;
        Ok(page)
    }

    /// The latest event of each lease on each limit, in their order. Events of waiters do not
    /// count.
    pub fn last_events_of_leases(&self) -> Result<Vec<EventRow>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE number IN
             (SELECT max(number) FROM events
              WHERE lease IS NOT NULL AND substr(kind, 1, 6) = 'lease.' GROUP BY lease, limit_name)
             ORDER BY number"
        );
        self.all(&sql, [], read)
    }

    /// When the ledger's latest event in the log happened. Events of clients, of the log itself,
    /// and notes beside the ledger do not count.
    pub fn logged_until(&self) -> Result<LoggedUntil> {
        let sql = "SELECT at_micros FROM events
             WHERE document IS NULL AND substr(kind, 1, 4) <> 'log.'
             AND kind NOT IN ('holder.identified', 'limit.missing')
             ORDER BY number DESC LIMIT 1";
        Ok(match self.first(sql, [], |row| Ok(row.get(0)?))? {
            Some(at_micros) => LoggedUntil::At(at_micros),
            None if self.log_size()?.last_number > 0 => LoggedUntil::Pruned,
            None => LoggedUntil::Never,
        })
    }

    /// Deletes what is too old, and the oldest of what exceeds either share. Returns whether there
    /// may be more.
    pub(super) fn prune_events(&self, oldest_micros: i64) -> Result<bool> {
        let before = self.log_size()?;
        let mut size = before;
        let [ledger, clients] = LogSize::max(self.bounds);
        let shares = [
            ("document IS NULL", &mut size.ledger, ledger),
            ("document IS NOT NULL", &mut size.clients, clients),
        ];
        let mut is_behind = false;
        for (which, share, max) in shares {
            is_behind |= self.prune_share(which, share, max, oldest_micros)?;
        }
        if size != before {
            self.put_log_size(size)?;
        }
        Ok(is_behind)
    }

    fn prune_share(
        &self,
        which: &str,
        share: &mut Size,
        max: Size,
        oldest_micros: i64,
    ) -> Result<bool> {
        let sql = format!(
            "SELECT number, at_micros, {BYTES} FROM events WHERE {which} ORDER BY number LIMIT ?1"
        );
        let mut pruned = Vec::new();
        self.all(&sql, [PRUNED_MAX as i64], |row| {
            let (number, at_micros): (i64, i64) = (row.get(0)?, row.get(1)?);
            if share.exceeds(max) || at_micros < oldest_micros {
                share.remove(natural(row, 2)?);
                pruned.push(number);
            }
            Ok(())
        })?;
        for number in &pruned {
            self.execute("DELETE FROM events WHERE number = ?1", [number])?;
        }
        Ok(pruned.len() == PRUNED_MAX)
    }
}

fn conditions(filter: &EventFilter) -> Conditions {
    let mut conditions = Conditions::default();
    let mut also = |condition: &str, value: Option<Value>| {
        let Some(value) = value else { return };
        let param = conditions.param(value);
        conditions.add(&condition.replace('?', &param));
    };
    let text = |text: &Option<String>| text.clone().map(Value::Text);
    let is_before = filter.is_newest_first && filter.after > 0;
    let after = if is_before { "number < ?" } else { "number > ?" };
    also(after, Some(Value::Integer(integer(filter.after))));
    also("limit_name = ?", text(&filter.limit));
    also("holder_id = ?", text(&filter.holder));
    also("(kind = ? OR substr(kind, 1, length(?) + 1) = ? || '.')", text(&filter.kind));
    also("lease = ?", filter.lease.map(|lease| Value::Blob(lease.into_bytes().to_vec())));
    also("at_micros >= ?", filter.since_micros.map(Value::Integer));
    also("at_micros < ?", filter.until_micros.map(Value::Integer));
    conditions
}

fn read(row: &Row<'_>) -> Result<EventRow> {
    let holder = match (row.get(5)?, row.get(6)?) {
        (Some(kind), Some(id)) => Some((kind, id)),
        (None, None) => None,
        _ => return Err(RecordsError::damaged("an event has half a holder".to_owned())),
    };
    Ok(EventRow {
        number: natural(row, 0)?,
        id: id(row, 1)?,
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
