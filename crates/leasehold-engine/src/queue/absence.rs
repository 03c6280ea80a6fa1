//! Who was sent away and comes back in a moment: the clients that poll.
//!
//! Whoever is absent stands in no line. But how often it was overtaken is remembered, and what
//! is kept for it stays, until it is back in its place, or is no longer expected.

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use super::{OVERTAKES_MAX, Queue, Ticket, Waiter};
use crate::command::Patience;
use crate::limit::LimitId;
use crate::time::{Span, Timestamp};

/// How long somebody who was sent away to come back is expected.
const ABSENCE_MAX: Span = Span::from_seconds(2);

/// Everybody who is expected back.
#[derive(Debug, Default)]
pub(super) struct Absentees {
    absent: BTreeMap<Ticket, Absent>,
    /// When they are no longer expected.
    ends: BTreeSet<(Timestamp, Ticket)>,
}

#[derive(Debug)]
struct Absent {
    until: Timestamp,
    overtaken: u64,
    /// On which something may be kept for it.
    limits: SmallVec<[LimitId; 1]>,
}

impl Absentees {
    /// When somebody is no longer expected, if nobody comes back before.
    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.ends.first().map(|(at, _)| *at)
    }

    fn add(&mut self, ticket: Ticket, absent: Absent) {
        self.ends.insert((absent.until, ticket));
        self.absent.insert(ticket, absent);
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Absent> {
        let absent = self.absent.remove(&ticket)?;
        self.ends.remove(&(absent.until, ticket));
        Some(absent)
    }

    fn overdue(&self, now: Timestamp) -> Option<Ticket> {
        self.ends.first().filter(|(until, _)| *until <= now).map(|(_, ticket)| *ticket)
    }
}

impl Queue {
    /// The place that somebody comes back to, unless it is none or somebody stands there.
    pub(crate) fn place_of(&self, patience: &Patience) -> Option<Ticket> {
        let is_free =
            |place: &Ticket| place.0 < self.next_ticket && !self.waiters.contains_key(place);
        patience.place.filter(is_free)
    }

    /// Sends somebody away who comes back in a moment.
    pub(super) fn send_to_come_back(&mut self, ticket: Ticket, now: Timestamp) -> Option<Waiter> {
        let wanted = &self.waiters.get(&ticket)?.wanted;
        let lines = wanted.iter().filter_map(|want| self.lines.get(&want.limit));
        let overtaken = lines.map(|line| line.overtaken(ticket)).max().unwrap_or(0);
        let waiter = self.leave(ticket)?;
        if overtaken >= OVERTAKES_MAX {
            for want in &waiter.wanted {
                self.lines.entry(want.limit).or_default().keep(ticket, want.slots);
            }
        }
        let limits = waiter.wanted.iter().map(|want| want.limit).collect();
        self.absentees.add(ticket, Absent { until: now + ABSENCE_MAX, overtaken, limits });
        Some(waiter)
    }

    /// Somebody is back, or it does not matter any longer: nothing is kept for it while it is
    /// away. Answers how often it had been overtaken.
    pub(crate) fn expect_no_longer(&mut self, ticket: Ticket) -> u64 {
        let Some(absent) = self.absentees.remove(ticket) else { return 0 };
        for limit in absent.limits {
            if let Some(line) = self.lines.get_mut(&limit) {
                line.keep_no_longer(ticket);
                self.remove_if_empty(limit);
                self.touch(limit);
            }
        }
        absent.overtaken
    }

    /// Expects none of those any longer who are not back by now.
    pub(super) fn give_up_the_overdue(&mut self, now: Timestamp) {
        while let Some(ticket) = self.absentees.overdue(now) {
            self.expect_no_longer(ticket);
        }
    }
}
