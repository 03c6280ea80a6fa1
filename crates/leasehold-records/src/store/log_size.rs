//! How much is in the log. Events of limits and leases and events of clients have a share each, so
//! that no client can push out what happened to a lease. The sums stand in a row of their own: the
//! row also gives each event its number, in the order of commits.

use rusqlite::params;

use super::row::{integer, natural};
use super::{Bounds, Result, Transaction};
use crate::error::RecordsError;
use crate::event::EventRow;

/// Beyond a share by this part of it, events are pruned at once and not in turn.
const EXCESS_PART: u64 = 8;

/// What is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogSize {
    /// The number of the last event, which may be pruned already; 0 before the first.
    pub(super) last_number: u64,
    pub(super) ledger: Size,
    pub(super) clients: Size,
}

/// How many events, and how many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) count: u64,
    pub(super) bytes: u64,
}

impl LogSize {
    /// Counts an event that is added. Returns its number.
    pub(super) fn add(&mut self, event: &EventRow) -> u64 {
        let size = if event.document.is_some() { &mut self.clients } else { &mut self.ledger };
        size.count += 1;
        size.bytes += event.bytes();
        self.last_number += 1;
        self.last_number
    }

    /// The shares of the events of the ledger and of clients: half of the bytes each.
    pub(super) fn max(bounds: Bounds) -> [Size; 2] {
        let bytes = bounds.events_bytes_max / 2;
        [bounds.events_max, bounds.client_events_max].map(|count| Size { count, bytes })
    }
}

impl Size {
    pub(super) fn remove(&mut self, bytes: u64) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    pub(super) fn exceeds(self, max: Self) -> bool {
        self.count > max.count || self.bytes > max.bytes
    }
}

impl Transaction<'_> {
    /// Whether the log exceeds its bounds by so much that it has to be [pruned](Self::prune) now.
    pub fn log_overflows(&self) -> Result<bool> {
        let more = |max: u64| max.saturating_add(max / EXCESS_PART);
        let [ledger, clients] = LogSize::max(self.bounds)
            .map(|max| Size { count: more(max.count), bytes: more(max.bytes) });
        let size = self.log_size()?;
        Ok(size.ledger.exceeds(ledger) || size.clients.exceeds(clients))
    }

    pub(super) fn log_size(&self) -> Result<LogSize> {
        let sql = "SELECT last_number, ledger_events, ledger_bytes, client_events, client_bytes
             FROM log";
        let size = self.first(sql, [], |row| {
            Ok(LogSize {
                last_number: natural(row, 0)?,
                ledger: Size { count: natural(row, 1)?, bytes: natural(row, 2)? },
                clients: Size { count: natural(row, 3)?, bytes: natural(row, 4)? },
            })
        })?;
        size.ok_or_else(|| RecordsError::damaged("the log has no size".to_owned()))
    }

    pub(super) fn put_log_size(&self, size: LogSize) -> Result<()> {
        self.execute(
            "UPDATE log SET last_number = ?1, ledger_events = ?2, ledger_bytes = ?3,
                 client_events = ?4, client_bytes = ?5",
            params![
                integer(size.last_number),
                integer(size.ledger.count),
                integer(size.ledger.bytes),
                integer(size.clients.count),
                integer(size.clients.bytes),
            ],
        )?;
        Ok(())
    }
}
