//! Makes the changes of a ledger durable, and loads them after a restart.
//!
//! A [`Journal`] stores rows and knows no rules: those are the engine's. Every implementation
//! passes one conformance suite (`tests/conformance.rs`).

mod copy;
mod faulty;
mod memory;
mod postgres;
mod rows;
mod sqlite;

use leasehold_engine::{Changes, Snapshot};

pub use copy::{Copied, CopyError, copy};
pub use faulty::FaultyJournal;
pub use leasehold_sqlite::OpenError as DatabaseError;
pub use memory::MemoryJournal;
pub use postgres::{
    Node, PostgresError, PostgresJournal, PostgresSettings, SettingsError, Tenure, TlsError,
};
pub use sqlite::{
    BackedUp, BackupError, Existing, Loss, OpenError, Replaced, Restored, SqliteJournal,
};

/// Stores the changes of a ledger.
pub trait Journal: Send {
    /// The durable state. Empty for a new journal.
    ///
    /// # Errors
    ///
    /// If the storage cannot be read, or a row is damaged.
    fn load(&mut self) -> Result<Snapshot, LoadError>;

    /// Makes changes durable: all of them, or none if it fails. After `Ok` they survive a loss of
    /// power.
    ///
    /// # Errors
    ///
    /// If they could not be made durable. The journal stays usable: it can be loaded again, and a
    /// later commit may succeed.
    fn commit(&mut self, changes: &Changes) -> Result<(), CommitError>;
}

impl<J: Journal + ?Sized> Journal for Box<J> {
    fn load(&mut self) -> Result<Snapshot, LoadError> {
        (**self).load()
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), CommitError> {
        (**self).commit(changes)
    }
}

/// Why a journal could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The disk is full. Reading needs space, too.
    #[error("the journal's disk is full")]
    Full,
    /// The storage failed.
    #[error("the journal could not be read")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row has values that no row of its table has.
    #[error("a row of table {table} in the journal is damaged: {reason}")]
    Damaged {
        /// Which table.
        table: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why changes could not be made durable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The disk is full.
    #[error("the journal's disk is full")]
    Full,
    /// The journal's files were replaced while it was open.
    #[error(transparent)]
    Replaced(#[from] Replaced),
    /// The storage failed.
    #[error("the journal could not be written")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}
