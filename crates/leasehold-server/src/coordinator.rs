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
//! When a commit fails, everything in it and behind it is answered as unavailable, and the
//! ledger is loaded from the journal again: memory never runs ahead of the disk.

use std::sync::Arc;
use std::time::Duration;

use leasehold_engine::{Acquired, Command, Happening, Ledger, Outcome, Span, Timestamp};
use leasehold_journal::{Journal, LoadError};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::writer::Writer;

/// How many commands may wait to be stepped. Beyond, the server is overloaded and says so.
const QUEUE_MAX: usize = 8_192;
/// How many stepped commands may wait for a commit.
const BATCH_MAX: usize = 4_096;
/// How many batches a listener may be behind.
const TOLD_MAX: usize = 1_024;
/// The journal knows this exactly when the server was up last.
const HEARTBEAT: Span = Span::from_seconds(1);
/// How long to wait before a journal that cannot be loaded is tried again.
const RELOAD_DELAY: Duration = Duration::from_millis(500);

/// Sends commands to the coordinator.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Request>,
    clock: Clock,
    told: broadcast::Sender<Told>,
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

/// What happened, durable, in the order in which it happened.
pub type Told = Arc<[Happening]>;

type Reply = oneshot::Sender<Result<Answer, Unavailable>>;

struct Coordinator<J> {
    ledger: Ledger,
    clock: Clock,
    writer: Writer<J>,
    undo: mpsc::UnboundedSender<Command>,
    /// Stepped, and not yet handed to the writer.
    stepped: Vec<(Reply, Outcome)>,
    /// In the commit that is under way.
    committing: Vec<(Reply, Outcome)>,
    /// What happened in those steps, and in the commit.
    happened: Vec<Happening>,
    happening: Vec<Happening>,
    told: broadcast::Sender<Told>,
    /// The latest time that is durable, or about to be.
    committed_at: Timestamp,
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
    let told = broadcast::Sender::new(TOLD_MAX);
    let coordinator = Coordinator {
        ledger,
        clock: clock.clone(),
        writer: Writer::start(journal),
        undo,
        stepped: Vec::new(),
        committing: Vec::new(),
        happened: Vec::new(),
        happening: Vec::new(),
        told: told.clone(),
        committed_at,
    };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(coordinator.run(requests, undone, stopped));
    Ok((Handle { commands, clock, told }, Running { stop, task }))
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

    /// What happens from now on. A listener that falls too far behind is told that it missed
    /// something; the coordinator waits for nobody.
    pub fn listen(&self) -> broadcast::Receiver<Told> {
        self.told.subscribe()
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
    async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut undone: mpsc::UnboundedReceiver<Command>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        let mut received = Vec::with_capacity(BATCH_MAX);
        loop {
            let room = BATCH_MAX.saturating_sub(self.stepped.len());
            let wake_up = self.next_wake_up();
            let is_busy = self.writer.is_busy();
            tokio::select! {
                biased;
                durable = self.writer.done(), if is_busy => {
                    self.committed(durable.is_ok()).await;
                }
                Some(command) = undone.recv() => {
                    self.step(command);
                }
                received_now = requests.recv_many(&mut received, room), if room > 0 => {
                    if received_now == 0 {
                        break;
                    }
                    self.step_all(&mut received);
                }
                () = self.clock.sleep_until(wake_up), if !is_busy => {
                    self.step(Command::Tick);
                }
                _ = &mut stopped, if !requests.is_closed() => requests.close(),
            }
            self.commit_if_due().await;
        }
        while let Ok(command) = undone.try_recv() {
            self.step(command);
        }
        self.finish().await;
    }

    fn step(&mut self, command: Command) {
        let step = self.ledger.step(command, self.clock.now());
        self.happened.extend(step.happened);
    }

    fn step_all(&mut self, received: &mut Vec<Request>) {
        let now = self.clock.now();
        for Request { command, reply } in received.drain(..) {
            let step = self.ledger.step(command, now);
            self.happened.extend(step.happened);
            self.stepped.push((reply, step.outcome));
        }
    }

    /// When a lease dies, or when the journal has to hear that we are alive: as long as there
    /// is any lease whose deadline a downtime would move.
    fn next_wake_up(&self) -> Option<Timestamp> {
        let deadline = self.ledger.next_deadline()?;
        Some(deadline.min(self.committed_at + HEARTBEAT))
    }

    async fn commit_if_due(&mut self) {
        if self.writer.is_busy() {
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
        std::mem::swap(&mut self.happened, &mut self.happening);
        self.writer.commit(changes);
        if !self.writer.is_busy() {
            self.committed(false).await;
        }
    }

    async fn committed(&mut self, is_durable: bool) {
        if is_durable {
            Self::reply(&mut self.committing, &self.undo);
            self.tell();
            return;
        }
        self.happening.clear();
        self.happened.clear();
        let unanswered = self.committing.drain(..).chain(self.stepped.drain(..));
        for (reply, _) in unanswered {
            let _ = reply.send(Err(Unavailable::Journal));
        }
        self.reload().await;
    }

    /// With nobody listening, what happened is dropped.
    fn tell(&mut self) {
        if !self.happening.is_empty() {
            let _ = self.told.send(self.happening.drain(..).collect());
        }
    }

    /// Forgets what did not become durable.
    async fn reload(&mut self) {
        loop {
            match self.writer.load().await {
                Ok(snapshot) => {
                    self.committed_at = snapshot.at;
                    self.ledger = Ledger::restore(snapshot, self.clock.now());
                    return;
                }
                Err(error) => {
                    tracing::error!(error = %chain(&error), "the journal cannot be read");
                    tokio::time::sleep(RELOAD_DELAY).await;
                }
            }
        }
    }

    /// Nobody there any more: dropping the answer gives its grant back.
    fn reply(answered: &mut Vec<(Reply, Outcome)>, undo: &mpsc::UnboundedSender<Command>) {
        for (reply, outcome) in answered.drain(..) {
            let _ = reply.send(Ok(Answer::new(outcome, undo)));
        }
    }

    /// The last commit says up to when we were there to renew with.
    async fn finish(mut self) {
        while self.writer.is_busy() {
            let is_durable = self.writer.done().await.is_ok();
            self.committed(is_durable).await;
            self.commit_if_due().await;
        }
        self.step(Command::Tick);
        std::mem::swap(&mut self.happened, &mut self.happening);
        self.writer.commit(self.ledger.take_changes());
        match self.writer.done().await {
            Ok(()) => self.tell(),
            Err(_) => tracing::error!("the last changes could not be made durable"),
        }
        self.writer.stop();
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
