//! Requests join the queue and leave it.

use smallvec::SmallVec;

use crate::acquire::{Acquire, Patience};
use crate::command::Command;
use crate::event::EventKind;
use crate::ledger::Ledger;
use crate::limit::LimitId;
use crate::outcome::Acquired;
use crate::queue::{Waiter, Wanted, Wish};
use crate::refusal::Refusal;
use crate::ticket::{Departure, Ticket};
use crate::view::WaiterView;

/// If more requests than this wait, the next one is refused.
const WAITERS_MAX: usize = 100_000;

impl Ledger {
    /// Queues a request that cannot run now.
    pub(crate) fn wait(
        &mut self,
        acquire: Acquire,
        wanted: SmallVec<[Wanted; 1]>,
        (patience, place): (Patience, Option<Ticket>),
        refusal: Refusal,
    ) -> Acquired {
        let ticket = place.unwrap_or_else(|| self.queue.take_ticket());
        if self.queue.len() >= WAITERS_MAX || patience.until <= self.stepped_at {
            let stuck = self.stuck(&acquire, &wanted);
            let refusal = Refusal { place: Some(ticket), stuck, ..refusal };
            return Acquired::Refused(self.queue.with_position(refusal, patience.priority, ticket));
        }
        let (overtaken, before) = self.queue.end_absence(ticket).unzip();
        let holder = acquire.hold.only_once().filter(|holder| !self.leases_of(holder).is_empty());
        let mut waiter = Waiter {
            id: patience.waiter,
            wish: Wish::new(&acquire, &wanted, patience.priority, holder.cloned()),
            acquire,
            wanted,
            priority: patience.priority,
            since: before.as_ref().map_or(self.now, |waiter| waiter.since),
            until: patience.until,
            comes_back: place.is_some(),
            is_stuck_logged: before.as_ref().is_some_and(|waiter| waiter.is_stuck_logged),
        };
        if before.is_none() {
            self.emit_for_waiter(EventKind::Queued, &waiter);
        }
        if !waiter.is_stuck_logged {
            let stuck = self.stuck(&waiter.acquire, &waiter.wanted);
            waiter.is_stuck_logged = !stuck.is_empty();
            if waiter.is_stuck_logged {
                self.emit_for_waiter(EventKind::Stuck(stuck), &waiter);
            }
        }
        self.queue.join(ticket, waiter, overtaken.unwrap_or(0));
        Acquired::Queued(ticket)
    }

    /// Ends the absence of a waiter that is back and has its answer. Emits that it left, if the
    /// answer is no new lease.
    pub(crate) fn end_wait(&mut self, ticket: Ticket, why: Option<Departure>) {
        let back = self.queue.end_absence(ticket);
        if let (Some((_, waiter)), Some(why)) = (back, why) {
            self.emit_for_waiter(EventKind::Left(why), &waiter);
        }
    }

    /// Removes the waiters that a command removes: all at once, so that what one of them leaves
    /// behind goes to none of the others.
    pub(crate) fn remove_waiters(&mut self, command: &Command) -> Vec<(Waiter, Departure)> {
        let (tickets, why): (Vec<_>, _) = match command {
            Command::Abandon(waiter) => {
                (self.queue.ticket_of(*waiter).into_iter().collect(), Departure::HungUp)
            }
            Command::SendWaitersAway(why) => (self.queue.tickets().collect(), *why),
            _ => return Vec::new(),
        };
        let mut gone: Vec<_> =
            tickets.into_iter().filter_map(|ticket| self.queue.leave(ticket)).collect();
        if let Command::SendWaitersAway(_) = command {
            gone.extend(self.queue.forget_absent());
        }
        gone.into_iter().map(|waiter| (waiter, why)).collect()
    }

    pub(crate) fn emit_left(&mut self, gone: &[(Waiter, Departure)]) {
        for (waiter, why) in gone {
            self.emit_for_waiter(EventKind::Left(*why), waiter);
        }
    }

    /// The waiters in the line of a limit, the next one first.
    pub(crate) fn waiters_for(&self, limit: LimitId) -> impl Iterator<Item = WaiterView> {
        self.queue.in_line(limit).filter_map(move |(ticket, waiter)| {
            let blockers = match self.judge(ticket) {
                Some(Acquired::Refused(refusal)) => refusal.blockers,
                _ => SmallVec::new(),
            };
            Some(WaiterView {
                ticket,
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
