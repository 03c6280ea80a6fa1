//! Waiters are granted slots, in their order, whenever one of their limits has changed.

use crate::acquire::Acquire;
use crate::decay::Level;
use crate::event::EventKind;
use crate::ledger::{Ledger, LimitEntry};
use crate::limit::LimitId;
use crate::outcome::{Acquired, Answered};
use crate::refusal::{Refusal, Wait};
use crate::ticket::{Departure, Ticket, WaiterId};
use crate::time::{Span, Timestamp};

impl Ledger {
    /// Looks at the lines of all limits that have changed, and grants to the waiters that can run.
    /// Then refuses the waiters whose time is over.
    pub(crate) fn serve_lines(&mut self) -> Vec<Answered> {
        let mut answered = Vec::new();
        for waiter in self.queue.end_absences(self.now) {
            self.emit_for_waiter(EventKind::Left(Departure::NotBack), &waiter);
        }
        self.serve_touched(&mut answered);
        while let Some(ticket) = self.queue.next_impatient(self.now) {
            self.queue.count_look();
            match self.judge(ticket) {
                // It needs no slots now: another request of its holder was granted meanwhile.
                None => answered.extend(self.grant_waiter(ticket)),
                Some(refused) => {
                    let refused = self.with_stuck(refused, ticket);
                    let left = self.leave(ticket, Departure::OutOfPatience);
                    answered.extend(left.map(|(waiter, priority)| {
                        let outcome = self.sent_away(refused, priority, ticket);
                        Answered { waiter, outcome }
                    }));
                }
            }
            self.serve_touched(&mut answered);
        }
        answered
    }

    pub(crate) fn serve_touched(&mut self, answered: &mut Vec<Answered>) {
        loop {
            while let Some(ticket) = self.queue.next_with_granted_key() {
                answered.extend(self.grant_waiter(ticket));
            }
            let Some(limit) = self.queue.next_touched(self.now) else { break };
            self.serve_line(limit, answered);
        }
    }

    /// The refusal of a waiter with the leases that it is stuck on.
    fn with_stuck(&self, refused: Acquired, ticket: Ticket) -> Acquired {
        match (refused, self.queue.waiter(ticket)) {
            (Acquired::Refused(refusal), Some(waiter)) => {
                let stuck = self.stuck(&waiter.acquire, &waiter.wanted);
                Acquired::Refused(Refusal { stuck, ..refusal })
            }
            (other, _) => other,
        }
    }

    /// The answer to a waiter whose time is over.
    fn sent_away(&self, refused: Acquired, priority: i32, ticket: Ticket) -> Acquired {
        match refused {
            Acquired::Refused(refusal) => {
                let refusal = self.queue.with_position(refusal, priority, ticket);
                Acquired::Refused(Refusal { place: Some(ticket), ..refusal })
            }
            other => other,
        }
    }

    fn serve_line(&mut self, limit: LimitId, answered: &mut Vec<Answered>) {
        let mut last = None;
        let mut alarm: Option<Timestamp> = None;
        loop {
            if let Some(until) = self.is_full_for_all(limit) {
                alarm = alarm.into_iter().chain(until).min();
                break;
            }
            let shut_out = self.shut_out(limit);
            let (youngest, until) = shut_out.unzip();
            alarm = alarm.into_iter().chain(until.flatten()).min();
            let Some(next) = self.queue.next_in_line(limit, last, youngest) else { break };
            last = Some(next);
            let (_, ticket) = next;
            self.queue.count_look();
            match self.judge(ticket) {
                None => answered.extend(self.grant_waiter(ticket)),
                Some(Acquired::Refused(refusal)) => {
                    let at = refusal.drained_after().map(|span| self.now + span);
                    alarm = alarm.into_iter().chain(at).min();
                }
                Some(outcome) => {
                    let left = self.leave(ticket, Departure::LimitsChanged);
                    answered.extend(left.map(|(waiter, _)| Answered { waiter, outcome }));
                }
            }
        }
        self.queue.set_alarm(limit, alarm);
    }

    /// Whether a limit has fewer free slots than any waiter in its line wants. If so, when it will
    /// have drained enough for one of them.
    fn is_full_for_all(&self, limit: LimitId) -> Option<Option<Timestamp>> {
        let entry = self.limits.get(&limit).filter(|entry| entry.limit.grants_by_its_slots())?;
        let (least, most) = self.queue.line(limit)?.sizes()?;
        if most > entry.limit.slots {
            // A waiter wants more slots than the limit has, and is to be refused.
            return None;
        }
        let excess = entry.excess(least, self.now);
        (excess > Level::ZERO)
            .then(|| entry.time_to_drain(excess, self.now).map(|span| self.now + span))
    }

    /// Whether a limit has fewer free slots, apart from those that it reserves, than any waiter
    /// wants. If so, the youngest waiter that it reserves slots for: no younger one can run. And
    /// when it will have drained enough for the others.
    fn shut_out(&self, limit: LimitId) -> Option<(Ticket, Option<Timestamp>)> {
        let line = self.queue.line(limit)?;
        let youngest = line.youngest_reserved()?;
        let entry = self.limits.get(&limit).filter(|entry| entry.limit.grants_by_its_slots())?;
        let (least, _) = line.sizes()?;
        let excess = self.excess_beside(entry, least, Ticket::NONE);
        let until = || entry.time_to_drain(excess, self.now).map(|span| self.now + span);
        (excess > Level::ZERO).then(|| (youngest, until()))
    }

    /// By how much `slots` exceed the free slots that are not reserved for waiters before `ticket`.
    pub(crate) fn excess_beside(&self, entry: &LimitEntry, slots: u64, ticket: Ticket) -> Level {
        let reserved = self.queue.reserved_before(entry.limit.id, ticket);
        let both = u64::try_from(reserved + u128::from(slots)).unwrap_or(u64::MAX);
        entry.excess(both, self.now)
    }

    /// Why a waiter cannot run now. `None` if it can.
    pub(crate) fn judge(&self, ticket: Ticket) -> Option<Acquired> {
        let waiter = self.queue.waiter(ticket)?;
        self.refuses(&waiter.wanted, &waiter.acquire, ticket)
    }

    fn grant_waiter(&mut self, ticket: Ticket) -> Option<Answered> {
        let waiter = self.queue.leave(ticket)?;
        // A lease that is granted has an event of its own.
        if !self.leases_out(&waiter.wanted, &waiter.acquire.hold) {
            self.emit_for_waiter(EventKind::Left(Departure::Served), &waiter);
        }
        let Acquire { hold, mode, origin, .. } = waiter.acquire;
        let outcome = self.grant(&waiter.wanted, (hold, mode, origin), ticket);
        Some(Answered { waiter: waiter.id, outcome })
    }

    /// Removes a waiter. Emits that it left, unless it comes back: then its wait goes on. Returns
    /// its id and its priority.
    fn leave(&mut self, ticket: Ticket, why: Departure) -> Option<(WaiterId, i32)> {
        let comes_back = why == Departure::OutOfPatience
            && self.queue.waiter(ticket).is_some_and(|waiter| waiter.comes_back);
        if comes_back {
            return self.queue.send_away(ticket, self.now);
        }
        let waiter = self.queue.leave(ticket)?;
        self.emit_for_waiter(EventKind::Left(why), &waiter);
        Some((waiter.id, waiter.priority))
    }
}

impl Refusal {
    /// When all blockers will have drained enough. `None` if one of them waits for a release.
    fn drained_after(&self) -> Option<Span> {
        self.blockers
            .iter()
            .map(|blocker| match blocker.wait {
                Wait::Drain(span) => Some(span),
                Wait::Release { .. } => None,
            })
            .try_fold(Span::ZERO, |longest, span| span.map(|span| longest.max(span)))
    }
}
