//! Which leases are renewed when, and when one counts as lost. Pure: it sends nothing, and the time
//! is an argument.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use leasehold_api::leases::{Renewal, Renewals};
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::Error;
use crate::held::{Held, Lost, Trouble};

/// The most leases of one request.
const BATCH_MAX: usize = 1000;
/// Leases that are due within this part of their ttl are renewed with one that is due now.
const TOGETHER: u32 = 6;
/// A renewal without an answer is sent again after this part of the ttl, on another connection.
const REPEATED: u32 = 6;
const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The leases that one client holds.
#[derive(Default)]
pub(crate) struct Book {
    entries: HashMap<Uuid, Renewing>,
}

/// A lease that is renewed.
pub(crate) struct Entry {
    pub(crate) ttl: Duration,
    /// How long before its end it counts as lost.
    pub(crate) notice: Duration,
    /// The server keeps it until then at least.
    pub(crate) until: Instant,
    pub(crate) state: watch::Sender<Held>,
}

/// Leases that are renewed in one request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Batch {
    pub(crate) ttl: Duration,
    pub(crate) leases: Vec<Uuid>,
}

struct Renewing {
    entry: Entry,
    next: Instant,
    /// Whether a renewal has no answer yet.
    is_asked: bool,
}

impl Book {
    /// Begins to renew a lease.
    pub(crate) fn keep(&mut self, id: Uuid, entry: Entry, now: Instant) {
        let next = now + entry.pause(now);
        self.entries.insert(id, Renewing { entry, next, is_asked: false });
    }

    /// Renews a lease no more.
    pub(crate) fn forget(&mut self, id: Uuid) {
        self.entries.remove(&id);
    }

    /// When something is to be done next.
    pub(crate) fn wake(&self) -> Option<Instant> {
        let wake = |lease: &Renewing| match lease.entry.state.borrow().lost {
            None => lease.next.min(lease.entry.deadline()),
            Some(_) => lease.next,
        };
        self.entries.values().map(wake).min()
    }

    /// The renewals that are due, and those that go with them.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Batch> {
        let due = self.entries.values().filter(|lease| lease.next <= now);
        let mut by_ttl: BTreeMap<Duration, Vec<Uuid>> =
            due.map(|lease| (lease.entry.ttl, Vec::new())).collect();
        for (id, lease) in &mut self.entries {
            let Some(leases) = by_ttl.get_mut(&lease.entry.ttl) else { continue };
            let goes_with = !lease.is_asked && lease.next <= now + lease.entry.ttl / TOGETHER;
            if lease.next <= now || goes_with {
                leases.push(*id);
                lease.is_asked = true;
                lease.next = now + lease.entry.ttl / REPEATED;
            }
        }
        let batches = by_ttl.into_iter().flat_map(|(ttl, mut leases)| {
            leases.sort_unstable();
            let part = move |leases: &[Uuid]| Batch { ttl, leases: leases.to_vec() };
            leases.chunks(BATCH_MAX).map(part).collect::<Vec<_>>()
        });
        batches.collect()
    }

    /// Until when an answer to a renewal of these leases can still help.
    pub(crate) fn patience(&self, batch: &Batch, now: Instant) -> Duration {
        let entries = batch.leases.iter().filter_map(|id| self.entries.get(id));
        let longest = entries.map(|lease| lease.entry.until).max().unwrap_or(now);
        longest.saturating_duration_since(now).max(batch.ttl / 2)
    }

    /// Notes what a renewal was answered. `sent_at` is before its request was sent: the server
    /// counts from a later moment.
    pub(crate) fn answered(
        &mut self,
        batch: &Batch,
        sent_at: Instant,
        answer: Result<Renewals, Error>,
        now: Instant,
    ) {
        match answer {
            Ok(renewals) => {
                for (id, renewal) in batch.leases.iter().zip(renewals.leases) {
                    self.learn(*id, renewal, sent_at, now);
                }
            }
            Err(error) => {
                for id in &batch.leases {
                    self.fail(*id, &error, now);
                }
            }
        }
    }

    fn learn(&mut self, id: Uuid, renewal: Renewal, sent_at: Instant, now: Instant) {
        let Some(lease) = self.entries.get_mut(&id) else { return };
        match renewal {
            Renewal::Renewed(_) => {
                let entry = &mut lease.entry;
                entry.until = entry.until.max(sent_at + entry.ttl);
                lease.is_asked = false;
                lease.next = now + entry.pause(now);
                let deadline = entry.deadline();
                entry.state.send_if_modified(|state| {
                    let was_sound = state.trouble.is_none() && state.lost.is_none();
                    *state = Held::until(Some(deadline));
                    // A renewal as expected wakes no one.
                    !was_sound
                });
            }
            Renewal::Ended(ended) => {
                lease
                    .entry
                    .state
                    .send_modify(|state| state.lost = Some(Lost::Ended(Box::new(ended))));
                self.entries.remove(&id);
            }
        }
    }

    fn fail(&mut self, id: Uuid, error: &Error, now: Instant) {
        let Some(lease) = self.entries.get_mut(&id) else { return };
        let entry = &lease.entry;
        lease.is_asked = false;
        let pause = (entry.ttl / 30).clamp(PAUSE_MIN, PAUSE_MAX).mul_f64(0.5 + fastrand::f64());
        // A server that wants a longer pause is asked while there is still time for one more.
        let half = entry.deadline().saturating_duration_since(now) / 2;
        let asked = error.retry_after().unwrap_or_default().min(half);
        lease.next = now + pause.max(asked);
        entry.state.send_modify(|state| {
            let since = state.trouble.as_ref().map_or(now, |trouble| trouble.since);
            state.trouble = Some(Trouble { since, error: error.clone() });
        });
    }

    /// Reports the leases that were not renewed in time. Their renewals go on: a server that was
    /// down kept them, and then says so.
    pub(crate) fn note_silence(&mut self, now: Instant) {
        for lease in self.entries.values().filter(|lease| lease.entry.deadline() <= now) {
            let is_asked = lease.is_asked;
            lease.entry.state.send_if_modified(|state| {
                if state.lost.is_some() {
                    return false;
                }
                state.lost = Some(match &state.trouble {
                    Some(trouble) => Lost::Unreachable(Box::new(trouble.error.clone())),
                    None if is_asked => Lost::NoAnswer,
                    None => Lost::Overslept,
                });
                true
            });
        }
    }
}

impl Entry {
    /// From then on the holder must not rely on it.
    pub(crate) fn deadline(&self) -> Instant {
        self.until.checked_sub(self.notice).unwrap_or(self.until)
    }

    /// A third of the ttl, and no longer than half the way to the deadline.
    fn pause(&self, now: Instant) -> Duration {
        (self.ttl / 3).min(self.deadline().saturating_duration_since(now) / 2)
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
