//! The one owner of the ledger, without I/O.
//!
//! Each input comes with the time. The desk answers it once its changes are durable: the caller
//! takes the [changes](Desk::commit), writes them, and reports them as [durable](Desk::committed)
//! or [failed](Desk::failed). Until then the caller passes no input. What arrives meanwhile goes
//! into the next commit, so that many requests share one `fsync`.
//!
//! ```text
//!              commit                 committed
//!   Serving ───────────▶ Committing ─────────────▶ Serving
//!                            │ failed
//!                            ▼
//!   Paused ◀───────────── Unloaded      (a commit is tried again when the pause is over,
//!     └──▶ Committing      loaded        or as soon as a request wants a change)
//! ```
//!
//! When a commit fails, each change in it is answered as unavailable, and the ledger is loaded from
//! the journal again: memory never stays ahead of the disk. During the pause, only a request that
//! wants a change makes the desk try the journal. So a full disk costs neither time nor log lines,
//! and reads go on.

mod bounds;
mod durability;
mod messages;
#[cfg(test)]
mod tests;

use std::vec::Drain;

use leasehold_engine::{
    Acquired, Answered, Command, Departure, Event, Ledger, Outcome, Snapshot, Span, Timestamp,
    WaiterId,
};
use rustc_hash::FxHashMap;

use self::bounds::Bounds;
use self::durability::State;
pub use self::messages::{Input, Stepped, Unavailable, undo};

/// The shortest delay that counts as a standstill, in which no holder could renew. Shorter than any
/// lease.
const STANDSTILL_MIN: Span = Span::from_micros(500_000);
/// How far a journal has to be ahead of the clock for a warning.
const AHEAD_MIN: Span = Span::from_seconds(5);

/// The answers that are ready, in order, each with its recipient.
pub type Answers<'desk, R> = Drain<'desk, (R, Result<Outcome, Unavailable>)>;

/// Owns the ledger. `R` is the recipient of an answer: a sender in the server, a connection in the
/// simulator.
#[derive(Debug)]
pub struct Desk<R> {
    ledger: Ledger,
    bounds: Bounds,
    state: State<R>,
    /// The requests in the ledger's queue.
    waiting: FxHashMap<WaiterId, R>,
    /// No request waits: the server is about to stop.
    is_draining: bool,
    /// Stepped, and not yet durable.
    stepped: Vec<Stepped<R>>,
    answers: Vec<(R, Result<Outcome, Unavailable>)>,
    /// The events of what is stepped and not yet durable.
    pending_events: Vec<Event>,
    events: Vec<Event>,
    /// The latest time that is durable.
    committed_at: Timestamp,
    /// The time of the last input.
    looked_at: Timestamp,
    /// When the next input comes at the latest, unless the server stands still.
    wakes_by: Timestamp,
}

impl<R> Desk<R> {
    /// How many inputs go into one commit. The caller commits before it takes in more.
    pub const BATCH_MAX: usize = 4_096;

    /// Opens a desk at the start of a server, with what is durable.
    pub fn open(snapshot: Snapshot, now: Timestamp) -> Self {
        let committed_at = snapshot.at.min(now);
        let ahead = snapshot.at.since(now);
        if ahead >= AHEAD_MIN {
            tracing::warn!(
                seconds = ahead.as_seconds_f64(),
                "the journal was written by a clock that was ahead of this one; its times are moved \
                 back, and leases keep the time that they had left"
            );
        }
        let mut ledger = Ledger::restore(snapshot, now);
        ledger.raise_fences(now);
        Self {
            ledger,
            bounds: Bounds::default(),
            state: State::Serving,
            waiting: FxHashMap::default(),
            is_draining: false,
            stepped: Vec::new(),
            answers: Vec::new(),
            pending_events: Vec::new(),
            events: Vec::new(),
            committed_at,
            looked_at: now,
            wakes_by: now,
        }
    }

    /// Takes an input in.
    pub fn input(&mut self, input: Input<R>, now: Timestamp) {
        let input = match &mut self.state {
            State::Unloaded(unloaded) => match input {
                Input::Request { reply, .. } => {
                    self.answers.push((reply, Err(Unavailable::Journal)));
                    return;
                }
                later => return unloaded.deferred.push(later),
            },
            _ => input,
        };
        self.look(now);
        match input {
            Input::Request { command, reply } => self.request(command, reply, now),
            Input::Undo(command) => self.step_again(command, None, now),
            Input::Abandon(waiter) => {
                self.waiting.remove(&waiter);
                self.step(Command::Abandon(waiter), now);
            }
            Input::Drain => {
                self.is_draining = true;
                self.send_waiters_away(Departure::Stopping, Unavailable::Stopping, now);
            }
        }
    }

    /// Steps what is due at the time that [`next_wake_up`](Self::next_wake_up) returned.
    pub fn wake(&mut self, now: Timestamp) {
        if !matches!(self.state, State::Unloaded(_)) {
            self.look(now);
            self.step(Command::Tick, now);
        }
    }

    /// When to [wake](Self::wake) the desk at the latest: when a timer of the ledger is due, or
    /// when the journal needs a newer time. It needs one as long as a downtime would move any
    /// lease's deadline. After a failure: when to try again. The caller sleeps until then: if the
    /// next input comes half a second too late, the server stood still.
    pub fn next_wake_up(&mut self) -> Option<Timestamp> {
        let due = self.due();
        // Without leases that could be lost, the caller may sleep for as long as it wants.
        self.wakes_by = due.unwrap_or(Timestamp::MAX).max(self.looked_at);
        due
    }

    /// Notes that the clock was moved by hand: its leap until `now` is no standstill.
    pub fn passed_evenly_until(&mut self, now: Timestamp) {
        self.wakes_by = now;
    }

    /// Takes the answers that are ready.
    pub fn answers(&mut self) -> Answers<'_, R> {
        self.answers.drain(..)
    }

    /// Takes the events of durable changes, in order, and those of joining and leaving the queue,
    /// which is never durable.
    pub fn events(&mut self) -> Drain<'_, Event> {
        self.events.drain(..)
    }

    /// The ledger as it is in memory.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What was stepped and is not answered yet, in order.
    pub fn stepped(&self) -> &[Stepped<R>] {
        &self.stepped
    }

    fn request(&mut self, command: Command, reply: R, now: Timestamp) {
        let waiter = match &command {
            Command::Read(_) => return self.step_again(command, Some(reply), now),
            Command::Acquire(acquire) => acquire.patience.map(|patience| patience.waiter),
            _ => None,
        };
        if let Some(full) = self.full(&command, now) {
            self.answers.push((reply, Err(full)));
            return;
        }
        // Inserted before the step, because the same step may answer it.
        let reply = match waiter {
            Some(waiter) => {
                self.waiting.insert(waiter, reply);
                None
            }
            None => Some(reply),
        };
        let outcome = self.step(command, now);
        if let Outcome::Acquired(Acquired::Queued(_)) = outcome {
            if self.is_draining {
                self.send_waiters_away(Departure::Stopping, Unavailable::Stopping, now);
            }
            return;
        }
        let reply = reply.or_else(|| self.waiting.remove(&waiter?));
        self.stepped.push(Stepped { reply, outcome, again: None });
    }

    /// Steps a command that is stepped again if the journal fails.
    fn step_again(&mut self, command: Command, reply: Option<R>, now: Timestamp) {
        let outcome = self.step(command.clone(), now);
        self.stepped.push(Stepped { reply, outcome, again: Some(command) });
    }

    /// Steps the ledger. The waiters that the step answers join this batch.
    fn step(&mut self, command: Command, now: Timestamp) -> Outcome {
        let step = self.ledger.step(command, now);
        self.pending_events.extend(step.events);
        for Answered { waiter, outcome } in step.answered {
            if let Some(reply) = self.waiting.remove(&waiter) {
                let outcome = Outcome::Acquired(outcome);
                self.stepped.push(Stepped { reply: Some(reply), outcome, again: None });
            }
        }
        step.outcome
    }

    fn send_waiters_away(&mut self, departure: Departure, why: Unavailable, now: Timestamp) {
        self.step(Command::SendWaitersAway(departure), now);
        self.answers.extend(self.waiting.drain().map(|(_, reply)| (reply, Err(why))));
    }

    /// Checks for a standstill before each step, so that requests that waited in the sockets
    /// meanwhile still find their leases.
    fn look(&mut self, now: Timestamp) {
        if now.since(self.wakes_by) >= STANDSTILL_MIN {
            self.stood_still(self.looked_at, now);
        }
        self.looked(now);
    }

    fn looked(&mut self, now: Timestamp) {
        self.looked_at = now;
        self.wakes_by = now;
    }

    /// Moves deadlines, because no holder could renew from `after` until `now`: the process was
    /// stopped, the machine was frozen, or a commit took that long. Pending answers get the new
    /// deadlines. If the server dies before those are durable, its downtime moves them at least as
    /// far.
    fn stood_still(&mut self, after: Timestamp, now: Timestamp) {
        let by = self.ledger.resume(after, now);
        if by == Span::ZERO {
            return;
        }
        for stepped in &mut self.stepped {
            stepped.outcome.resume(after, by);
        }
        tracing::warn!(
            seconds = by.as_seconds_f64(),
            "the server stood still; leases keep the time that they had left"
        );
    }
}
