//! The one owner of the ledger.
//!
//! ```text
//!   handlers ──commands──▶ Coordinator ──changes──▶ writer thread ──▶ Journal
//!      ▲                    │  steps batch N+1          commits batch N   │
//!      └─────answers────────┴◀───────────────────durable─────────────────┘
//! ```
//!
//! Nothing is answered before its changes are durable. Whatever arrives while a commit runs
//! is stepped at once and goes into the next commit, so that many requests share one `fsync`.
//! When a commit fails, every change in it and behind it is answered as unavailable, and the
//! ledger is loaded from the journal again: memory never runs ahead of the disk. For a moment
//! then nothing but reads is looked at, so that a full disk costs neither time nor log.

use std::ops::ControlFlow;
use std::time::Duration;

use leasehold_engine::{Acquired, Command, Ledger, Outcome, Span, Timestamp};
use leasehold_journal::{CommitError, Journal, LoadError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::writer::Writer;

#[cfg(test)]
mod tests;

/// How many commands may wait to be stepped. Beyond, the server is overloaded and says so.
const QUEUE_MAX: usize = 8_192;
/// How many stepped commands may wait for a commit.
const BATCH_MAX: usize = 4_096;
/// The journal knows this exactly when the server was up last.
const HEARTBEAT: Span = Span::from_seconds(1);
/// How long a journal that could not be written is left alone.
const PAUSE: Span = Span::from_micros(500_000);
/// How long to wait before a journal that cannot be loaded is tried again.
const RELOAD_DELAY: Duration = Duration::from_millis(500);

/// Sends commands to the coordinator.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Request>,
    clock: Clock,
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
pub struct Undo(Option<(Command, mpsc::UnboundedSender<Command>)>);

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
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

#[derive(Debug)]
struct Request {
    command: Command,
    reply: Reply,
}

type Reply = oneshot::Sender<Result<Answer, Unavailable>>;

/// A command that was stepped, and whose answer waits until everything before it is durable.
struct Stepped {
    /// Nobody waits for what gives a grant back.
    reply: Option<Reply>,
    outcome: Outcome,
    /// What to step once more if the journal fails: a read is right all the same, and a grant
    /// that nobody got must not stay.
    again: Option<Command>,
}

/// Everything that reaches the coordinator from outside.
struct Inbox {
    requests: mpsc::Receiver<Request>,
    /// What gives grants back that nobody got.
    undone: mpsc::UnboundedReceiver<Command>,
    stopped: oneshot::Receiver<()>,
}

struct Coordinator<J> {
    ledger: Ledger,
    clock: Clock,
    writer: Writer<J>,
    undo: mpsc::UnboundedSender<Command>,
    /// Stepped, and not yet handed to the writer.
    stepped: Vec<Stepped>,
    /// In the commit that is under way.
    committing: Vec<Stepped>,
    /// The latest time that is durable, or about to be.
    committed_at: Timestamp,
    /// The journal failed, and is not tried again before this.
    paused_until: Option<Timestamp>,
    /// Whether the last commit failed.
    is_failing: bool,
    /// The ledger is ahead of the disk for good: it must not be made durable.
    is_lost: bool,
}

/// A coordinator that runs.
#[derive(Debug)]
pub struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Starts the coordinator on a journal, with a clock that begins no earlier than the journal's
/// last time. Answers how to reach it and how to stop it.
///
/// # Errors
///
/// If the journal cannot be loaded.
pub fn start<J: Journal + 'static>(
    mut journal: J,
    clock: impl FnOnce(Timestamp) -> Clock,
) -> Result<(Handle, Running), LoadError> {
    let snapshot = journal.load()?;
    let clock = clock(snapshot.at);
    let committed_at = snapshot.at;
    let ledger = Ledger::restore(snapshot, clock.now());
    let (commands, requests) = mpsc::channel(QUEUE_MAX);
    let (undo, undone) = mpsc::unbounded_channel();
    let coordinator = Coordinator {
        ledger,
        clock: clock.clone(),
        writer: Writer::start(journal),
        undo,
        stepped: Vec::new(),
        committing: Vec::new(),
        committed_at,
        paused_until: None,
        is_failing: false,
        is_lost: false,
    };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(coordinator.run(Inbox { requests, undone, stopped }));
    Ok((Handle { commands, clock }, Running { stop, task }))
}

impl Running {
    /// Stops it after everything that it was sent is answered, and closes the journal.
    pub async fn stop(self) {
        drop(self.stop);
        if self.task.await.is_err() {
            tracing::error!("the coordinator has panicked");
        }
    }
}

impl Handle {
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
        let (reply, answer) = oneshot::channel();
        self.commands.try_send(Request { command, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unavailable::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Unavailable::Stopping,
        })?;
        answer.await.unwrap_or(Err(Unavailable::Stopping))
    }
}

impl Answer {
    fn new(outcome: Outcome, undo: &mpsc::UnboundedSender<Command>) -> Self {
        let command = match &outcome {
            Outcome::Acquired(Acquired::Granted(grant)) => match &grant.lease {
                Some(lease) => Some(Command::Release { lease: lease.id }),
                None => grant.unleased.clone().map(Command::GiveBack),
            },
            _ => None,
        };
        Self { outcome, undo: Undo(command.map(|command| (command, undo.clone()))) }
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
        if let Some((command, sender)) = self.0.take() {
            let _ = sender.send(command);
        }
    }
}

impl<J: Journal + 'static> Coordinator<J> {
    async fn run(mut self, mut inbox: Inbox) {
        let mut received = Vec::with_capacity(BATCH_MAX);
        loop {
            let room = BATCH_MAX.saturating_sub(self.stepped.len());
            let wake_up = self.next_wake_up();
            let is_busy = self.writer.is_busy();
            tokio::select! {
                biased;
                durable = self.writer.done(), if is_busy => {
                    self.committed(durable, &mut inbox).await;
                }
                Some(command) = inbox.undone.recv() => self.step_undone(command),
                received_now = inbox.requests.recv_many(&mut received, room), if room > 0 => {
                    if received_now == 0 {
                        break;
                    }
                    self.step_all(&mut received);
                }
                () = self.clock.sleep_until(wake_up), if !is_busy => {
                    self.paused_until = None;
                    self.ledger.step(Command::Tick, self.clock.now());
                }
                _ = &mut inbox.stopped, if !inbox.requests.is_closed() => inbox.requests.close(),
            }
            if self.is_lost {
                break;
            }
            self.commit_if_due(&mut inbox).await;
        }
        while let Ok(command) = inbox.undone.try_recv() {
            self.step_undone(command);
        }
        self.finish(inbox).await;
    }

    fn step_all(&mut self, received: &mut Vec<Request>) {
        let now = self.clock.now();
        for Request { command, reply } in received.drain(..) {
            let again = matches!(command, Command::Read(_)).then(|| command.clone());
            if again.is_none() && self.paused_until.is_some() {
                let _ = reply.send(Err(Unavailable::Journal));
                continue;
            }
            let outcome = self.ledger.step(command, now).outcome;
            self.stepped.push(Stepped { reply: Some(reply), outcome, again });
        }
    }

    fn step_undone(&mut self, command: Command) {
        let outcome = self.ledger.step(command.clone(), self.clock.now()).outcome;
        self.stepped.push(Stepped { reply: None, outcome, again: Some(command) });
    }

    /// When a lease dies, or when the journal has to hear that we are alive: as long as there
    /// is any lease whose deadline a downtime would move. After a failure, when to try again.
    fn next_wake_up(&self) -> Option<Timestamp> {
        if self.paused_until.is_some() {
            return self.paused_until;
        }
        let deadline = self.ledger.next_deadline()?;
        Some(deadline.min(self.committed_at + HEARTBEAT))
    }

    async fn commit_if_due(&mut self, inbox: &mut Inbox) {
        if self.writer.is_busy() {
            return;
        }
        if self.paused_until.is_some() {
            self.answer_reads();
            return;
        }
        let changes = self.ledger.take_changes();
        let is_heartbeat_due =
            self.ledger.next_deadline().is_some() && changes.at >= self.committed_at + HEARTBEAT;
        if changes.is_empty() && !is_heartbeat_due {
            // Looked and refused: nothing to wait for, all before it is durable.
            Self::reply(&mut self.stepped, &self.undo);
            return;
        }
        self.committed_at = changes.at;
        std::mem::swap(&mut self.stepped, &mut self.committing);
        self.writer.commit(changes);
        if !self.writer.is_busy() {
            self.committed(Err(Writer::<J>::ended()), inbox).await;
        }
    }

    async fn committed(&mut self, durable: Result<(), CommitError>, inbox: &mut Inbox) {
        let Err(error) = durable else {
            Self::reply(&mut self.committing, &self.undo);
            if std::mem::take(&mut self.is_failing) {
                tracing::info!("changes can be made durable again");
            }
            return;
        };
        // Said once: as long as the disk is full every attempt fails alike.
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!(error = %chain(&error), "changes could not be made durable");
        }
        let mut again = Vec::new();
        for stepped in self.committing.drain(..).chain(self.stepped.drain(..)) {
            match (stepped.again, stepped.reply) {
                (Some(command), reply) => again.push((command, reply)),
                (None, Some(reply)) => drop(reply.send(Err(Unavailable::Journal))),
                (None, None) => {}
            }
        }
        self.reload(inbox).await;
        if self.is_lost {
            // Whoever waits for `again` learns from its end that the server is stopping.
            return;
        }
        let now = self.clock.now();
        self.paused_until = Some(now + PAUSE);
        for (command, reply) in again {
            let outcome = self.ledger.step(command.clone(), now).outcome;
            self.stepped.push(Stepped { reply, outcome, again: Some(command) });
        }
        self.answer_reads();
    }

    /// Answers reads alone: they see what is durable, for since the journal failed nothing
    /// else has been stepped but time and grants that are given back.
    fn answer_reads(&mut self) {
        let mut reads = self.stepped.extract_if(.., |stepped| stepped.reply.is_some()).collect();
        Self::reply(&mut reads, &self.undo);
    }

    /// Forgets what did not become durable. As long as the journal cannot be read, everything
    /// is answered as unavailable.
    async fn reload(&mut self, inbox: &mut Inbox) {
        loop {
            match self.writer.load().await {
                Ok(snapshot) => {
                    self.committed_at = snapshot.at;
                    self.ledger = Ledger::restore(snapshot, self.clock.now());
                    return;
                }
                Err(error) => {
                    tracing::error!(error = %chain(&error), "the journal cannot be read");
                }
            }
            if inbox.refuse_for(RELOAD_DELAY).await.is_break() {
                self.is_lost = true;
                return;
            }
        }
    }

    /// Nobody there any more: dropping the answer gives its grant back.
    fn reply(answered: &mut Vec<Stepped>, undo: &mpsc::UnboundedSender<Command>) {
        for Stepped { reply, outcome, .. } in answered.drain(..) {
            if let Some(reply) = reply {
                let _ = reply.send(Ok(Answer::new(outcome, undo)));
            }
        }
    }

    /// The last commit says up to when we were there to renew with.
    async fn finish(mut self, mut inbox: Inbox) {
        while self.writer.is_busy() {
            let durable = self.writer.done().await;
            self.committed(durable, &mut inbox).await;
            if !self.is_lost {
                self.commit_if_due(&mut inbox).await;
            }
        }
        if !self.is_lost {
            self.ledger.step(Command::Tick, self.clock.now());
            self.writer.commit(self.ledger.take_changes());
            if let Err(error) = self.writer.done().await {
                let error = chain(&error);
                tracing::error!(error, "the last changes could not be made durable");
            }
        }
        self.writer.stop();
    }
}

impl Inbox {
    /// Answers for a while that nothing is available. Breaks if the server stops meanwhile.
    async fn refuse_for(&mut self, delay: Duration) -> ControlFlow<()> {
        let mut delay = std::pin::pin!(tokio::time::sleep(delay));
        loop {
            tokio::select! {
                () = &mut delay => return ControlFlow::Continue(()),
                request = self.requests.recv() => match request {
                    Some(request) => drop(request.reply.send(Err(Unavailable::Journal))),
                    None => return ControlFlow::Break(()),
                },
                _ = &mut self.stopped, if !self.requests.is_closed() => self.requests.close(),
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
