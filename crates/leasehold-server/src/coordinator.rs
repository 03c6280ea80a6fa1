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
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leasehold_engine::{
    Acquire, Acquired, Called, Command, Ledger, Outcome, Patience, Span, Ticket, Timestamp,
    WaiterId,
};
use leasehold_journal::{Journal, LoadError};
use rustc_hash::FxHashMap;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::writer::Writer;

/// How many commands may wait to be stepped. Beyond, the server is overloaded and says so.
const QUEUE_MAX: usize = 8_192;
/// How many stepped commands may wait for a commit.
const BATCH_MAX: usize = 4_096;
/// The journal knows this exactly when the server was up last.
const HEARTBEAT: Span = Span::from_seconds(1);
/// How long to wait before a journal that cannot be loaded is tried again.
const RELOAD_DELAY: Duration = Duration::from_millis(500);

/// Sends commands to the coordinator.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Request>,
    notes: mpsc::UnboundedSender<Note>,
    next_waiter: Arc<AtomicU64>,
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
pub struct Undo(Option<(Command, mpsc::UnboundedSender<Note>)>);

/// What the coordinator is told that nobody waits for. Never refused for lack of room: there
/// is at most one for each request.
#[derive(Debug)]
enum Note {
    /// A grant did not reach its client.
    Undo(Command),
    /// A client that waited has hung up.
    Abandon(WaiterId),
    /// The server is about to stop: nobody waits any longer.
    SendWaitersAway,
}

/// How long a request waits, and where in line.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wait {
    /// For how long. Without time it is refused at once, and gets a place to come back to.
    pub span: Span,
    /// Higher goes first.
    pub priority: i32,
    /// The place that it got when it was refused before.
    pub place: Option<Ticket>,
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

struct Coordinator<J> {
    ledger: Ledger,
    clock: Clock,
    writer: Writer<J>,
    notes: mpsc::UnboundedSender<Note>,
    /// Who waits in the ledger's queue.
    waiting: FxHashMap<WaiterId, Reply>,
    /// Stepped, and not yet handed to the writer.
    stepped: Vec<(Reply, Outcome)>,
    /// In the commit that is under way.
    committing: Vec<(Reply, Outcome)>,
    /// The latest time that is durable, or about to be.
    committed_at: Timestamp,
    /// Nobody waits any longer.
    is_stopping: bool,
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
    let (notes, noted) = mpsc::unbounded_channel();
    let coordinator = Coordinator {
        ledger,
        clock: clock.clone(),
        writer: Writer::start(journal),
        notes: notes.clone(),
        waiting: FxHashMap::default(),
        stepped: Vec::new(),
        committing: Vec::new(),
        committed_at,
        is_stopping: false,
    };
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(coordinator.run(requests, noted, stopped));
    let next_waiter = Arc::default();
    Ok((Handle { commands, notes, next_waiter, clock }, Running { stop, task }))
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

    /// Takes slots, and waits for them if they are not free. Dropped meanwhile, it leaves the
    /// line.
    ///
    /// # Errors
    ///
    /// See [`Unavailable`]; also while it waits, should the journal fail or the server stop.
    pub async fn acquire(&self, mut acquire: Acquire, wait: Wait) -> Result<Answer, Unavailable> {
        let waiter = WaiterId(self.next_waiter.fetch_add(1, Ordering::Relaxed));
        acquire.patience = Some(Patience {
            waiter,
            until: self.clock.now() + wait.span,
            priority: wait.priority,
            place: wait.place,
        });
        let mut line = InLine { waiter, notes: (wait.span > Span::ZERO).then_some(&self.notes) };
        let answer = self.send(Command::Acquire(acquire)).await;
        line.notes = None;
        answer
    }

    /// Sends everybody away who waits: the server is about to stop.
    pub fn send_waiters_away(&self) {
        // A coordinator that has stopped has nobody waiting.
        let _ = self.notes.send(Note::SendWaitersAway);
    }
}

/// Leaves the line when it is dropped.
struct InLine<'handle> {
    waiter: WaiterId,
    notes: Option<&'handle mpsc::UnboundedSender<Note>>,
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        if let Some(notes) = self.notes {
            let _ = notes.send(Note::Abandon(self.waiter));
        }
    }
}

impl Answer {
    fn new(outcome: Outcome, notes: &mpsc::UnboundedSender<Note>) -> Self {
        let command = match &outcome {
            Outcome::Acquired(Acquired::Granted(grant)) => match &grant.lease {
                Some(lease) => Some(Command::Release { lease: lease.id }),
                None => grant.unleased.clone().map(Command::GiveBack),
            },
            _ => None,
        };
        Self { outcome, undo: Undo(command.map(|command| (command, notes.clone()))) }
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
        if let Some((command, notes)) = self.0.take() {
            // A coordinator that has stopped cannot undo; the lease's deadline will.
            let _ = notes.send(Note::Undo(command));
        }
    }
}

impl<J: Journal + 'static> Coordinator<J> {
    async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut noted: mpsc::UnboundedReceiver<Note>,
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
                Some(note) = noted.recv() => self.heed(note),
                received_now = requests.recv_many(&mut received, room), if room > 0 => {
                    if received_now == 0 {
                        break;
                    }
                    self.step_all(&mut received);
                }
                () = self.clock.sleep_until(wake_up), if !is_busy => {
                    self.step(Command::Tick, self.clock.now());
                }
                _ = &mut stopped, if !requests.is_closed() => requests.close(),
            }
            self.commit_if_due().await;
        }
        while let Ok(note) = noted.try_recv() {
            self.heed(note);
        }
        self.send_waiters_away(Unavailable::Stopping);
        self.finish().await;
    }

    fn step_all(&mut self, received: &mut Vec<Request>) {
        let now = self.clock.now();
        for Request { command, reply } in received.drain(..) {
            let waiter = match &command {
                // Its client has hung up already.
                Command::Acquire(_) if reply.is_closed() => continue,
                Command::Acquire(acquire) => acquire.patience.map(|patience| patience.waiter),
                _ => None,
            };
            match (self.step(command, now), waiter) {
                (Outcome::Acquired(Acquired::Queued(_)), Some(waiter)) if self.is_stopping => {
                    self.step(Command::Abandon(waiter), now);
                    let _ = reply.send(Err(Unavailable::Stopping));
                }
                (Outcome::Acquired(Acquired::Queued(_)), Some(waiter)) => {
                    self.waiting.insert(waiter, reply);
                }
                (outcome, _) => self.stepped.push((reply, outcome)),
            }
        }
    }

    /// Steps the ledger. Those whose wait is over are answered with this step's batch.
    fn step(&mut self, command: Command, now: Timestamp) -> Outcome {
        let step = self.ledger.step(command, now);
        for Called { waiter, outcome } in step.called {
            // Who is not there any more has left the line, and is not called.
            if let Some(reply) = self.waiting.remove(&waiter) {
                self.stepped.push((reply, Outcome::Acquired(outcome)));
            }
        }
        step.outcome
    }

    fn heed(&mut self, note: Note) {
        match note {
            Note::Undo(command) => {
                self.step(command, self.clock.now());
            }
            Note::Abandon(waiter) => {
                self.waiting.remove(&waiter);
                self.step(Command::Abandon(waiter), self.clock.now());
            }
            Note::SendWaitersAway => {
                self.is_stopping = true;
                self.send_waiters_away(Unavailable::Stopping);
            }
        }
    }

    fn send_waiters_away(&mut self, why: Unavailable) {
        for (waiter, reply) in std::mem::take(&mut self.waiting) {
            self.ledger.step(Command::Abandon(waiter), self.clock.now());
            let _ = reply.send(Err(why));
        }
    }

    /// When something happens in the ledger by itself, or when the journal has to hear that we
    /// are alive: as long as there is any lease whose deadline a downtime would move.
    fn next_wake_up(&self) -> Option<Timestamp> {
        let heartbeat = self.ledger.next_deadline().map(|_| self.committed_at + HEARTBEAT);
        heartbeat.into_iter().chain(self.ledger.next_wake_up()).min()
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
            Self::reply(&mut self.stepped, &self.notes);
            return;
        }
        self.committed_at = changes.at;
        std::mem::swap(&mut self.stepped, &mut self.committing);
        self.writer.commit(changes);
        if !self.writer.is_busy() {
            self.committed(false).await;
        }
    }

    async fn committed(&mut self, is_durable: bool) {
        if is_durable {
            Self::reply(&mut self.committing, &self.notes);
            return;
        }
        let unanswered = self.committing.drain(..).chain(self.stepped.drain(..));
        for (reply, _) in unanswered {
            let _ = reply.send(Err(Unavailable::Journal));
        }
        // Their places were in the ledger that is forgotten now.
        for (_, reply) in self.waiting.drain() {
            let _ = reply.send(Err(Unavailable::Journal));
        }
        self.reload().await;
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
    fn reply(answered: &mut Vec<(Reply, Outcome)>, notes: &mpsc::UnboundedSender<Note>) {
        for (reply, outcome) in answered.drain(..) {
            let _ = reply.send(Ok(Answer::new(outcome, notes)));
        }
    }

    /// The last commit says up to when we were there to renew with.
    async fn finish(mut self) {
        while self.writer.is_busy() {
            let is_durable = self.writer.done().await.is_ok();
            self.committed(is_durable).await;
            self.commit_if_due().await;
        }
        self.ledger.step(Command::Tick, self.clock.now());
        self.writer.commit(self.ledger.take_changes());
        if self.writer.done().await.is_err() {
            tracing::error!("the last changes could not be made durable");
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
