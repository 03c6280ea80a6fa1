//! The embedded journal: one SQLite file in WAL mode, synchronised at every commit.
//!
//! One writer owns the connection. Group commit happens above: whatever arrived while one
//! commit ran is in the next [`Changes`], so a busy server pays one `fsync` for hundreds of
//! requests and an idle one answers within one.

mod rows;
mod schema;

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use leasehold_engine::{Changes, Snapshot};
use leasehold_sqlite::Unusable;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::{CommitError, Journal, LoadError};
use schema::SCHEMA;

/// A journal in a directory of its own.
#[derive(Debug)]
pub struct SqliteJournal {
    connection: Connection,
    /// Held for as long as the journal is open: a second server must not write beside us.
    _lock: File,
}

/// Why a journal could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory or a file in it cannot be made or written.
    #[error("the data directory {} cannot be written", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process has it open.
    #[error("another server is running on the data directory {}", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// A newer version of this program wrote it.
    #[error(
        "the journal {} has schema version {found}, and this program knows versions up to {known}",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Our version.
        known: i64,
    },
    /// It is a database, but no journal.
    #[error("the file {} is a database of another program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is no database, or it is damaged.
    #[error("the journal {} cannot be opened", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

impl SqliteJournal {
    /// The name of the journal's file in its directory.
    pub const FILE: &str = "leasehold.db";
    const LOCK: &str = "leasehold.lock";

    /// Opens the journal in `directory`, making both if they are not there, and brings an
    /// older schema up to date without losing a lease.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]; nothing is changed then.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let unwritable = |source| OpenError::Directory { path: directory.to_owned(), source };
        leasehold_sqlite::make_directory(directory).map_err(unwritable)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(leasehold_sqlite::FILE_MODE)
            .open(directory.join(Self::LOCK))
            .map_err(unwritable)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::Locked { path: directory.to_owned() },
            TryLockError::Error(source) => unwritable(source),
        })?;
        let path = directory.join(Self::FILE);
        let prepared =
            leasehold_sqlite::open(&path).map_err(Unusable::from).and_then(|mut connection| {
                SCHEMA.prepare(&mut connection)?;
                Ok(connection)
            });
        match prepared {
            Ok(connection) => Ok(Self { connection, _lock: lock }),
            Err(Unusable::Foreign) => Err(OpenError::Foreign { path }),
            Err(Unusable::Newer { found, known }) => Err(OpenError::Newer { path, found, known }),
            Err(Unusable::Storage(source)) if is_unwritable(&source) => {
                Err(unwritable(io::Error::other(source)))
            }
            Err(Unusable::Storage(source)) => Err(OpenError::Storage { path, source }),
        }
    }

    /// Lets the file grow to so many pages at the most; beyond, commits fail as they do on a
    /// full disk. `None` takes the bound away.
    ///
    /// # Errors
    ///
    /// If SQLite refuses.
    pub fn limit_pages(&self, pages: Option<u32>) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "max_page_count", pages.unwrap_or(u32::MAX - 1))
    }
}

/// Whether the disk or the permissions are to blame, and not what is in the file.
fn is_unwritable(error: &rusqlite::Error) -> bool {
    use ErrorCode::{CannotOpen, DiskFull, PermissionDenied, ReadOnly, SystemIoFailure};
    matches!(
        error.sqlite_error_code(),
        Some(CannotOpen | DiskFull | PermissionDenied | ReadOnly | SystemIoFailure)
    )
}

impl Journal for SqliteJournal {
    fn load(&mut self) -> Result<Snapshot, LoadError> {
        rows::load(&self.connection)
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), CommitError> {
        let mut write = || {
            // Dropped without a commit, the transaction rolls back.
            let transaction =
                self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            rows::write(&transaction, changes)?;
            transaction.commit()
        };
        write().map_err(|error: rusqlite::Error| match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => CommitError::Full,
            _ => CommitError::Storage(Box::new(error)),
        })
    }
}
