//! Several censuses in a row: whether it is safe to go on, or what stands in the way and until
//! when.

use std::time::Duration;

use tokio::time::Instant;

use crate::census::Census;
use crate::fleet::Fleet;
use crate::lock_entry::LockEntry;
use crate::phase::{Mechanism, Phase};

/// What the censuses so far say about going from one phase to the next.
#[derive(Clone, Debug)]
pub struct Observation {
    from: Phase,
    to: Phase,
    needed: Duration,
    quiet_since: Option<Instant>,
}

/// Whether it is safe to go on.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// Yes.
    Safe,
    /// Nothing is in the way, but not for long enough: a holder may still appear.
    Watching {
        /// How much longer to watch.
        left: Duration,
    },
    /// This stands in the way.
    Blocked {
        /// Locks and processes, in words.
        by: Vec<String>,
        /// When the last of the locks expires unless it is renewed, in Unix seconds; `None` if that
        /// is unknown.
        until: Option<f64>,
    },
}

impl Observation {
    /// Starts to watch. `longest` is the longest timeout of any lock: a holder with the old
    /// mechanism appears within it, or holds nothing.
    #[must_use]
    pub fn new(from: Phase, to: Phase, longest: Duration) -> Self {
        Self { from, to, needed: longest, quiet_since: None }
    }

    /// The mechanism whose holders the new phase does not exclude; `None` if it excludes all.
    #[must_use]
    pub fn unsafe_mechanism(&self) -> Option<Mechanism> {
        match (self.from, self.to) {
            (Phase::Token, Phase::Old) | (Phase::Old, Phase::Token) => None,
            (_, Phase::Token) => Some(Mechanism::Old),
            (_, Phase::Old) => Some(Mechanism::Token),
            (_, Phase::Dual) => None,
        }
    }

    /// Takes in what is there at `now`, and judges.
    pub fn judge(&mut self, fleet: &Fleet, census: &Census, now: Instant) -> Verdict {
        let unsafe_mechanism = self.unsafe_mechanism();
        let in_the_way: Vec<&LockEntry> =
            unsafe_mechanism.map(|mechanism| census.of(mechanism).collect()).unwrap_or_default();
        if in_the_way.is_empty() {
            self.quiet_since.get_or_insert(now);
        } else {
            self.quiet_since = None;
        }
        let unconfirmed = fleet.unconfirmed().map(|process| {
            format!(
                "{}, pid {} on {}, has not confirmed phase {}",
                process.name, process.pid, process.host, self.from
            )
        });
        let mut by: Vec<String> = unconfirmed.collect();
        by.extend(in_the_way.iter().map(|entry| describe(entry, census.at)));
        if !by.is_empty() {
            let until = latest(&in_the_way);
            return Verdict::Blocked { by, until };
        }
        if unsafe_mechanism.is_none() {
            return Verdict::Safe;
        }
        let needed = self.needed.max(fleet.longest_ttl());
        let quiet =
            self.quiet_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if quiet > needed { Verdict::Safe } else { Verdict::Watching { left: needed - quiet } }
    }

    /// For a migration during a downtime: every live process and lock stands in the way.
    #[must_use]
    pub fn judge_downtime(fleet: &Fleet, census: &Census) -> Verdict {
        let mut by: Vec<String> = fleet
            .alive()
            .map(|process| {
                format!("{}, pid {} on {}, is alive", process.name, process.pid, process.host)
            })
            .collect();
        by.extend(census.live.iter().map(|entry| describe(entry, census.at)));
        by.extend(census.live_members().map(|(queue, member)| {
            format!(
                "{} in the semaphore of queue {queue} for another {:.0} s",
                member.id,
                member.until - census.at
            )
        }));
        if by.is_empty() {
            return Verdict::Safe;
        }
        let live: Vec<&LockEntry> = census.live.iter().collect();
        Verdict::Blocked { by, until: latest(&live) }
    }
}

/// When the last of these locks expires; `None` if one of them never does.
fn latest(locks: &[&LockEntry]) -> Option<f64> {
    let untils: Option<Vec<f64>> = locks.iter().map(|entry| entry.until).collect();
    untils?.into_iter().reduce(f64::max)
}

fn describe(entry: &LockEntry, at: f64) -> String {
    let left = match entry.until {
        Some(until) => format!("for another {:.0} s", (until - at).max(0.0)),
        None => "for ever".to_owned(),
    };
    let holder = entry.holder.as_ref().map(|holder| format!(", by {holder}")).unwrap_or_default();
    format!("{} lock {} is held {left}{holder}", entry.mechanism, entry.id)
}
