//! The thread around the desk: it waits for messages, reads the clock, writes the journal, and
//! sends the answers.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use leasehold_engine::{Changes, Command, Snapshot, Timestamp};
use leasehold_journal::{Journal, LoadError};
use tokio::sync::broadcast;

use crate::clock::Clock;
use crate::desk::{Desk, Input};
use crate::figures::Figures;
use crate::handle::{Events, Handle};
use crate::mailbox::{self, Answer, Mailbox, Message, Reply};
use crate::notices::Notices;
use crate::stuck;

/// How many batches of events a subscriber may be behind.
const EVENTS_MAX: usize = 1_024;

/// A running ledger, until this is stopped or dropped.
#[derive(Debug)]
pub struct Running {
    sender: mailbox::Sender,
    thread: Option<thread::JoinHandle<()>>,
}

/// A journal that was loaded, and what is durable in it.
#[derive(Debug)]
pub struct Loaded<J> {
    journal: J,
    snapshot: Snapshot,
}

/// A desk that accepts requests, and whose thread is not started yet.
#[expect(missing_debug_implementations, reason = "its parts have none")]
pub struct Ready<J> {
    worker: Worker<J>,
}

struct Worker<J> {
    desk: Desk<Reply>,
    journal: J,
    clock: Clock,
    mailbox: Mailbox,
    /// Goes with each answer: an answer that is dropped sends the undo of its grant here.
    sender: mailbox::Sender,
    events: broadcast::Sender<Events>,
    /// The warnings that are logged once.
    notices: Notices,
    figures: Arc<Figures>,
}

/// Loads a journal.
///
/// # Errors
///
/// If the journal cannot be loaded.
pub fn load<J: Journal>(mut journal: J) -> Result<Loaded<J>, LoadError> {
    let snapshot = journal.load()?;
    Ok(Loaded { journal, snapshot })
}

/// Loads a journal and starts its ledger.
///
/// # Errors
///
/// If the journal cannot be loaded.
pub fn start<J: Journal + 'static>(
    journal: J,
    clock: Clock,
) -> Result<(Handle, Running), LoadError> {
    let (handle, ready) = load(journal)?.prepare(clock);
    let running = ready.start().map_err(|error| LoadError::Storage(error.into()))?;
    Ok((handle, running))
}

impl<J: Journal + 'static> Loaded<J> {
    /// Everything that is durable, before the ledger starts.
    pub fn durable(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Opens the desk. The handle accepts requests and subscribers from now on, and nothing is
    /// stepped yet.
    pub fn prepare(self, clock: Clock) -> (Handle, Ready<J>) {
        let Self { journal, snapshot } = self;
        let desk = Desk::open(snapshot, clock.now());
        let (sender, mailbox) = mailbox::new();
        sender.watch(&clock);
        let events = broadcast::Sender::new(EVENTS_MAX);
        let figures = Arc::<Figures>::default();
        let handle = Handle::new(sender.clone(), clock.clone(), events.clone(), figures.clone());
        let notices = Notices::default();
        let worker = Worker { desk, journal, clock, mailbox, sender, events, notices, figures };
        (handle, Ready { worker })
    }
}

impl<J: Journal + 'static> Ready<J> {
    /// Starts the thread. A subscriber from before misses no event.
    ///
    /// # Errors
    ///
    /// If the thread cannot start.
    pub fn start(self) -> io::Result<Running> {
        let Self { worker } = self;
        let sender = worker.sender.clone();
        let thread = thread::Builder::new().name("ledger".into()).spawn(move || worker.run())?;
        Ok(Running { sender, thread: Some(thread) })
    }
}

impl Running {
    /// Stops the ledger after it has answered all earlier requests, and closes the journal.
    pub async fn stop(mut self) {
        self.sender.stop();
        let Some(thread) = self.thread.take() else { return };
        let ended = tokio::task::spawn_blocking(|| thread.join()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::error!("the ledger's thread has panicked");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.sender.stop();
    }
}

impl<J: Journal> Worker<J> {
    fn run(mut self) {
        while self.take_in().is_continue() {
            self.settle();
        }
        self.settle();
        // Requests that were sent after the last message are dropped. Undos of grants are not.
        while let Some(message) = self.mailbox.next_now() {
            if let Message::Input(input) = message
                && !matches!(input, Input::Request { .. })
            {
                self.input(input);
            }
        }
        let now = self.now();
        if let Some(changes) = self.desk.close(now) {
            self.commit(&changes);
        }
        self.deliver();
    }

    /// Waits for a message, and takes in the others that are there: a commit costs the same for one
    /// request as for a hundred. It does not wait for more. Messages that arrive during a commit go
    /// into the next one: the busier the server, the more of them share a commit. Breaks at the
    /// last message.
    fn take_in(&mut self) -> ControlFlow<()> {
        let due = self.desk.next_wake_up();
        let mut next = self.mailbox.next(&self.clock, due);
        if next.is_none() {
            let now = self.now();
            self.desk.wake(now);
            next = self.mailbox.next_now();
        }
        let mut left = Desk::<Reply>::BATCH_MAX;
        while let Some(message) = next {
            match message {
                Message::Input(input) => self.input(input),
                Message::ClockMoved => {}
                Message::Stop => return ControlFlow::Break(()),
            }
            left -= 1;
            next = if left > 0 { self.mailbox.next_now() } else { None };
        }
        ControlFlow::Continue(())
    }

    fn input(&mut self, input: Input<Reply>) {
        // Its client has hung up already.
        if let Input::Request { command: Command::Acquire(_), reply } = &input
            && reply.is_closed()
        {
            return;
        }
        let now = self.now();
        self.desk.input(input, now);
    }

    /// Makes durable what was stepped, and sends the answers.
    fn settle(&mut self) {
        if let Some(changes) = self.desk.commit() {
            self.commit(&changes);
        }
        // Before the journal is loaded again, which may take long.
        self.deliver();
        if self.desk.load_at().is_some_and(|at| at <= self.clock.now()) {
            let began = self.clock.now();
            let loaded = self.journal.load();
            let now = self.clock.now();
            match loaded {
                Ok(snapshot) => self.desk.loaded(snapshot, now.since(began), now),
                Err(error) => self.desk.load_failed(&error, now),
            }
        }
        self.deliver();
    }

    fn commit(&mut self, changes: &Changes) {
        let began = self.clock.now();
        let result = self.journal.commit(changes);
        let now = self.now();
        match result {
            Ok(()) => {
                self.figures.commit_micros.record(now.since(began).as_micros());
                self.figures.commit_rows.record(rows(changes));
                self.desk.committed(now);
            }
            Err(error) => {
                self.figures.failed_commits.fetch_add(1, Ordering::Relaxed);
                self.desk.failed(&error, now);
            }
        }
    }

    /// Sends answers and events. The answer to a client that has hung up is dropped, which undoes
    /// its grant. Without a subscriber, events are dropped.
    fn deliver(&mut self) {
        for (reply, outcome) in self.desk.answers() {
            let _ = reply.send(outcome.map(|outcome| Answer::new(outcome, &self.sender)));
        }
        let events = self.desk.events();
        if events.len() > 0 {
            let events: Events = events.collect();
            events.iter().for_each(|event| stuck::warn(&self.notices, event));
            let _ = self.events.send(events);
        }
    }

    fn now(&mut self) -> Timestamp {
        let now = self.clock.now();
        if !self.clock.shows_standstills() {
            self.desk.passed_evenly_until(now);
        }
        now
    }
}

/// How many rows these changes write or delete.
fn rows(changes: &Changes) -> u64 {
    let limits = changes.limits.len() + changes.deleted_limits.len();
    let leases = changes.leases.len() + changes.ended.len();
    (limits + leases + changes.endings.len() + changes.forgotten.len()) as u64
}
