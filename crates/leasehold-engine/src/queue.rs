//! Who waits, and who is next.
//!
//! A request that may wait joins the line of each limit that it wants slots of, in the order
//! of priorities and, within one, of tickets. Whatever frees slots (a release, an expiry, a
//! drain, an operator) grants to the next in line in the same step. It is work-conserving: who
//! can run now overtakes who cannot. And nobody starves: for a request that has been overtaken
//! [`OVERTAKES_MAX`] times on one of its limits, what it wants is kept on all of them; from then
//! on nobody who came later gets slots there unless those are left. Slots are kept in the order of
//! tickets, so two requests never wait for each other.

mod absence;
mod alike;
mod groups;
mod line;
mod service;
mod stuck;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use self::absence::Absentees;
use self::alike::Wish;
use self::groups::Groups;
use self::line::Line;
use crate::admission::Wanted;
use crate::command::{Acquire, Command, Patience};
use crate::event::{Departure, EventKind};
use crate::holder::Holder;
use crate::lease::{Holding, LeaseId, Notes, RequestDigest};
use crate::ledger::Ledger;
use crate::limit::LimitId;
use crate::origin::Origin;
use crate::outcome::{Acquired, Blocker, Refusal, StuckOn};
use crate::time::Timestamp;

/// How often a request is overtaken at the most.
pub const OVERTAKES_MAX: u64 = 64;
/// More requests than this do not wait, they are refused.
const WAITERS_MAX: usize = 100_000;
/// A place in line: the lower, the earlier it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

impl Ticket {
    /// Later than every ticket: the place of a request that is not in line.
    pub(crate) const NONE: Self = Self(u64::MAX);
}

/// Identifies a request that waits, to whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u64);

/// A request whose wait is over, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// Which request.
    pub waiter: WaiterId,
    /// Granted; or refused, because its patience is over or its limits have changed.
    pub outcome: Acquired,
}

/// A request that waits, as it is at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct WaiterView {
    /// Its place.
    pub ticket: Ticket,
    /// Higher goes first.
    pub priority: i32,
    /// Who waits, if it was said.
    pub holder: Option<Holder>,
    /// How many slots it wants of the limit that was asked about.
    pub slots: u64,
    /// Since when.
    pub since: Timestamp,
    /// The limits that keep it from running.
    pub blockers: SmallVec<[Blocker; 1]>,
    /// The leases for which it waits in vain.
    pub stuck: Vec<StuckOn>,
    /// What else is said of the lease that it asks for.
    pub notes: Option<Arc<Notes>>,
    /// Where its request came from, if that is known.
    pub origin: Option<Arc<Origin>>,
}

#[derive(Debug)]
pub(crate) struct Waiter {
    id: WaiterId,
    pub(crate) acquire: Acquire,
    pub(crate) wanted: SmallVec<[Wanted; 1]>,
    wish: Wish,
    priority: i32,
    since: Timestamp,
    until: Timestamp,
    /// Its client polls: it has come back to its place, and does so again.
    comes_back: bool,
    /// It was told that it waits in vain.
    is_stuck_told: bool,
}

/// Everybody who waits.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiters: BTreeMap<Ticket, Waiter>,
    tickets: FxHashMap<WaiterId, Ticket>,
    lines: FxHashMap<LimitId, Line>,
    alike: Groups<Wish>,
    absentees: Absentees,
    /// When waiters lose their patience.
    patience: BTreeSet<(Timestamp, Ticket)>,
    /// When a rate limit has drained enough for somebody in its line.
    alarms: BTreeSet<(Timestamp, LimitId)>,
    /// Limits of which something has changed since their lines were looked at.
    touched: Vec<LimitId>,
    /// Who waits with the idempotency key that this lease's id stands for.
    with_key: Groups<LeaseId>,
    /// Who waits for a holder that holds each limit only once.
    of_holder: Groups<Holder>,
    /// Who waits for a party of which it is known that it waits.
    of_party: Groups<Holder>,
    /// Who waited with a key that was granted meanwhile.
    answered: Vec<Ticket>,
    next_ticket: u64,
    /// How often somebody was looked at in the step that is under way.
    looks: usize,
}

impl Queue {
    /// Something about a limit has changed: somebody in its line may be able to run.
    pub(crate) fn touch(&mut self, limit: LimitId) {
        if self.lines.contains_key(&limit) && !self.touched.contains(&limit) {
            self.touched.push(limit);
        }
    }

    /// How many slots of a limit are kept for those who came before `ticket`.
    pub(crate) fn kept_before(&self, limit: LimitId, ticket: Ticket) -> u128 {
        self.lines.get(&limit).map_or(0, |line| line.kept_before(ticket))
    }

    /// The next time at which something happens by itself.
    pub(crate) fn next_wake_up(&self) -> Option<Timestamp> {
        let patience = self.patience.first().map(|(at, _)| *at);
        let absence = self.absentees.next_end();
        patience.into_iter().chain(absence).chain(self.first_alarm()).min()
    }

    /// When a rate limit has drained enough for somebody in its line.
    pub(crate) fn first_alarm(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(at, _)| *at)
    }

    /// An empty line whose places begin where those of this one end.
    pub(crate) fn emptied(&self) -> Self {
        Self { next_ticket: self.next_ticket, ..Self::default() }
    }

    /// How often somebody was looked at since the last time.
    pub(crate) fn take_looks(&mut self) -> usize {
        std::mem::take(&mut self.looks)
    }

    /// A place in line, for whoever comes back for it.
    pub(crate) fn take_ticket(&mut self) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        ticket
    }

    /// Slots were granted on these limits to whoever has this ticket. Everybody older in
    /// their lines was overtaken; who has been overtaken too often starves from now on.
    pub(crate) fn granted(&mut self, holdings: &[Holding], ticket: Ticket) {
        let mut starving = SmallVec::<[Ticket; 1]>::new();
        for holding in holdings {
            let Some(line) = self.lines.get_mut(&holding.limit) else { continue };
            if line.oldest().is_none_or(|oldest| oldest >= ticket) {
                continue;
            }
            line.overtakes += 1;
            starving.extend(line.overtaken_too_often());
        }
        for ticket in starving {
            let Some(waiter) = self.waiters.get(&ticket) else { continue };
            for want in &waiter.wanted {
                if let Some(line) = self.lines.get_mut(&want.limit) {
                    line.starve(ticket, want.slots);
                }
            }
        }
    }

    /// What somebody who waits asked for with the idempotency key that a lease stands for.
    pub(crate) fn asked_with(&self, lease: LeaseId) -> Option<RequestDigest> {
        let first = self.with_key.first(&lease)?;
        self.waiters.get(&first)?.acquire.hold.key().map(|(_, request)| request)
    }

    /// A lease that stands for a key has been granted: whoever waits with that key is to be
    /// answered it.
    pub(crate) fn answer_all_with(&mut self, lease: LeaseId) {
        self.answered.extend(self.with_key.group(&lease));
    }

    /// A refusal that says how many go before it: whoever has this priority and ticket.
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

    fn join(&mut self, ticket: Ticket, waiter: Waiter, overtaken: u64) {
        self.patience.insert((waiter.until, ticket));
        self.tickets.insert(waiter.id, ticket);
        if let Some((lease, _)) = waiter.acquire.hold.key() {
            self.with_key.insert(lease, ticket);
        }
        if let Some(holder) = waiter.acquire.hold.only_once() {
            self.of_holder.insert(holder.clone(), ticket);
        }
        for party in stuck::parties(&waiter.acquire) {
            self.of_party.insert(party, ticket);
        }
        for want in &waiter.wanted {
            let line = self.lines.entry(want.limit).or_default();
            line.insert(waiter.priority, (ticket, overtaken), want.slots);
            // Looked at once more in its line, it sets the alarm that will wake it.
            self.touched.push(want.limit);
        }
        self.add_alike(&waiter.wish, ticket);
        self.waiters.insert(ticket, waiter);
    }

    fn leave(&mut self, ticket: Ticket) -> Option<Waiter> {
        let waiter = self.waiters.remove(&ticket)?;
        self.patience.remove(&(waiter.until, ticket));
        self.tickets.remove(&waiter.id);
        if let Some((lease, _)) = waiter.acquire.hold.key() {
            self.with_key.remove(&lease, ticket);
        }
        if let Some(holder) = waiter.acquire.hold.only_once() {
            self.of_holder.remove(holder, ticket);
        }
        for party in stuck::parties(&waiter.acquire) {
            self.of_party.remove(&party, ticket);
        }
        self.remove_alike(&waiter.wish, ticket);
        for want in &waiter.wanted {
            let Some(line) = self.lines.get_mut(&want.limit) else { continue };
            line.remove(waiter.priority, ticket, want.slots);
            self.remove_if_empty(want.limit);
        }
        // What was kept for it, others may have.
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

    fn set_alarm(&mut self, limit: LimitId, alarm: Option<Timestamp>) {
        let Some(line) = self.lines.get_mut(&limit) else { return };
        if let Some(old) = std::mem::replace(&mut line.alarm, alarm) {
            self.alarms.remove(&(old, limit));
        }
        if let Some(at) = alarm {
            self.alarms.insert((at, limit));
        }
    }

    /// The limits whose lines are to be looked at by `now`.
    fn next_touched(&mut self, now: Timestamp) -> Option<LimitId> {
        if let Some(limit) = self.touched.pop() {
            return Some(limit);
        }
        let &(at, limit) = self.alarms.first().filter(|(at, _)| *at <= now)?;
        self.alarms.remove(&(at, limit));
        if let Some(line) = self.lines.get_mut(&limit) {
            line.alarm = None;
        }
        Some(limit)
    }

    /// Who is next in a line after `last` among the first of those who want the same, up to the
    /// ticket `youngest` if it is said.
    fn next_in_line(
        &self,
        limit: LimitId,
        last: Option<(Reverse<i32>, Ticket)>,
        youngest: Option<Ticket>,
    ) -> Option<(Reverse<i32>, Ticket)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let line = self.lines.get(&limit)?;
        let mut rest = match last {
            None => line.firsts.range(..),
            Some(last) => line.firsts.range((Excluded(last), Unbounded)),
        };
        match youngest {
            None => rest.next().copied(),
            Some(youngest) => rest.find(|(_, ticket)| *ticket <= youngest).copied(),
        }
    }
}

impl Ledger {
    /// Puts a request in line that cannot run now.
    pub(crate) fn wait(
        &mut self,
        acquire: Acquire,
        wanted: SmallVec<[Wanted; 1]>,
        (patience, place): (Patience, Option<Ticket>),
        refusal: Refusal,
    ) -> Acquired {
        let ticket = place.unwrap_or_else(|| self.queue.take_ticket());
        if self.queue.waiters.len() >= WAITERS_MAX || patience.until <= self.looked {
            let stuck = self.stuck(&acquire, &wanted);
            let refusal = Refusal { place: Some(ticket), stuck, ..refusal };
            return Acquired::Refused(self.queue.with_position(refusal, patience.priority, ticket));
        }
        let (overtaken, before) = self.queue.expect_no_longer(ticket).unzip();
        let mut waiter = Waiter {
            id: patience.waiter,
            wish: self.wish(&acquire, &wanted, patience.priority),
            acquire,
            wanted,
            priority: patience.priority,
            since: before.as_ref().map_or(self.now, |waiter| waiter.since),
            until: patience.until,
            comes_back: place.is_some(),
            is_stuck_told: before.as_ref().is_some_and(|waiter| waiter.is_stuck_told),
        };
        if before.is_none() {
            self.emit_for_waiter(EventKind::Queued, &waiter);
        }
        if !waiter.is_stuck_told {
            self.tell_if_stuck(&mut waiter);
        }
        self.queue.join(ticket, waiter, overtaken.unwrap_or(0));
        Acquired::Queued(ticket)
    }

    /// Takes those out of line whom a command says to be gone: all of them at once, so that
    /// what one of them leaves behind goes to none of the others.
    pub(crate) fn take_out_of_line(&mut self, command: &Command) -> Vec<(Waiter, Departure)> {
        let (tickets, why): (Vec<_>, _) = match command {
            Command::Abandon(waiter) => {
                (self.queue.tickets.get(waiter).copied().into_iter().collect(), Departure::HungUp)
            }
            Command::SendWaitersAway(why) => (self.queue.waiters.keys().copied().collect(), *why),
            _ => return Vec::new(),
        };
        let mut gone: Vec<_> =
            tickets.into_iter().filter_map(|ticket| self.queue.leave(ticket)).collect();
        if let Command::SendWaitersAway(_) = command {
            gone.extend(self.queue.forget_the_absent());
        }
        gone.into_iter().map(|waiter| (waiter, why)).collect()
    }

    pub(crate) fn left_the_line(&mut self, gone: &[(Waiter, Departure)]) {
        for (waiter, why) in gone {
            self.emit_for_waiter(EventKind::Left(*why), waiter);
        }
    }

    /// Everybody in the line of a limit, in the order in which they are next.
    pub(crate) fn waiters_for(&self, limit: LimitId) -> impl Iterator<Item = WaiterView> {
        let order = self.queue.lines.get(&limit).map(|line| line.order.iter());
        order.into_iter().flatten().filter_map(move |(_, ticket)| {
            let waiter = self.queue.waiters.get(ticket)?;
            let blockers = match self.judge(*ticket) {
                Some(Acquired::Refused(refusal)) => refusal.blockers,
                _ => SmallVec::new(),
            };
            Some(WaiterView {
                ticket: *ticket,
                priority: waiter.priority,
                holder: waiter.acquire.hold.holder().cloned(),
                slots: waiter.wanted.iter().find(|want| want.limit == limit)?.slots,
                since: waiter.since,
                blockers,
                stuck: self.stuck(&waiter.acquire, &waiter.wanted),
                notes: waiter.acquire.hold.notes().cloned(),
                origin: waiter.acquire.origin.clone(),
            })
        })
    }
}
