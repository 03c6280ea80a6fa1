//! A subscriber of the log. It holds one event at a time, and a small part of the log while it is
//! so far behind that its next events are not in memory: the server fetches no event before its
//! subscriber reads.

use std::collections::VecDeque;
use std::sync::Arc;

use leasehold_records::EventFilter;

use super::tail::AtHand;
use super::{Entry, EventLog, Stage};

/// How many bytes of the log are fetched at once for a subscriber.
pub(crate) const FOLLOWED_BYTES_MAX: u64 = 256 << 10;
/// How many events are fetched at once.
const FOLLOWED_MAX: u64 = 200;

/// Follows the log.
#[derive(Debug)]
pub(crate) struct Follower {
    log: EventLog,
    filter: EventFilter,
    /// Fetched from the log.
    ready: VecDeque<Arc<Entry>>,
}

impl Follower {
    pub(super) fn new(log: EventLog, filter: EventFilter) -> Self {
        let filter = EventFilter {
            limit_count: FOLLOWED_MAX,
            bytes_max: Some(FOLLOWED_BYTES_MAX),
            ..filter
        };
        Self { log, filter, ready: VecDeque::new() }
    }

    /// Waits for the next event that passes. `None` when the server closes its streams. It misses
    /// no event if it is dropped while it waits.
    pub(crate) async fn next(&mut self) -> Option<Arc<Entry>> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Some(entry);
            }
            let seen = *self.log.latest.borrow_and_update();
            match self.log.tail.next(&self.filter) {
                AtHand::Next(entry) => {
                    self.filter.after = entry.event().number;
                    return Some(entry);
                }
                AtHand::NothingUpTo(number) => self.filter.after = number,
                AtHand::Unknown => {
                    self.fetch(seen).await?;
                    if !self.ready.is_empty() {
                        continue;
                    }
                }
            }
            tokio::select! {
                changed = self.log.latest.changed() => changed.ok()?,
                _ = self.log.stage.wait_for(|stage| *stage >= Stage::Closing) => return None,
            }
        }
    }

    /// Fetches events that are not in memory. If it finds none, no event up to `seen` passes.
    async fn fetch(&mut self, seen: u64) -> Option<()> {
        let found = self.log.read(self.filter.clone()).await.ok()?;
        self.filter.after = match found.events.last() {
            Some(last) => last.number,
            None => self.filter.after.max(seen),
        };
        self.ready.extend(found.events.into_iter().map(|event| Arc::new(Entry::new(event))));
        Some(())
    }
}
