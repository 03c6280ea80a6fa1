//! From a journal to a coordinator that runs, and how it is stopped.

use std::io;
use std::thread;

use leasehold_engine::{Ledger, Snapshot, Span};
use leasehold_journal::{Journal, LoadError};
use rustc_hash::FxHashMap;
use tokio::sync::broadcast;

use super::Coordinator;
use super::handle::Handle;
use super::inbox::{self, Inbox, Outbox};
use super::most::Most;
use crate::clock::Clock;
use crate::notices::Notices;

/// How many batches a listener may be behind.
const TOLD_MAX: usize = 1_024;
/// By how much a journal has to be ahead of the clock for a word about it.
const AHEAD_MIN: Span = Span::from_seconds(5);

/// A coordinator that runs, until this is stopped or dropped.
#[derive(Debug)]
pub struct Running {
    outbox: Outbox,
    thread: Option<thread::JoinHandle<()>>,
}

/// A journal that was read, and what was durable in it.
#[derive(Debug)]
pub struct Loaded<J> {
    journal: J,
    snapshot: Snapshot,
}

/// A coordinator that can be reached, and was not started.
#[expect(missing_debug_implementations, reason = "its parts have none")]
pub struct Ready<J> {
    pub(super) coordinator: Coordinator<J>,
    inbox: Inbox,
}

/// Reads a journal.
///
/// # Errors
///
/// If the journal cannot be loaded.
pub fn load<J: Journal>(mut journal: J) -> Result<Loaded<J>, LoadError> {
    let snapshot = journal.load()?;
    Ok(Loaded { journal, snapshot })
}

impl<J: Journal + 'static> Loaded<J> {
    /// Everything that is durable, before anything else happens.
    pub fn durable(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Makes the coordinator ready. It can be reached and listened to, and does nothing yet.
    pub fn prepare(self, clock: Clock) -> (Handle, Ready<J>) {
        let Self { journal, snapshot } = self;
        let now = clock.now();
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
        let (outbox, inbox) = inbox::new();
        outbox.watch(&clock);
        let told = broadcast::Sender::new(TOLD_MAX);
        let coordinator = Coordinator {
            ledger,
            most: Most::default(),
            clock: clock.clone(),
            journal,
            outbox: outbox.clone(),
            waiting: FxHashMap::default(),
            stepped: Vec::new(),
            events: Vec::new(),
            told: told.clone(),
            notices: Notices::default(),
            committed_at,
            looked_at: now,
            looks_by: now,
            paused_until: None,
            is_failing: false,
            is_lost: false,
            is_stopping: false,
            is_stopped: false,
        };
        (Handle::new(outbox, clock, told), Ready { coordinator, inbox })
    }
}

impl<J: Journal + 'static> Ready<J> {
    /// Starts it. Whoever listened before misses nothing of what happens.
    ///
    /// # Errors
    ///
    /// If it can have no thread.
    pub fn start(self) -> io::Result<Running> {
        let Self { coordinator, inbox } = self;
        let outbox = coordinator.outbox.clone();
        let thread = thread::Builder::new()
            .name("coordinator".into())
            .spawn(move || coordinator.run(inbox))?;
        Ok(Running { outbox, thread: Some(thread) })
    }
}

/// Starts the coordinator on a journal as it is.
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

impl Running {
    /// Stops it after everything that it was sent is answered, and closes the journal.
    pub async fn stop(mut self) {
        self.outbox.stop();
        let Some(thread) = self.thread.take() else { return };
        let ended = tokio::task::spawn_blocking(|| thread.join()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::error!("the coordinator has panicked");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.outbox.stop();
    }
}
