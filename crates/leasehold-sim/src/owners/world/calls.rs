//! Requests to the upstream: they can be lost, late, or lose their connection, and the upstream can
//! die in the middle of one.

use super::{Call, Caller, Exchange, Happening, World};
use crate::owners::upstream::Handled;
use crate::owners::wire::{Answer, Ask, MILLISECOND, Request, SECOND, Said};

impl World {
    pub(super) fn call(&mut self, from: Caller, ask: Ask) {
        self.calls_made += 1;
        let call = self.calls_made;
        self.say(|| format!("call {call} to the upstream: {ask:?}"));
        self.calls.insert(call, Call { from, ask, said: None, is_over: false, is_cut: false });
        let (lost, broken) = if self.is_stormy { (20, 6) } else { (60, 40) };
        if self.is_lucky(lost) {
            let breaks = self.rng.u64(MILLISECOND..300 * MILLISECOND);
            self.schedule(breaks, Happening::CallBreaks { call });
            return;
        }
        let delay = self.delay();
        self.schedule(delay, Happening::UpstreamGets { call });
        if self.is_lucky(broken) {
            let most = if self.rng.bool() { 10 } else { 300 };
            let breaks = self.rng.u64(MILLISECOND..most * MILLISECOND);
            self.schedule(breaks, Happening::CallBreaks { call });
        }
    }

    pub(super) fn upstream_gets(&mut self, call: u64) {
        let Some(known) = self.calls.get(&call) else { return };
        if !self.upstream.is_up || known.is_cut {
            self.schedule(MILLISECOND, Happening::CallBreaks { call });
            return;
        }
        match self.upstream.handle(call, &known.ask.clone(), self.now) {
            Handled::Said(said) => self.returns(call, Some(said)),
            Handled::Half => {
                let slow = self.is_lucky(if self.is_stormy { 4 } else { 20 });
                let delay = self.rng.u64(MILLISECOND..if slow { 500 } else { 10 } * MILLISECOND);
                let life = self.upstream.life;
                self.schedule(delay, Happening::UpstreamWrites { call, life });
                // It dies with a slot counted and no lease written.
                if self.is_lucky(if self.is_stormy { 30 } else { 300 }) {
                    self.fail_upstream();
                }
            }
        }
    }

    pub(super) fn returns(&mut self, call: u64, said: Option<Said>) {
        if let Some(known) = self.calls.get_mut(&call) {
            known.said = said;
        }
        let delay = self.delay();
        self.schedule(delay, Happening::CallReturns { call });
    }

    pub(super) fn call_ends(&mut self, call: u64, is_answered: bool) {
        let Some(known) = self.calls.get_mut(&call).filter(|call| !call.is_over) else { return };
        known.is_over = true;
        let said = if is_answered { known.said.take() } else { None };
        let from = known.from;
        self.say(|| format!("call {call} returns: {said:?}"));
        match from {
            Caller::Gateway { life, job } if life == self.life => {
                self.with_gateway(|gateway, now| gateway.heard(job, said, now));
            }
            Caller::Gateway { .. } => {}
            Caller::Past { exchange } => {
                let answer = match (said, self.exchanges.get(&exchange)) {
                    (Some(Said::Granted(lease)), _) => Some(Answer::Granted(lease)),
                    (Some(Said::Refused), _) => Some(Answer::Refused),
                    (Some(Said::Gone), _) => Some(Answer::Gone),
                    (Some(_), Some(Exchange { request: Request::Renew { .. }, .. })) => {
                        Some(Answer::Renewed)
                    }
                    (Some(_), _) => Some(Answer::Released),
                    (None, _) => None,
                };
                if let Some(known) = self.exchanges.get_mut(&exchange) {
                    known.answer = answer;
                }
                self.client_gets(exchange, answer.is_some());
            }
        }
    }

    pub(super) fn upstream_stops(&mut self) {
        if !self.is_faulty {
            return;
        }
        let down = self.fail_upstream();
        let most = if self.is_stormy { 6 } else { 30 };
        let wait = self.rng.u64(3 * SECOND..most * SECOND);
        self.schedule(down + wait, Happening::UpstreamStops);
    }

    /// Stops the upstream. Returns when it starts again.
    fn fail_upstream(&mut self) -> u64 {
        self.say(|| "the upstream stops".to_owned());
        self.observer.last_fault = self.now;
        self.upstream.stop(self.now);
        if self.upstream.forgets() {
            self.observer.forgot_at = self.now;
        }
        let open: Vec<_> =
            self.calls.iter().filter(|(_, call)| !call.is_over).map(|(call, _)| *call).collect();
        for call in open {
            if let Some(known) = self.calls.get_mut(&call) {
                known.is_cut = true;
            }
            self.schedule(MILLISECOND, Happening::CallBreaks { call });
        }
        // The client has given up: the answer does not arrive.
        self.calls.values_mut().for_each(|call| call.is_cut = true);
        let down = self.rng.u64(100 * MILLISECOND..4 * SECOND);
        self.schedule(down, Happening::UpstreamStarts);
        down
    }
}
