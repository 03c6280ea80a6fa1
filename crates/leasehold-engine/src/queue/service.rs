//! Who is served: when something has changed about a limit, whoever can run of those in its line.

use super::{Answered, Ticket, WaiterId};
use crate::command::Acquire;
use crate::decay::Level;
use crate::event::{Departure, EventKind};
use crate::ledger::{Ledger, Room};
use crate::limit::LimitId;
use crate::outcome::{Acquired, Refusal, Wait};
use crate::time::{Span, Timestamp};

impl Ledger {
    /// Looks at the lines of all limits that have changed, and grants to whoever can run. Then
    /// those whose patience is over are sent away.
    pub(crate) fn serve_lines(&mut self) -> Vec<Answered> {
        let mut answered = Vec::new();
        for waiter in self.queue.give_up_the_overdue(self.now) {
            self.emit_for_waiter(EventKind::Left(Departure::NotBack), &waiter);
        }
        self.serve_touched(&mut answered);
        while let Some(&(until, ticket)) = self.queue.patience.first()
            && until <= self.now
        {
            self.queue.looks += 1;
            match self.judge(ticket) {
                // It needs no room by now: its holder was granted another request meanwhile.
                None => answered.extend(self.call(ticket)),
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
            while let Some(ticket) = self.queue.answered.pop() {
                answered.extend(self.call(ticket));
            }
            let Some(limit) = self.queue.next_touched(self.now) else { break };
            self.serve_line(limit, answered);
        }
    }

    /// A refusal of somebody in line that says for what it waits in vain.
    fn with_stuck(&self, refused: Acquired, ticket: Ticket) -> Acquired {
        match (refused, self.queue.waiters.get(&ticket)) {
            (Acquired::Refused(refusal), Some(waiter)) => {
                let stuck = self.stuck(&waiter.acquire, &waiter.wanted);
                Acquired::Refused(Refusal { stuck, ..refusal })
            }
            (other, _) => other,
        }
    }

    /// What somebody is told who has waited long enough.
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
            self.queue.looks += 1;
            match self.judge(ticket) {
                None => answered.extend(self.call(ticket)),
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

    /// Whether a limit has no room even for the least that anybody in its line wants; and if
    /// so, when it will have drained enough for that.
    fn is_full_for_all(&self, limit: LimitId) -> Option<Option<Timestamp>> {
        let room = self.rooms.get(&limit).filter(|room| room.limit.active)?;
        let sizes = &self.queue.lines.get(&limit)?.sizes;
        let (least, _) = sizes.first_key_value()?;
        if sizes.last_key_value().is_some_and(|(most, _)| *most > room.limit.slots) {
            // Somebody wants more than there will ever be, and is to be told.
            return None;
        }
        let excess = room.excess(*least, self.now);
        (excess > Level::ZERO)
            .then(|| room.time_to_drain(excess, self.now).map(|span| self.now + span))
    }

    /// Whether a limit has no room beside what is kept, even for the least that anybody wants: then
    /// only those come into question that are no younger than the youngest that it is kept for.
    /// And when it will have drained enough for the others.
    fn shut_out(&self, limit: LimitId) -> Option<(Ticket, Option<Timestamp>)> {
        let line = self.queue.lines.get(&limit)?;
        let youngest = line.youngest_starving()?;
        let room = self.rooms.get(&limit).filter(|room| room.limit.active)?;
        let (least, _) = line.sizes.first_key_value()?;
        let excess = self.excess_beside(room, *least, Ticket::NONE);
        let until = || room.time_to_drain(excess, self.now).map(|span| self.now + span);
        (excess > Level::ZERO).then(|| (youngest, until()))
    }

    /// By how much slots exceed what a limit has beside what is kept for those before `ticket`.
    pub(crate) fn excess_beside(&self, room: &Room, slots: u64, ticket: Ticket) -> Level {
        let kept = self.queue.kept_before(room.limit.id, ticket);
        let both = u64::try_from(kept + u128::from(slots)).unwrap_or(u64::MAX);
        room.excess(both, self.now)
    }

    /// Why somebody in line cannot run now, if so.
    pub(super) fn judge(&self, ticket: Ticket) -> Option<Acquired> {
        let waiter = self.queue.waiters.get(&ticket)?;
        self.refuses(&waiter.wanted, &waiter.acquire, ticket)
    }

    fn call(&mut self, ticket: Ticket) -> Option<Answered> {
        let waiter = self.queue.leave(ticket)?;
        // A lease that is granted is told of by itself.
        if !self.leases_out(&waiter.wanted, &waiter.acquire.hold) {
            self.emit_for_waiter(EventKind::Left(Departure::Served), &waiter);
        }
        let Acquire { hold, mode, origin, .. } = waiter.acquire;
        let outcome = self.grant(&waiter.wanted, (hold, mode, origin), ticket);
        Some(Answered { waiter: waiter.id, outcome })
    }

    /// Takes a waiter out of line. It is told to have left unless it comes back: its wait goes on.
    /// Answers its id and its priority.
    fn leave(&mut self, ticket: Ticket, why: Departure) -> Option<(WaiterId, i32)> {
        let comes_back = why == Departure::OutOfPatience
            && self.queue.waiters.get(&ticket).is_some_and(|waiter| waiter.comes_back);
        if comes_back {
            return self.queue.send_to_come_back(ticket, self.now);
        }
        let waiter = self.queue.leave(ticket)?;
        self.emit_for_waiter(EventKind::Left(why), &waiter);
        Some((waiter.id, waiter.priority))
    }
}

impl Refusal {
    /// When everything that stands in the way will have drained; never, if something waits to
    /// be given back.
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
