//! Clients: they take slots, renew, release, retry what got no answer, and sometimes die.

use fastrand::Rng;

use super::observer::{Holding, Observer};
use super::wire::{Answer, LimitNo, MILLISECOND, OPEN, Request, SECOND};

/// How often a renewal or a release is sent before the client gives up.
const TRIES: u32 = 6;

pub(crate) struct Client {
    rng: Rng,
    /// It talks to the upstream past the gateway.
    pub(crate) is_past: bool,
    state: State,
    ttl: u64,
    tries_left: u32,
    renewals_left: u32,
    /// Its holding, by the observer's number.
    holding: Option<usize>,
    pub(crate) waits_for: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Acquiring,
    Holding,
    Renewing,
    Releasing,
}

/// What a client does.
pub(crate) enum Turn {
    Ask(Request),
    Sleep(u64),
}

impl Client {
    pub(crate) fn new(rng: Rng, is_past: bool) -> Self {
        Self {
            rng,
            is_past,
            state: State::Idle,
            ttl: 0,
            tries_left: 0,
            renewals_left: 0,
            holding: None,
            waits_for: None,
        }
    }

    /// Its sleep is over.
    pub(crate) fn wakes(&mut self, observer: &mut Observer, now: u64) -> Turn {
        match self.state {
            State::Idle | State::Acquiring => self.acquire(),
            State::Holding if self.renewals_left == 0 => {
                self.state = State::Releasing;
                self.tries_left = TRIES;
                self.release(observer, now)
            }
            State::Holding => {
                self.renewals_left -= 1;
                self.state = State::Renewing;
                self.tries_left = TRIES;
                self.renew(observer)
            }
            State::Renewing => self.renew(observer),
            State::Releasing => self.release(observer, now),
        }
    }

    /// It gets an answer to what it sent. `None`: it waited for too long.
    pub(crate) fn hears(
        &mut self,
        answer: Option<Answer>,
        (request, sent): (&Request, u64),
        observer: &mut Observer,
        now: u64,
    ) -> Turn {
        match (self.state, answer, request) {
            (
                State::Acquiring,
                Some(Answer::Granted(lease)),
                Request::Acquire { limits, slots, .. },
            ) => {
                let holding = Holding {
                    lease,
                    limits: limits.clone(),
                    slots: *slots,
                    asked: sent,
                    from: now,
                    until: sent + self.ttl,
                    released: None,
                    is_past: self.is_past,
                };
                self.holding = Some(observer.granted(&holding));
                self.renewals_left = self.rng.u32(0..4);
                self.hold()
            }
            (State::Renewing, Some(Answer::Renewed), _) => {
                if let Some(holding) = self.holding {
                    observer.holdings[holding].until = sent + self.ttl;
                }
                self.hold()
            }
            (State::Renewing, Some(Answer::Gone), _) => {
                if let Some(holding) = self.holding.take() {
                    observer.gone(holding, now);
                }
                self.rest()
            }
            (State::Renewing | State::Releasing, Some(Answer::Failed) | None, _) => {
                self.tries_left = self.tries_left.saturating_sub(1);
                if self.tries_left == 0 {
                    self.holding = None;
                    return self.rest();
                }
                Turn::Sleep(self.rng.u64(50 * MILLISECOND..300 * MILLISECOND))
            }
            _ => self.rest(),
        }
    }

    fn acquire(&mut self) -> Turn {
        const CHOICES: [&[LimitNo]; 9] =
            [&[0], &[1], &[2], &[3], &[3], &[1, 2], &[0, 3], &[2, 3], &[0, 1, 2]];
        self.state = State::Acquiring;
        self.ttl = self.rng.u64(3 * SECOND..9 * SECOND);
        let limits = match self.is_past {
            true => vec![OPEN],
            false => CHOICES[self.rng.usize(0..CHOICES.len())].to_vec(),
        };
        let slots = if limits.contains(&0) || self.rng.u8(0..4) > 0 { 1 } else { 2 };
        let wait = if self.rng.bool() { 0 } else { self.rng.u64(0..3 * SECOND) };
        Turn::Ask(Request::Acquire { limits, slots, ttl: self.ttl, wait })
    }

    fn hold(&mut self) -> Turn {
        self.state = State::Holding;
        match self.rng.u8(0..30) {
            // Its process dies. A new one knows nothing.
            0 => self.rest(),
            // It sleeps longer than its lease lives.
            1 => Turn::Sleep(self.ttl + self.rng.u64(0..2 * SECOND)),
            _ if self.renewals_left == 0 => Turn::Sleep(self.rng.u64(1..self.ttl)),
            _ => Turn::Sleep(self.ttl / 2),
        }
    }

    fn renew(&mut self, observer: &Observer) -> Turn {
        match self.holding {
            Some(holding) => {
                let lease = observer.holdings[holding].lease;
                Turn::Ask(Request::Renew { lease, ttl: self.ttl })
            }
            None => self.rest(),
        }
    }

    fn release(&mut self, observer: &mut Observer, now: u64) -> Turn {
        match self.holding {
            Some(holding) => {
                let holding = &mut observer.holdings[holding];
                holding.released.get_or_insert(now);
                Turn::Ask(Request::Release { lease: holding.lease })
            }
            None => self.rest(),
        }
    }

    fn rest(&mut self) -> Turn {
        self.state = State::Idle;
        self.holding = None;
        Turn::Sleep(self.rng.u64(10 * MILLISECOND..SECOND))
    }
}
