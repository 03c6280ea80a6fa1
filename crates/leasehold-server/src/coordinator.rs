//! The one owner of the ledger, on a thread of its own.
//!
//! ```text
//!   handlers ──commands──▶ Coordinator ──changes──▶ Journal
//!      ▲                    │  steps what came while the last commit ran,
//!      └─────answers────────┘  commits it, and answers all of it
//! ```
//!
//! Nothing is answered before its changes are durable. Whatever arrives while a commit runs goes
//! into the next one, so that many requests share one `fsync`. A commit blocks, and so does
//! this thread meanwhile: there is nothing that could be answered earlier, and no other thread
//! has to be woken for each commit.
//!
//! When a commit fails, every change in it is answered as unavailable, and the ledger is loaded
//! from the journal again: memory never runs ahead of the disk. For a moment then the journal
//! is tried only if somebody asks for a change, so that a full disk costs neither time nor
//! log, and reads go on.

mod handle;
mod inbox;
mod most;
mod start;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use leasehold_engine::{
    Acquired, Answered, Command, Departure, Event, EventKind, Ledger, Outcome, Span, Timestamp,
    WaiterId,
};
use leasehold_journal::{CommitError, Journal};
use rustc_hash::FxHashMap;
use tokio::sync::broadcast;

use crate::clock::Clock;
use crate::notices::Notices;
use crate::stuck;
pub use handle::{Answer, Handle, Unavailable, Undo, Wait};
use inbox::{Inbox, Message, Note, Outbox, Reply, Request};
use most::Most;
pub use start::{Loaded, Ready, Running, load, start};

/// How many messages are heeded before what they did is committed.
const BATCH_MAX: usize = 4_096;
/// The journal knows this exactly when the server was up last.
const HEARTBEAT: Span = Span::from_seconds(1);
/// How long a journal that could not be written is left alone, unless somebody wants a change.
const PAUSE: Span = Span::from_micros(500_000);
/// How many times as long as it took to load the ledger again it is left alone at the least.
const READ_SHARE: u64 = 4;
/// How long to wait before a journal that cannot be loaded is tried again.
const RELOAD_DELAY: Duration = Duration::from_millis(500);
/// From when on a delay counts as a standstill, in which no holder could renew. Shorter than any
/// lease.
const STANDSTILL_MIN: Span = Span::from_micros(500_000);

/// A command that was stepped, and whose answer waits until everything before it is durable.
struct Stepped {
    /// Nobody waits for what gives a grant back.
    reply: Option<Reply>,
    outcome: Outcome,
    /// What to step once more if the journal fails: a read is right all the same, and a grant
    /// that nobody got must not stay.
    again: Option<Command>,
}

/// What happened, durable, in the order in which it happened.
pub type Events = Arc<[Event]>;

struct Coordinator<J> {
    ledger: Ledger,
    most: Most,
    clock: Clock,
    journal: J,
    /// Where what was granted is given back.
    outbox: Outbox,
    /// Who waits in the ledger's queue.
    waiting: FxHashMap<WaiterId, Reply>,
    /// Stepped, and not yet durable.
    stepped: Vec<Stepped>,
    /// What happened in those steps.
    events: Vec<Event>,
    told: broadcast::Sender<Events>,
    /// What the log says once.
    notices: Notices,
    /// The latest time that is durable.
    committed_at: Timestamp,
    /// When this thread looked at the clock last.
    looked_at: Timestamp,
    /// When it is to look again at the latest, unless it stands still.
    looks_by: Timestamp,
    /// The journal failed, and is not tried again by ourselves before this.
    paused_until: Option<Timestamp>,
    /// Whether the last commit failed.
    is_failing: bool,
    /// The ledger is ahead of the disk for good: it must not be made durable.
    is_lost: bool,
    /// Nobody waits any longer.
    is_stopping: bool,
    /// What was sent until now is the last.
    is_stopped: bool,
}

impl<J: Journal + 'static> Coordinator<J> {
    fn run(mut self, mut inbox: Inbox) {
        while !self.is_lost && !self.is_stopped {
            let due = self.next_wake_up();
            // Without leases that could be lost it may sleep for as long as it wants.
            self.looks_by = due.unwrap_or(Timestamp::MAX).max(self.looked_at);
            match inbox.next(&self.clock, due) {
                Some(message) => self.heed(message),
                None => {
                    self.paused_until = None;
                    let now = self.now();
                    self.step(Command::Tick, now);
                }
            }
            self.gather(&mut inbox);
            self.commit_if_due(&mut inbox);
        }
        while let Some(message) = inbox.next_now() {
            if let Message::Note(note) = message {
                self.take_note(note);
            }
        }
        self.send_waiters_away(Departure::Stopping, Unavailable::Stopping);
        self.finish();
    }

    /// What time it is. Every look at the clock may be the first one after a standstill: requests
    /// that lay in the sockets meanwhile are to find their leases.
    fn now(&mut self) -> Timestamp {
        let now = self.clock.now();
        if self.clock.stood_still(self.looks_by, now) >= STANDSTILL_MIN {
            self.stood_still(self.looked_at, now);
        }
        self.looked(now);
        now
    }

    fn looked(&mut self, now: Timestamp) {
        self.looked_at = now;
        self.looks_by = now;
    }

    /// No holder could renew from `after` until `now`: the process was stopped, the machine was
    /// frozen, or a commit took that long. Answers that were not given yet say the new deadlines;
    /// should the server die before those are durable, its downtime moves them at least as far.
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

    /// Takes whatever else is there: a commit costs the same for one request as for a hundred. It
    /// does not wait for more: what comes while it runs is the next one's, and the busier the
    /// server the more that is.
    fn gather(&mut self, inbox: &mut Inbox) {
        for _ in 1..BATCH_MAX {
            if self.is_stopped {
                break;
            }
            let Some(message) = inbox.next_now() else { break };
            self.heed(message);
        }
    }

    fn heed(&mut self, message: Message) {
        match message {
            Message::Request(request) => self.carry_out(request),
            Message::Note(note) => self.take_note(note),
            // Seen by whoever asks next when to wake up.
            Message::ClockMoved => {}
            Message::Stop => self.is_stopped = true,
        }
    }

    fn carry_out(&mut self, Request { command, reply }: Request) {
        let now = self.now();
        let waiter = match &command {
            Command::Read(_) => return self.step_again(command, Some(reply), now),
            // Its client has hung up already.
            Command::Acquire(_) if reply.is_closed() => return,
            Command::Acquire(acquire) => acquire.patience.map(|patience| patience.waiter),
            _ => None,
        };
        if let Some(full) = self.full(&command, now) {
            let _ = reply.send(Err(full));
            return;
        }
        // It is there before it is put in line: it may be called in the very same step.
        let reply = match waiter {
            Some(waiter) => {
                self.waiting.insert(waiter, reply);
                None
            }
            None => Some(reply),
        };
        let outcome = self.step(command, now);
        if let Outcome::Acquired(Acquired::Queued(_)) = outcome {
            if self.is_stopping {
                self.send_waiters_away(Departure::Stopping, Unavailable::Stopping);
            }
            return;
        }
        let reply = reply.or_else(|| self.waiting.remove(&waiter?));
        self.stepped.push(Stepped { reply, outcome, again: None });
    }

    /// Steps what is stepped once more if the journal fails.
    fn step_again(&mut self, command: Command, reply: Option<Reply>, now: Timestamp) {
        let outcome = self.step(command.clone(), now);
        self.stepped.push(Stepped { reply, outcome, again: Some(command) });
    }

    /// Steps the ledger. Those whose wait is over are answered with this step's batch.
    fn step(&mut self, command: Command, now: Timestamp) -> Outcome {
        let step = self.ledger.step(command, now);
        self.events.extend(step.events);
        for Answered { waiter, outcome } in step.answered {
            // Who is not there any more has left the line, and is not called.
            if let Some(reply) = self.waiting.remove(&waiter) {
                let outcome = Outcome::Acquired(outcome);
                self.stepped.push(Stepped { reply: Some(reply), outcome, again: None });
            }
        }
        step.outcome
    }

    fn take_note(&mut self, note: Note) {
        match note {
            Note::Undo(command) => {
                let now = self.now();
                self.step_again(command, None, now);
            }
            Note::Abandon(waiter) => {
                self.waiting.remove(&waiter);
                let now = self.now();
                self.step(Command::Abandon(waiter), now);
            }
            Note::SendWaitersAway => {
                self.is_stopping = true;
                self.send_waiters_away(Departure::Stopping, Unavailable::Stopping);
            }
        }
    }

    fn send_waiters_away(&mut self, departure: Departure, why: Unavailable) {
        let now = self.now();
        self.step(Command::SendWaitersAway(departure), now);
        for (_, reply) in self.waiting.drain() {
            let _ = reply.send(Err(why));
        }
    }

    /// When something happens in the ledger by itself, or when the journal has to hear that we
    /// are alive: as long as there is any lease whose deadline a downtime would move. After a
    /// failure, when to try again.
    fn next_wake_up(&self) -> Option<Timestamp> {
        if self.paused_until.is_some() {
            return self.paused_until;
        }
        let heartbeat = self.ledger.next_deadline().map(|_| self.committed_at + HEARTBEAT);
        heartbeat.into_iter().chain(self.ledger.next_wake_up()).min()
    }

    fn commit_if_due(&mut self, inbox: &mut Inbox) {
        let has_writes = self.stepped.iter().any(|stepped| stepped.again.is_none());
        if self.paused_until.is_some() && !has_writes {
            self.answer_reads();
            return;
        }
        let changes = self.ledger.take_changes();
        let is_heartbeat_due =
            self.ledger.next_deadline().is_some() && changes.at >= self.committed_at + HEARTBEAT;
        if changes.is_empty() && !is_heartbeat_due {
            // Looked and refused: nothing to wait for, all before it is durable.
            Self::reply(&mut self.stepped, &self.outbox);
            self.tell();
            return;
        }
        self.committed_at = changes.at;
        if let Err(error) = self.journal.commit(&changes) {
            self.failed(&error, inbox);
            return;
        }
        if changes.resumed.is_some() {
            // To move very many deadlines takes a while itself, and is no reason to move them again.
            self.looked(self.clock.now());
        } else {
            self.now();
        }
        Self::reply(&mut self.stepped, &self.outbox);
        self.tell();
        self.paused_until = None;
        if std::mem::take(&mut self.is_failing) {
            tracing::info!("changes can be made durable again");
        }
    }

    /// Forgets what could not be made durable, and answers so.
    fn failed(&mut self, error: &CommitError, inbox: &mut Inbox) {
        // Said once: as long as the disk is full every attempt fails alike.
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!(error = %chain(error), "changes could not be made durable");
        }
        // From the failure on, not from when it has been told and dealt with.
        self.paused_until = Some(self.clock.now() + PAUSE);
        // Their places are in the ledger that is about to be forgotten. What became of the line
        // is true all the same, and nothing else is that has happened since.
        self.send_waiters_away(Departure::JournalFailed, Unavailable::Journal);
        self.events.retain(|it| matches!(it.kind, EventKind::Queued | EventKind::Left(_)));
        self.tell();
        let mut again = Vec::new();
        for stepped in self.stepped.drain(..) {
            match (stepped.again, stepped.reply) {
                (Some(command), reply) => again.push((command, reply)),
                (None, Some(reply)) => drop(reply.send(Err(Unavailable::Journal))),
                (None, None) => {}
            }
        }
        let began = self.clock.now();
        self.reload(inbox);
        if self.is_lost {
            // Whoever waits for `again` learns from its end that the server is stopping.
            return;
        }
        let now = self.clock.now();
        self.looked(now);
        // To load a large ledger takes longer than the pause, and reads are to go on.
        let time_to_read = Span::from_micros(now.since(began).as_micros() * READ_SHARE);
        self.paused_until = self.paused_until.map(|until| until.max(now + time_to_read));
        for (command, reply) in again {
            self.step_again(command, reply, now);
        }
        self.answer_reads();
    }

    /// Answers reads alone: they see what is durable, for since the journal failed nothing
    /// else has been stepped but time and grants that are given back.
    fn answer_reads(&mut self) {
        let is_read = |stepped: &mut Stepped| matches!(stepped.again, Some(Command::Read(_)));
        let mut reads = self.stepped.extract_if(.., is_read).collect();
        Self::reply(&mut reads, &self.outbox);
    }

    /// With nobody listening, what happened is dropped.
    fn tell(&mut self) {
        if !self.events.is_empty() {
            self.events.iter().for_each(|it| stuck::warn(&self.notices, it));
            let _ = self.told.send(self.events.drain(..).collect());
        }
    }

    /// Forgets what did not become durable. As long as the journal cannot be read, everything
    /// is answered as unavailable.
    fn reload(&mut self, inbox: &mut Inbox) {
        let mut is_logged = false;
        loop {
            match self.journal.load() {
                Ok(snapshot) => {
                    self.committed_at = snapshot.at;
                    self.ledger.reload(snapshot, self.clock.now());
                    return;
                }
                Err(error) if !is_logged => {
                    is_logged = true;
                    tracing::error!(error = %chain(&error), "the journal cannot be read");
                }
                Err(_) => {}
            }
            if inbox.refuse_for(RELOAD_DELAY).is_break() {
                self.is_lost = true;
                return;
            }
        }
    }

    /// Nobody there any more: dropping the answer gives its grant back.
    fn reply(answered: &mut Vec<Stepped>, outbox: &Outbox) {
        for Stepped { reply, outcome, .. } in answered.drain(..) {
            if let Some(reply) = reply {
                let _ = reply.send(Ok(Answer::new(outcome, outbox)));
            }
        }
    }

    /// The last commit says up to when we were there to renew with.
    fn finish(mut self) {
        if self.is_lost {
            return;
        }
        let now = self.now();
        self.step(Command::Tick, now);
        match self.journal.commit(&self.ledger.take_changes()) {
            Ok(()) => {
                Self::reply(&mut self.stepped, &self.outbox);
                self.tell();
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, "the last changes could not be made durable");
            }
        }
    }
}

/// An error with all its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}
