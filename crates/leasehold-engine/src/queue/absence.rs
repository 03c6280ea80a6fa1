//! Clients that poll, between two requests.
//!
//! An absent waiter is in no line. For two seconds its count of overtakes is kept, and so are the
//! slots that are reserved for it. For ten seconds it is the same waiter when it comes back.

use std::collections::{BTreeMap, BTreeSet};

use super::{OVERTAKES_MAX, Queue, Waiter};
use crate::acquire::Patience;
use crate::ticket::{Ticket, WaiterId};
use crate::time::{Span, Timestamp};

/// How long slots stay reserved for an absent waiter.
const ABSENCE_MAX: Span = Span::from_seconds(2);
/// How much longer it is the same waiter when it comes back.
const MEMORY: Span = Span::from_seconds(8);

/// All absent waiters.
#[derive(Debug, Default)]
pub(super) struct Absentees {
    absent: BTreeMap<Ticket, Absent>,
    /// When each absence ends.
    ends: BTreeSet<(Timestamp, Ticket)>,
}

#[derive(Debug)]
struct Absent {
    until: Timestamp,
    /// Whether slots may be reserved for it.
    is_expected: bool,
    overtaken: u64,
    waiter: Waiter,
}

impl Absentees {
    /// When the next absence ends, unless its waiter comes back before.
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
    /// The place that a request comes back to, if there is one and it is free.
    pub(crate) fn place_of(&self, patience: &Patience) -> Option<Ticket> {
        let is_free =
            |place: &Ticket| place.0 < self.next_ticket && !self.waiters.contains_key(place);
        patience.place.filter(is_free)
    }

    /// Removes a waiter that comes back. Returns its id and its priority.
    pub(crate) fn send_away(&mut self, ticket: Ticket, now: Timestamp) -> Option<(WaiterId, i32)> {
        let wanted = &self.waiters.get(&ticket)?.wanted;
        let lines = wanted.iter().filter_map(|want| self.lines.get(&want.limit));
        let overtaken = lines.map(|line| line.overtaken(ticket)).max().unwrap_or(0);
        let waiter = self.leave(ticket)?;
        if overtaken >= OVERTAKES_MAX {
            for want in &waiter.wanted {
                self.lines.entry(want.limit).or_default().reserve(ticket, want.slots);
            }
        }
        let sent_away = (waiter.id, waiter.priority);
        let until = now + ABSENCE_MAX;
        self.absentees.add(ticket, Absent { until, is_expected: true, overtaken, waiter });
        Some(sent_away)
    }

    /// Ends an absence: no slots are reserved for it. Returns how often the waiter had been
    /// overtaken, and the waiter.
    pub(crate) fn end_absence(&mut self, ticket: Ticket) -> Option<(u64, Waiter)> {
        let absent = self.absentees.remove(ticket)?;
        if absent.is_expected {
            self.release_all_for(ticket, &absent.waiter);
        }
        Some((absent.overtaken, absent.waiter))
    }

    fn release_all_for(&mut self, ticket: Ticket, waiter: &Waiter) {
        for want in &waiter.wanted {
            if let Some(line) = self.lines.get_mut(&want.limit) {
                line.release(ticket);
                self.remove_if_empty(want.limit);
                self.touch(want.limit);
            }
        }
    }

    /// Ends the absences that are over by `now`: first the reservation, later the memory. Returns
    /// the waiters that are forgotten.
    pub(crate) fn end_absences(&mut self, now: Timestamp) -> Vec<Waiter> {
        let mut forgotten = Vec::new();
        while let Some(ticket) = self.absentees.overdue(now)
            && let Some(absent) = self.absentees.remove(ticket)
        {
            if !absent.is_expected {
                forgotten.push(absent.waiter);
                continue;
            }
            self.release_all_for(ticket, &absent.waiter);
            let until = absent.until + MEMORY;
            // Its count starts again; its place and its age stay.
            self.absentees
                .add(ticket, Absent { until, is_expected: false, overtaken: 0, ..absent });
        }
        forgotten
    }

    /// Forgets all absent waiters.
    pub(crate) fn forget_absent(&mut self) -> Vec<Waiter> {
        let absent: Vec<_> = self.absentees.absent.keys().copied().collect();
        let forgotten = absent.into_iter().filter_map(|ticket| self.end_absence(ticket));
        forgotten.map(|(_, waiter)| waiter).collect()
    }
}
