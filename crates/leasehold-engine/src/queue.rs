//! The queue: which requests wait, and in which order.
//!
//! A request that may wait joins the line of each limit that it wants slots of, in the order of
//! priorities and, within one, of tickets. The queue is work-conserving: a request that can run now
//! overtakes one that cannot. Overtaking is bounded: after [`OVERTAKES_MAX`] times on one of its
//! limits, a request's slots are reserved on all of them, and a younger request gets only what is
//! left. Slots are reserved in the order of tickets, so no two requests wait for each other.
//!
//! Data only: the rules decide which of these requests can run.

mod absence;
mod alike;
mod groups;
mod line;
mod watch;

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use self::absence::Absentees;
pub(crate) use self::alike::Wish;
use self::groups::Groups;
pub(crate) use self::line::Line;
use crate::acquire::Acquire;
use crate::holder::Holder;
use crate::lease::{Holding, LeaseId, RequestDigest};
use crate::limit::LimitId;
use crate::refusal::Refusal;
use crate::ticket::{Ticket, WaiterId};
use crate::time::Timestamp;

/// How often a request is overtaken at most.
pub const OVERTAKES_MAX: u64 = 64;

/// What a request wants of a limit that exists.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) limit: LimitId,
    pub(crate) slots: u64,
    /// Which of the request's wants this is.
    pub(crate) nth: usize,
}

/// A waiting request.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) id: WaiterId,
    pub(crate) acquire: Acquire,
    pub(crate) wanted: SmallVec<[Wanted; 1]>,
    pub(crate) wish: Wish,
    pub(crate) priority: i32,
    pub(crate) since: Timestamp,
    pub(crate) until: Timestamp,
    /// Its client polls: it came back to its place, and will again.
    pub(crate) comes_back: bool,
    /// An event said that it is stuck.
    pub(crate) is_stuck_logged: bool,
}

/// All waiting requests.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiters: BTreeMap<Ticket, Waiter>,
    tickets: FxHashMap<WaiterId, Ticket>,
    lines: FxHashMap<LimitId, Line>,
    alike: Groups<Wish>,
    absentees: Absentees,
    /// When each waiter's time is over.
    patience: BTreeSet<(Timestamp, Ticket)>,
    /// When a rate limit will have drained enough for a waiter in its line.
    alarms: BTreeSet<(Timestamp, LimitId)>,
    /// Limits that changed since the rules last looked at their lines.
    touched: Vec<LimitId>,
    /// The waiters with the idempotency key that this lease's id stands for.
    with_key: Groups<LeaseId>,
    /// The waiters of a holder that holds each limit only once.
    of_holder: Groups<Holder>,
    /// The waiters of each party: see [`Acquire::parties`].
    of_party: Groups<Holder>,
    /// Waiters whose key's lease was granted to another request.
    key_granted: Vec<Ticket>,
    next_ticket: u64,
    /// How many waiters the current step looked at.
    looks: usize,
}

impl Queue {
    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(crate) fn waiter(&self, ticket: Ticket) -> Option<&Waiter> {
        self.waiters.get(&ticket)
    }

    pub(crate) fn ticket_of(&self, waiter: WaiterId) -> Option<Ticket> {
        self.tickets.get(&waiter).copied()
    }

    /// All tickets, oldest first.
    pub(crate) fn tickets(&self) -> impl Iterator<Item = Ticket> {
        self.waiters.keys().copied()
    }

    pub(crate) fn line(&self, limit: LimitId) -> Option<&Line> {
        self.lines.get(&limit)
    }

    /// The waiters in the line of a limit, the next one first.
    pub(crate) fn in_line(&self, limit: LimitId) -> impl Iterator<Item = (Ticket, &Waiter)> {
        let order = self.lines.get(&limit).map(|line| line.order.iter());
        let tickets = order.into_iter().flatten().map(|(_, ticket)| *ticket);
        tickets.filter_map(|ticket| Some((ticket, self.waiters.get(&ticket)?)))
    }

    /// The waiters of a party, oldest first.
    pub(crate) fn of_party(&self, party: &Holder) -> impl Iterator<Item = &Waiter> {
        self.of_party.group(party).filter_map(|ticket| self.waiters.get(&ticket))
    }

    /// A waiter whose time is over by `now`, the first one first.
    pub(crate) fn next_impatient(&self, now: Timestamp) -> Option<Ticket> {
        self.patience.first().filter(|(until, _)| *until <= now).map(|(_, ticket)| *ticket)
    }

    /// A waiter whose key's lease was granted to another request.
    pub(crate) fn next_with_granted_key(&mut self) -> Option<Ticket> {
        self.key_granted.pop()
    }

    /// Counts one look at a waiter.
    pub(crate) fn count_look(&mut self) {
        self.looks += 1;
    }

    /// How many slots of a limit are reserved for waiters older than `ticket`.
    pub(crate) fn reserved_before(&self, limit: LimitId, ticket: Ticket) -> u128 {
        self.lines.get(&limit).map_or(0, |line| line.reserved_before(ticket))
    }

    /// An empty queue whose tickets go on from this one's.
    pub(crate) fn emptied(&self) -> Self {
        Self { next_ticket: self.next_ticket, ..Self::default() }
    }

    /// How many waiters were looked at since the last call.
    pub(crate) fn take_looks(&mut self) -> usize {
        std::mem::take(&mut self.looks)
    }

    /// A new ticket, younger than all others.
    pub(crate) fn take_ticket(&mut self) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        ticket
    }

    /// Slots of these limits were granted to `ticket`, which overtook every older waiter in their
    /// lines. For those overtaken too often, slots are reserved from now on.
    pub(crate) fn granted(&mut self, holdings: &[Holding], ticket: Ticket) {
        let mut overtaken = SmallVec::<[Ticket; 1]>::new();
        for holding in holdings {
            let Some(line) = self.lines.get_mut(&holding.limit) else { continue };
            if line.oldest().is_none_or(|oldest| oldest >= ticket) {
                continue;
            }
            line.overtakes += 1;
            overtaken.extend(line.overtaken_too_often());
        }
        for ticket in overtaken {
            let Some(waiter) = self.waiters.get(&ticket) else { continue };
            for want in &waiter.wanted {
                if let Some(line) = self.lines.get_mut(&want.limit) {
                    line.reserve_if_patient(ticket, want.slots);
                }
            }
        }
    }

    /// The request that waits with the idempotency key that a lease's id stands for.
    pub(crate) fn asked_with(&self, lease: LeaseId) -> Option<RequestDigest> {
        let first = self.with_key.first(&lease)?;
        self.waiters.get(&first)?.acquire.hold.key().map(|(_, request)| request)
    }

    /// A lease whose id stands for a key was granted: the other waiters with that key get it, too.
    pub(crate) fn answer_all_with(&mut self, lease: LeaseId) {
        self.key_granted.extend(self.with_key.group(&lease));
    }

    /// The refusal with its position for this priority and ticket.
    pub(crate) fn with_position(
        &self,
        mut refusal: Refusal,
        priority: i32,
        ticket: Ticket,
    ) -> Refusal {
        let lines = refusal.blockers.iter().filter_map(|full| self.lines.get(&full.limit.id));
        let longest = lines.map(|line| line.count_before(priority, ticket)).max();
        refusal.position = longest.unwrap_or(0) + 1;
        refusal
    }

    /// Adds a waiter that was overtaken so often before.
    pub(crate) fn join(&mut self, ticket: Ticket, waiter: Waiter, overtaken: u64) {
        self.patience.insert((waiter.until, ticket));
        self.tickets.insert(waiter.id, ticket);
        if let Some((lease, _)) = waiter.acquire.hold.key() {
            self.with_key.insert(lease, ticket);
        }
        if let Some(holder) = waiter.acquire.hold.only_once() {
            self.of_holder.insert(holder.clone(), ticket);
        }
        for party in waiter.acquire.parties() {
            self.of_party.insert(party, ticket);
        }
        for want in &waiter.wanted {
            let line = self.lines.entry(want.limit).or_default();
            line.insert(waiter.priority, (ticket, overtaken), want.slots);
            // The rules look at its lines once more, and set the alarm that wakes it.
            self.touched.push(want.limit);
        }
        self.add_alike(&waiter.wish, ticket);
        self.waiters.insert(ticket, waiter);
    }

    /// Removes a waiter.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Option<Waiter> {
        let waiter = self.waiters.remove(&ticket)?;
        self.patience.remove(&(waiter.until, ticket));
        self.tickets.remove(&waiter.id);
        if let Some((lease, _)) = waiter.acquire.hold.key() {
            self.with_key.remove(&lease, ticket);
        }
        if let Some(holder) = waiter.acquire.hold.only_once() {
            self.of_holder.remove(holder, ticket);
        }
        for party in waiter.acquire.parties() {
            self.of_party.remove(&party, ticket);
        }
        self.remove_alike(&waiter.wish, ticket);
        for want in &waiter.wanted {
            let Some(line) = self.lines.get_mut(&want.limit) else { continue };
            line.remove(waiter.priority, ticket, want.slots);
            self.remove_if_empty(want.limit);
        }
        // Others may have the slots that were reserved for it.
        for want in &waiter.wanted {
            self.touch(want.limit);
        }
        Some(waiter)
    }

    fn remove_if_empty(&mut self, limit: LimitId) {
        if self.lines.get(&limit).is_some_and(Line::is_empty) {
            self.set_alarm(limit, None);
            self.lines.remove(&limit);
        }
    }
}
