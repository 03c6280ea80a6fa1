//! The handle of a ledger: sends commands to it, and returns the outcomes.

mod calls;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use leasehold_engine::{Command, Event, Outcome, Patience, Span, Ticket, WaiterId};
use tokio::sync::{broadcast, oneshot};

use crate::clock::Clock;
use crate::desk::{Input, Unavailable};
use crate::figures::Figures;
use crate::mailbox::{Answer, Sender};

/// The events of one commit, durable, in order.
pub type Events = Arc<[Event]>;

/// Sends commands to the ledger.
#[derive(Clone, Debug)]
pub struct Handle {
    sender: Sender,
    next_waiter: Arc<AtomicU64>,
    observer: Observer,
    clock: Clock,
    events: broadcast::Sender<Events>,
    figures: Arc<Figures>,
}

/// Functions that are called with each command before it is sent, and with its outcome. An access
/// log records with them what a request was about.
#[derive(Clone, Copy)]
pub struct Observer {
    /// Called with each command.
    pub command: fn(&Command),
    /// Called with each outcome.
    pub outcome: fn(&Outcome),
}

/// How long a request waits, and where in the queue.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wait {
    /// For how long. A request with zero is refused at once, and gets a place to come back to.
    pub span: Span,
    /// A higher one goes first.
    pub priority: i32,
    /// The place from an earlier refusal.
    pub place: Option<Ticket>,
}

impl Handle {
    pub(crate) fn new(
        sender: Sender,
        clock: Clock,
        events: broadcast::Sender<Events>,
        figures: Arc<Figures>,
    ) -> Self {
        let observer = Observer { command: |_| {}, outcome: |_| {} };
        Self { sender, next_waiter: Arc::default(), observer, clock, events, figures }
    }

    /// The same handle, with this observer.
    pub fn observed(self, observer: Observer) -> Self {
        Self { observer, ..self }
    }

    /// Subscribes to the events from now on. The ledger waits for no subscriber: one that falls too
    /// far behind loses events, and its receiver reports it.
    pub fn subscribe(&self) -> broadcast::Receiver<Events> {
        self.events.subscribe()
    }

    /// The ledger's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What the ledger's thread counts.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// How many commands were sent and wait to be stepped.
    pub fn commands_waiting(&self) -> usize {
        self.sender.requests_waiting()
    }

    /// Ends every wait: the server is about to stop.
    pub fn send_waiters_away(&self) {
        self.sender.notify(Input::Drain);
    }

    async fn send(&self, command: Command) -> Result<Answer, Unavailable> {
        (self.observer.command)(&command);
        let (reply, answer) = oneshot::channel();
        self.sender.request(command, reply)?;
        let answer = answer.await.unwrap_or(Err(Unavailable::Stopping))?;
        (self.observer.outcome)(answer.outcome());
        Ok(answer)
    }

    fn patience(&self, wait: Wait) -> (Patience, Waiting<'_>) {
        let waiter = WaiterId(self.next_waiter.fetch_add(1, Ordering::Relaxed));
        let Wait { span, priority, place } = wait;
        let until = self.clock.now() + span;
        let sender = (span > Span::ZERO).then_some(&self.sender);
        (Patience { waiter, until, priority, place }, Waiting { waiter, sender })
    }
}

/// Leaves the queue if it is dropped before the answer comes.
struct Waiting<'handle> {
    waiter: WaiterId,
    sender: Option<&'handle Sender>,
}

impl Waiting<'_> {
    fn is_answered(&mut self) {
        self.sender = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(sender) = self.sender {
            sender.notify(Input::Abandon(self.waiter));
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
