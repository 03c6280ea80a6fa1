//! The ways in to the coordinator, and the answers out of it.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use leasehold_engine::{Acquire, Acquired, Command, Outcome, Patience, Span, Ticket, WaiterId};
use tokio::sync::{broadcast, oneshot};

use super::inbox::{Note, Outbox, Request};
use super::{Events, Most};
use crate::clock::Clock;
use crate::http::access_log;
use crate::http::quota::{Crowd, Member};

/// Sends commands to the coordinator.
#[derive(Clone, Debug)]
pub struct Handle {
    outbox: Outbox,
    next_waiter: Arc<AtomicU64>,
    /// The requests that are held open now, by all handles together.
    held_open: Arc<Crowd>,
    clock: Clock,
    told: broadcast::Sender<Events>,
}

/// What became of a command, durable. Dropped before its grant was [kept](Answer::keep), it
/// gives the slots back: a client that hung up leaves nothing behind (defect D08).
#[derive(Debug)]
pub struct Answer {
    outcome: Outcome,
    undo: Undo,
}

/// Gives a grant back when it is dropped before it was kept.
#[derive(Debug, Default)]
pub struct Undo(Option<(Command, Outbox)>);

/// How long a request waits, and where in line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wait {
    /// For how long. Without time it is refused at once, and gets a place to come back to.
    pub span: Span,
    /// Higher goes first.
    pub priority: i32,
    /// The place that it got when it was refused before.
    pub place: Option<Ticket>,
    /// The address whose share of the line it takes, if it is known and one client's.
    pub from: Option<IpAddr>,
}

/// Why there is no answer. The command may have been carried out all the same only if the
/// journal failed while it was being made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// Too many commands wait already.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The journal could not make it durable.
    #[error("the journal cannot be written")]
    Journal,
    /// There are as many limits as are kept.
    #[error("There are {} limits, and no more are kept: delete some first.", Most::LIMITS)]
    TooManyLimits,
    /// There are as many leases as are kept.
    #[error("there are as many leases as are kept")]
    TooManyLeases,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

impl Handle {
    pub(super) fn new(outbox: Outbox, clock: Clock, told: broadcast::Sender<Events>) -> Self {
        Self {
            outbox,
            next_waiter: Arc::default(),
            held_open: Crowd::new(usize::MAX, usize::MAX),
            clock,
            told,
        }
    }

    /// The same, but it lets no request wait while so many are held open. Each has a connection,
    /// and those who hold leases need connections too, to renew them. One address has half of the
    /// line at the most: it cannot keep all others out of it.
    pub(crate) fn with_waiters_max(self, waiters_max: usize) -> Self {
        Self { held_open: Crowd::new(waiters_max, waiters_max.div_ceil(2)), ..self }
    }

    /// Whether nobody else from an address may wait: who finds no room is refused at once.
    pub(crate) fn is_line_full(&self, from: Option<IpAddr>) -> bool {
        self.held_open.is_full_for(from)
    }

    /// What happens from now on. A listener that falls too far behind is told that it missed
    /// something; the coordinator waits for nobody.
    pub fn listen(&self) -> broadcast::Receiver<Events> {
        self.told.subscribe()
    }

    /// The clock that the ledger goes by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Carries out a command, and answers when it is durable.
    ///
    /// # Errors
    ///
    /// See [`Unavailable`]: at once when too much is waiting already.
    pub async fn send(&self, command: Command) -> Result<Answer, Unavailable> {
        access_log::note_command(&command);
        let (reply, answer) = oneshot::channel();
        self.outbox.request(Request { command, reply })?;
        let answer = answer.await.unwrap_or(Err(Unavailable::Stopping))?;
        access_log::note_outcome(&answer.outcome);
        Ok(answer)
    }

    /// Takes slots, and waits for them if they are not free and the line is not full. Dropped
    /// meanwhile, it leaves the line.
    ///
    /// # Errors
    ///
    /// See [`Unavailable`]; also while it waits, should the journal fail or the server stop.
    pub async fn acquire(&self, mut acquire: Acquire, wait: Wait) -> Result<Answer, Unavailable> {
        let waiter = WaiterId(self.next_waiter.fetch_add(1, Ordering::Relaxed));
        let mut line =
            (wait.span > Span::ZERO).then(|| self.get_in_line(waiter, wait.from)).flatten();
        let span = if line.is_some() { wait.span } else { Span::ZERO };
        acquire.patience = Some(Patience {
            waiter,
            until: self.clock.now() + span,
            priority: wait.priority,
            place: wait.place,
        });
        let answer = self.send(Command::Acquire(acquire)).await;
        if let Some(line) = &mut line {
            line.is_answered = true;
        }
        answer
    }

    /// `None` when the line is full.
    fn get_in_line(&self, waiter: WaiterId, from: Option<IpAddr>) -> Option<InLine<'_>> {
        let member = self.held_open.enter(from)?;
        Some(InLine { waiter, handle: self, is_answered: false, _member: member })
    }

    /// Sends everybody away who waits: the server is about to stop.
    pub fn send_waiters_away(&self) {
        self.outbox.note(Note::SendWaitersAway);
    }
}

/// Counts as held open until it is dropped, and then leaves the line unless it was answered.
struct InLine<'handle> {
    waiter: WaiterId,
    handle: &'handle Handle,
    is_answered: bool,
    _member: Member,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.handle.outbox.note(Note::Abandon(self.waiter));
        }
    }
}

impl Answer {
    pub(super) fn new(outcome: Outcome, outbox: &Outbox) -> Self {
        let command = match &outcome {
            Outcome::Acquired(Acquired::Granted(grant)) => match &grant.lease {
                // Its client comes back for it with the key.
                Some(lease) if lease.has_key => None,
                Some(lease) => Some(Command::TakeBack { lease: lease.id }),
                None => grant.unleased.clone().map(Command::GiveBack),
            },
            _ => None,
        };
        Self { outcome, undo: Undo(command.map(|command| (command, outbox.clone()))) }
    }

    /// The outcome, and what gives its grant back unless [`Undo::keep`] is called.
    pub fn into_parts(self) -> (Outcome, Undo) {
        (self.outcome, self.undo)
    }

    /// The outcome; should it be a grant, it is kept.
    pub fn keep(self) -> Outcome {
        self.undo.keep();
        self.outcome
    }
}

impl Undo {
    /// The grant has reached whoever asked for it.
    pub fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        if let Some((command, outbox)) = self.0.take() {
            // A coordinator that has stopped cannot undo; the lease's deadline will.
            outbox.note(Note::Undo(command));
        }
    }
}
