//! The thread that makes changes durable: a commit blocks on the disk, and nothing else may.

use std::sync::mpsc as blocking;
use std::thread;

use leasehold_engine::{Changes, Snapshot};
use leasehold_journal::{CommitError, Journal, LoadError};
use tokio::sync::mpsc;

use crate::coordinator::chain;

/// A journal on a thread of its own, with at most one commit under way.
pub(crate) struct Writer<J> {
    work: blocking::Sender<Work>,
    done: mpsc::UnboundedReceiver<Done>,
    is_busy: bool,
    thread: Option<thread::JoinHandle<J>>,
}

enum Work {
    Commit(Changes),
    Load,
}

enum Done {
    Committed(Result<(), CommitError>),
    Loaded(Result<Snapshot, LoadError>),
}

/// The changes are not durable.
#[derive(Debug)]
pub(crate) struct NotDurable;

impl<J: Journal + 'static> Writer<J> {
    pub(crate) fn start(mut journal: J) -> Self {
        let (work, todo) = blocking::channel();
        let (finished, done) = mpsc::unbounded_channel();
        let thread = thread::spawn(move || {
            for work in todo {
                let result = match work {
                    Work::Commit(changes) => Done::Committed(journal.commit(&changes)),
                    Work::Load => Done::Loaded(journal.load()),
                };
                if finished.send(result).is_err() {
                    break;
                }
            }
            journal
        });
        Self { work, done, is_busy: false, thread: Some(thread) }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Begins to make changes durable. Nothing else may be under way.
    pub(crate) fn commit(&mut self, changes: Changes) {
        debug_assert!(!self.is_busy, "one commit at a time");
        self.is_busy = self.work.send(Work::Commit(changes)).is_ok();
    }

    /// Waits for what [`commit`](Self::commit) began. May be dropped and called again.
    pub(crate) async fn done(&mut self) -> Result<(), NotDurable> {
        let done = self.done.recv().await;
        self.is_busy = false;
        match done {
            Some(Done::Committed(Ok(()))) => Ok(()),
            Some(Done::Committed(Err(error))) => {
                tracing::error!(error = %chain(&error), "changes could not be made durable");
                Err(NotDurable)
            }
            Some(Done::Loaded(_)) | None => Err(NotDurable),
        }
    }

    /// Reads the journal. Nothing else may be under way.
    pub(crate) async fn load(&mut self) -> Result<Snapshot, LoadError> {
        let gone = || LoadError::Storage("the journal's thread has ended".into());
        self.work.send(Work::Load).map_err(|_| gone())?;
        match self.done.recv().await {
            Some(Done::Loaded(result)) => result,
            Some(Done::Committed(_)) | None => Err(gone()),
        }
    }

    /// Ends the thread and closes the journal.
    pub(crate) fn stop(self) {
        let Self { work, thread, .. } = self;
        drop(work);
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the journal's thread has panicked");
        }
    }
}
