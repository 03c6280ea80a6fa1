//! Makes the changes of a ledger durable, and gives the ledger back after a restart.
//!
//! A [`Journal`] knows rows, not rules: what a change means is the engine's business. One
//! conformance suite (`tests/conformance.rs`) holds every implementation to the same
//! promises.

mod faulty;
mod memory;
mod sqlite;

use leasehold_engine::{Changes, Snapshot};

pub use faulty::FaultyJournal;
pub use memory::MemoryJournal;
pub use sqlite::{Loss, OpenError, Replaced, SqliteJournal};

/// Where a ledger's changes are kept.
pub trait Journal: Send {
    /// Everything that is durable. Empty for a new journal.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or what is there cannot be understood.
    fn load(&mut self) -> Result<Snapshot, LoadError>;

    /// Makes changes durable: all of them, or none if it fails. When this returns `Ok` they
    /// survive the loss of power.
    ///
    /// # Errors
    ///
    /// If they could not be made durable. The journal stays usable: it may be loaded again,
    /// and a later commit may succeed.
    fn commit(&mut self, changes: &Changes) -> Result<(), CommitError>;
}

/// Why a journal could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// There is no room left: to read needs some as well.
    #[error("the journal's disk is full")]
    Full,
    /// The storage failed.
    #[error("the journal could not be read")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row does not say what a row of its table says.
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
    /// There is no room left.
    #[error("the journal's disk is full")]
    Full,
    /// The journal's files are not those that were opened.
    #[error(transparent)]
    Replaced(#[from] Replaced),
    /// The storage failed.
    #[error("the journal could not be written")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}
