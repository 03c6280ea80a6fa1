//! Who was sent away and comes back in a moment: the clients that poll.
//!
//! A waiter that is away stands in no line. How often it was overtaken is remembered, and what is kept
//! for it stays, for two seconds. For ten seconds it is the same waiter when it comes back.

use std::collections::{BTreeMap, BTreeSet};

use super::{OVERTAKES_MAX, Queue, Ticket, Waiter, WaiterId};
use crate::command::Patience;
use crate::time::{Span, Timestamp};

/// How long slots stay kept for a waiter that was sent away to come back.
const ABSENCE_MAX: Span = Span::from_seconds(2);
/// How much longer it counts as the same waiter when it comes back.
const MEMORY: Span = Span::from_seconds(8);

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
    /// Whether slots may be kept for it.
    is_expected: bool,
    overtaken: u64,
    waiter: Waiter,
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

    /// Sends a waiter away that comes back in a moment. Answers its id and its priority.
    pub(super) fn send_to_come_back(
        &mut self,
        ticket: Ticket,
        now: Timestamp,
    ) -> Option<(WaiterId, i32)> {
        let wanted = &self.waiters.get(&ticket)?.wanted;
        let lines = wanted.iter().filter_map(|want| self.lines.get(&want.limit));
        let overtaken = lines.map(|line| line.overtaken(ticket)).max().unwrap_or(0);
        let waiter = self.leave(ticket)?;
        if overtaken >= OVERTAKES_MAX {
            for want in &waiter.wanted {
                self.lines.entry(want.limit).or_default().keep(ticket, want.slots);
            }
        }
        let sent_away = (waiter.id, waiter.priority);
        let until = now + ABSENCE_MAX;
        self.absentees.add(ticket, Absent { until, is_expected: true, overtaken, waiter });
        Some(sent_away)
    }

    /// A waiter is back, or it does not matter any longer: nothing is kept for it while it is
    /// away. Answers how often it had been overtaken, and the waiter as it was.
    pub(crate) fn expect_no_longer(&mut self, ticket: Ticket) -> Option<(u64, Waiter)> {
        let absent = self.absentees.remove(ticket)?;
        if absent.is_expected {
            self.keep_nothing_for(ticket, &absent.waiter);
        }
        Some((absent.overtaken, absent.waiter))
    }

    fn keep_nothing_for(&mut self, ticket: Ticket, waiter: &Waiter) {
        for want in &waiter.wanted {
            if let Some(line) = self.lines.get_mut(&want.limit) {
                line.keep_no_longer(ticket);
                self.remove_if_empty(want.limit);
                self.touch(want.limit);
            }
        }
    }

    /// Keeps nothing more for those who are not back by now. Answers those that are forgotten.
    pub(super) fn give_up_the_overdue(&mut self, now: Timestamp) -> Vec<Waiter> {
        let mut forgotten = Vec::new();
        while let Some(ticket) = self.absentees.overdue(now)
            && let Some(absent) = self.absentees.remove(ticket)
        {
            if !absent.is_expected {
                forgotten.push(absent.waiter);
                continue;
            }
            self.keep_nothing_for(ticket, &absent.waiter);
            let until = absent.until + MEMORY;
            // Its count is forgotten: it is as if it came anew, in its place.
            self.absentees
                .add(ticket, Absent { until, is_expected: false, overtaken: 0, ..absent });
        }
        forgotten
    }

    /// Forgets all who are away.
    pub(super) fn forget_the_absent(&mut self) -> Vec<Waiter> {
        let absent: Vec<_> = self.absentees.absent.keys().copied().collect();
        let forgotten = absent.into_iter().filter_map(|ticket| self.expect_no_longer(ticket));
        forgotten.map(|(_, waiter)| waiter).collect()
    }
}
