//! What was seen of the upstream's leases, in a file beside the journal, so that a restart does not
//! take a holder that lives for a phantom.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::sync::Arc;

use leasehold_engine::{Holder, LeaseId, Span, Timestamp};
use leasehold_gateway::{Seen, Watched};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::memory::{MemoryFile, replace};
use super::{Migration, State};

const FILE: &str = "prefect-leases-seen.json";
/// How often it is stored that leases came and went.
const INTERVAL: Span = Span::from_seconds(5);
/// Beyond, no lease is stored: the file would be written for seconds.
const LEASES_MAX: usize = 20_000;

/// What the file has.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Stored {
    longest_seconds: f64,
    /// The limits of which slots were taken without a lease.
    plain: BTreeSet<String>,
    leases: Vec<StoredLease>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredLease {
    id: Uuid,
    limits: Vec<String>,
    slots: u64,
    holder: Option<(String, String)>,
    since_micros: i64,
    seconds: Option<f64>,
}

/// What of it is stored.
#[derive(Debug, Default)]
pub(super) struct Storing(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    longest: Span,
    plain: usize,
    changes: u64,
    at: Option<Timestamp>,
}

impl Migration {
    /// What a process before this one has seen: its leases, and the limits of which slots were
    /// taken without one.
    pub(super) fn load_seen(&self, now: Timestamp) -> (Watched, HashSet<Arc<str>>) {
        let stored = self.seen_file().map_or_else(Stored::default, |MemoryFile(path)| {
            let read = match std::fs::read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Stored::default(),
                Err(error) => Err(error),
                Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
            };
            read.unwrap_or_else(|error| {
                let path = path.display();
                tracing::error!(%error, %path, "which leases were seen before is forgotten");
                Stored::default()
            })
        });
        let longest = Span::from_seconds_f64(stored.longest_seconds);
        let leases = stored.leases.into_iter().map(StoredLease::into_seen);
        let plain = stored.plain.into_iter().map(Into::into).collect();
        (Watched::resumed(longest, leases, now), plain)
    }

    /// Stores what has changed.
    pub(super) async fn store_seen(&self) {
        let Some(MemoryFile(path)) = self.seen_file() else { return };
        let mut last = self.0.storing.0.lock().await;
        let now = self.0.ledger.clock().now();
        let (stored, next) = {
            let state = self.state();
            if !state.is_ready || !last.is_due(&state, now) {
                return;
            }
            (Stored::of(&state), Last::of(&state, now))
        };
        let written = tokio::task::spawn_blocking(move || {
            replace(&path, &serde_json::to_vec(&stored).map_err(io::Error::from)?)
        });
        match written.await.map_err(io::Error::other).flatten() {
            Ok(()) => *last = next,
            Err(error) => {
                last.at = Some(now);
                tracing::error!(%error, "which leases were seen cannot be stored");
            }
        }
    }

    fn seen_file(&self) -> Option<MemoryFile> {
        Some(self.0.memory.file()?.beside(FILE))
    }
}

impl Last {
    fn of(state: &State, now: Timestamp) -> Self {
        Self {
            longest: state.watched.longest(),
            plain: state.plain.len(),
            changes: state.watched.changes(),
            at: Some(now),
        }
    }

    fn is_due(&self, state: &State, now: Timestamp) -> bool {
        let is_judged_by = (self.longest, self.plain);
        let have_passed = |at: Timestamp| now.since(at) >= INTERVAL;
        is_judged_by != (state.watched.longest(), state.plain.len())
            || (self.changes != state.watched.changes() && self.at.is_none_or(have_passed))
    }
}

impl Stored {
    fn of(state: &State) -> Self {
        let leases = state.watched.leases();
        let leases = if leases.len() > LEASES_MAX {
            Vec::new()
        } else {
            leases.map(StoredLease::of).collect()
        };
        Self {
            longest_seconds: state.watched.longest().as_seconds_f64(),
            plain: state.plain.iter().map(ToString::to_string).collect(),
            leases,
        }
    }
}

impl StoredLease {
    fn of(seen: &Seen) -> Self {
        let holder = seen.holder.as_ref().map(|it| (it.kind.to_string(), it.id.to_string()));
        Self {
            id: Uuid::from_u128(seen.lease.0),
            limits: seen.limits.iter().map(ToString::to_string).collect(),
            slots: seen.slots,
            holder,
            since_micros: seen.since.as_micros(),
            seconds: seen.length.map(Span::as_seconds_f64),
        }
    }

    fn into_seen(self) -> Seen {
        let since = Timestamp::from_micros(self.since_micros);
        Seen {
            lease: LeaseId(self.id.as_u128()),
            limits: self.limits.into_iter().map(Into::into).collect(),
            slots: self.slots,
            holder: self.holder.map(|(kind, id)| Holder::new(kind, id)),
            since,
            renewed: since,
            length: self.seconds.map(Span::from_seconds_f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_read_as_it_was_stored() {
        let seen = Seen {
            lease: LeaseId(7),
            limits: vec!["tag:a".into(), "b".into()],
            slots: u64::MAX,
            holder: Some(Holder::new("task_run", "x")),
            since: Timestamp::from_micros(5),
            renewed: Timestamp::from_micros(5),
            length: Some(Span::from_seconds(3_600)),
        };
        let written = serde_json::to_vec(&StoredLease::of(&seen)).unwrap();
        let read: StoredLease = serde_json::from_slice(&written).unwrap();
        assert_eq!(read.into_seen(), seen);
    }
}
