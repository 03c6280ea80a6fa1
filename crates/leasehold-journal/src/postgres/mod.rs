//! A journal in PostgreSQL, or in a database that speaks like it: one schema, which one node at a
//! time owns.
//!
//! The thread of the ledger encodes changes; a thread of the journal's own has the connection. So
//! ownership is renewed while the ledger has nothing to do, and no async runtime of a caller is
//! entered. All statements of a commit are sent at once (`tokio-postgres` does that; the blocking
//! client on top of it cannot), and none is prepared by name, so that a pooler may stand between.

mod connection;
mod error;
mod load;
mod owner;
mod ownership;
mod schema;
mod settings;
mod statements;
mod tenure;
mod text;
mod tls;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc as blocking;
use std::thread;
use std::time::Duration;

use leasehold_engine::{Changes, Snapshot};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::rows::LedgerRow;
use crate::{CommitError, Journal, LoadError};
pub use error::PostgresError;
use owner::{Batch, Owner};
pub use ownership::Node;
pub use settings::{PostgresSettings, SettingsError};
pub use tenure::Tenure;
pub use tls::TlsError;

/// How long giving the ledger up may take.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// A journal in the schema `leasehold` of a database.
#[derive(Debug)]
pub struct PostgresJournal {
    /// `None` once it closes.
    jobs: Option<mpsc::UnboundedSender<Job>>,
    deposed: watch::Receiver<bool>,
    tenure: Tenure,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the journal's thread does, and who waits for it.
enum Job {
    Load(blocking::Sender<Result<Snapshot, PostgresError>>),
    Commit(Batch, blocking::Sender<Result<(), PostgresError>>),
}

impl PostgresJournal {
    /// Connects to the database, creates the schema if it is missing, takes the ledger, and brings
    /// an older schema up to date without losing a lease.
    ///
    /// # Errors
    ///
    /// See [`PostgresError`]: [`Owned`](PostgresError::Owned) if another node owns the ledger.
    pub fn open(settings: PostgresSettings, node: Node) -> Result<Self, PostgresError> {
        Self::open_by(node.renews_every(), Owner::open(settings, node))
    }

    /// As [`open`](Self::open), and waits until the ledger has no other owner, or until `gives_up`
    /// is set.
    ///
    /// # Errors
    ///
    /// See [`PostgresError`].
    pub fn open_later(
        settings: PostgresSettings,
        node: Node,
        gives_up: Arc<AtomicBool>,
    ) -> Result<Self, PostgresError> {
        let renews_every = node.renews_every();
        let opening = async move { Owner::open_later(settings, node, &gives_up).await };
        Self::open_by(renews_every, opening)
    }

    fn open_by(
        renews_every: Duration,
        open: impl Future<Output = Result<Owner, PostgresError>> + Send + 'static,
    ) -> Result<Self, PostgresError> {
        let failed = |error: std::io::Error| PostgresError::Thread(error.to_string());
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (jobs, todo) = mpsc::unbounded_channel();
        let (opened, opening) = blocking::channel();
        let (depose, deposed) = watch::channel(false);
        let work = async move {
            match open.await {
                Ok(owner) => {
                    let _ = opened.send(Ok(owner.tenure()));
                    work(owner, todo, depose, renews_every).await;
                }
                Err(error) => drop(opened.send(Err(error))),
            }
        };
        let thread = thread::Builder::new()
            .name("journal".into())
            .spawn(move || runtime.block_on(work))
            .map_err(failed)?;
        let tenure = opening.recv().unwrap_or_else(|_| Err(ended()))?;
        Ok(Self { jobs: Some(jobs), deposed, tenure, thread: Some(thread) })
    }

    /// Turns true when another node has taken the ledger over: this one can no longer write.
    pub fn deposed(&self) -> watch::Receiver<bool> {
        self.deposed.clone()
    }

    /// For how long this node owns the ledger. Afterwards another one may, so this one must answer
    /// nothing from what it knows.
    pub fn tenure(&self) -> Tenure {
        self.tenure.clone()
    }

    /// Lets the thread do something, and waits for it.
    fn ask<T>(
        &self,
        job: impl FnOnce(blocking::Sender<Result<T, PostgresError>>) -> Job,
    ) -> Result<T, PostgresError> {
        let (reply, answer) = blocking::channel();
        let jobs = self.jobs.as_ref().ok_or_else(ended)?;
        jobs.send(job(reply)).map_err(|_| ended())?;
        answer.recv().unwrap_or_else(|_| Err(ended()))
    }
}

fn ended() -> PostgresError {
    PostgresError::Thread("it has ended".to_owned())
}

/// The thread's work: until the journal is dropped, jobs as they come, and renewals in between.
async fn work(
    mut owner: Owner,
    mut todo: mpsc::UnboundedReceiver<Job>,
    depose: watch::Sender<bool>,
    renews_every: Duration,
) {
    loop {
        match timeout(renews_every, todo.recv()).await {
            Err(_) => owner.renew().await,
            Ok(None) => break,
            // Who waited may have gone.
            Ok(Some(Job::Load(reply))) => drop(reply.send(owner.load().await)),
            Ok(Some(Job::Commit(batch, reply))) => drop(reply.send(owner.commit(&batch).await)),
        }
        if owner.is_deposed() {
            depose.send_replace(true);
        }
    }
    owner.release(RELEASE_TIMEOUT).await;
}

impl Journal for PostgresJournal {
    fn load(&mut self) -> Result<Snapshot, LoadError> {
        Ok(self.ask(Job::Load)?)
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), CommitError> {
        let batch = Batch {
            ledger: LedgerRow::after(changes, 0),
            resumed: changes.resumed,
            rows: statements::of_changes(changes),
        };
        Ok(self.ask(|reply| Job::Commit(batch, reply))?)
    }
}

impl From<PostgresError> for LoadError {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Full => Self::Full,
            PostgresError::Damaged { table, reason } => Self::Damaged { table, reason },
            error => Self::Storage(Box::new(error)),
        }
    }
}

impl From<PostgresError> for CommitError {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Full => Self::Full,
            error => Self::Storage(Box::new(error)),
        }
    }
}

impl Drop for PostgresJournal {
    /// Gives the ledger up.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that has panicked gives nothing up.
            let _ = thread.join();
        }
    }
}
