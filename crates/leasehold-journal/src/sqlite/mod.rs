//! The embedded journal: one SQLite file in WAL mode, synchronised at every commit.
//!
//! One writer owns the connection. Group commit happens above: all requests that arrived during one
//! commit are in the next [`Changes`], so a busy server pays one `fsync` for hundreds of requests
//! and an idle one answers within one.

mod acknowledged;
mod backup;
mod files;
mod rows;
mod schema;
mod statements;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use leasehold_engine::{Changes, Snapshot};
use leasehold_sqlite::is_full;
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use crate::{CommitError, Journal, LoadError};
use acknowledged::Acknowledged;
pub use backup::{BackedUp, BackupError, Existing, Restored};
pub use files::Replaced;
use files::{Files, Held, HoldError};
use schema::SCHEMA;

/// A journal in a directory of its own.
#[derive(Debug)]
pub struct SqliteJournal {
    // Closed before the files: closing any descriptor of the database ends the locks that SQLite
    // has on it.
    connection: Connection,
    /// Held for as long as the journal is open: no second server may write to the same database, by
    /// this path or by another one.
    files: Files,
    acknowledged: Acknowledged,
    /// How many commits are durable.
    commits: u64,
    /// How many were missing when it was opened.
    missing: u64,
}

/// What to do about a journal that holds less than was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// It is not opened.
    #[default]
    Refuse,
    /// It is opened as it is, by an operator's decision.
    Accept,
}

/// Why a journal could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its database cannot be opened.
    #[error(transparent)]
    Database(#[from] leasehold_sqlite::OpenError),
    /// Another process has it open.
    #[error("another server is running on the data directory {}", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// It holds less than was acknowledged: its write-ahead log is damaged or gone, or an older
    /// copy stands in its place.
    #[error(
        "the journal {} holds {found} commits, and {acknowledged} were acknowledged: its write-ahead \
         log is damaged or gone, or an older copy stands in its place",
        path.display()
    )]
    Lost {
        /// The file.
        path: PathBuf,
        /// How many commits it holds.
        found: u64,
        /// How many were acknowledged.
        acknowledged: u64,
    },
    /// The file that says how much was acknowledged is damaged.
    #[error("the file {} does not say how many commits were acknowledged", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
    },
}

impl SqliteJournal {
    /// The name of the journal's file in its directory.
    pub const FILE: &str = "leasehold.db";
    const LOCK: &str = "leasehold.lock";
    const ACKNOWLEDGED: &str = "leasehold.acknowledged";

    /// Opens the journal in `directory`, creates both if they are missing, and brings an older
    /// schema up to date without losing a lease.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]; nothing is changed then.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        Self::open_with(directory, Loss::Refuse)
    }

    /// As [`open`](Self::open), with a decision about a journal that holds less than was
    /// acknowledged.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open_with(directory: &Path, loss: Loss) -> Result<Self, OpenError> {
        let hold = |path| match Held::open(path) {
            Ok(held) => Ok(held),
            Err(HoldError::Locked) => Err(OpenError::Locked { path: directory.to_owned() }),
            Err(HoldError::Io(source)) => Err(unwritable(directory, source)),
        };
        leasehold_sqlite::make_directory(directory)?;
        let path = directory.join(Self::FILE);
        let files = Files::new(hold(directory.join(Self::LOCK))?, hold(path.clone())?);
        let mut connection = leasehold_sqlite::open(&path)?;
        let compare = |commits| Self::compare(directory, commits, loss);
        let mut prepare = || -> Result<_, OpenError> {
            // Before the first write: an operator may still find what is missing. A database
            // without a number is new, or of an older version, or no journal.
            let before = rows::commits(&connection).ok().map(compare).transpose()?;
            SCHEMA.prepare(&mut connection)?;
            let commits = rows::commits(&connection)
                .map_err(|error| leasehold_sqlite::OpenError::new(error, &path))?;
            Ok((commits, before.map_or_else(|| compare(commits), Ok)?))
        };
        let prepared = prepare();
        if prepared.is_err() {
            // A close with a checkpoint would move the readable part of the write-ahead log into
            // the database, and delete the log.
            let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
        let (commits, (acknowledged, missing)) = prepared?;
        Ok(Self { connection, files, acknowledged, commits, missing })
    }

    /// Compares the durable commits with the acknowledged ones. More may be durable: the process
    /// can end before it answers. Returns how many are missing.
    fn compare(
        directory: &Path,
        commits: u64,
        loss: Loss,
    ) -> Result<(Acknowledged, u64), OpenError> {
        let path = directory.join(Self::ACKNOWLEDGED);
        let io = |source| unwritable(directory, source);
        let (mut acknowledged, before) = match Acknowledged::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                if loss == Loss::Refuse {
                    return Err(OpenError::Unknown { path });
                }
                fs::remove_file(&path).map_err(io)?;
                Acknowledged::open(&path).map_err(io)?
            }
            opened => opened.map_err(io)?,
        };
        let missing = before.unwrap_or(0).saturating_sub(commits);
        if missing > 0 && loss == Loss::Refuse {
            let path = directory.join(Self::FILE);
            return Err(OpenError::Lost { path, found: commits, acknowledged: commits + missing });
        }
        acknowledged.set(commits).map_err(io)?;
        Ok((acknowledged, missing))
    }

    /// Writes changes in a transaction. Its statements are prepared once, unlike rusqlite's own.
    fn write(&self, changes: &Changes, commit: u64) -> rusqlite::Result<()> {
        let run = |sql| self.connection.prepare_cached(sql)?.execute([]);
        run("BEGIN IMMEDIATE")?;
        let written = rows::write(&self.connection, changes, commit).and_then(|()| run("COMMIT"));
        if written.is_err() && !self.connection.is_autocommit() {
            // The error that is returned says why.
            let _ = run("ROLLBACK");
        }
        written.map(drop)
    }

    /// How many acknowledged commits were missing when it was opened: 0 except with
    /// [`Loss::Accept`].
    pub fn commits_missing(&self) -> u64 {
        self.missing
    }

    /// Bounds the number of pages of the database; beyond, commits fail as they do on a full disk.
    /// `None` removes the bound.
    ///
    /// # Errors
    ///
    /// If SQLite refuses.
    pub fn limit_pages(&self, pages: Option<u32>) -> rusqlite::Result<()> {
        self.connection.pragma_update(None, "max_page_count", pages.unwrap_or(u32::MAX - 1))
    }
}

fn unwritable(directory: &Path, source: io::Error) -> OpenError {
    leasehold_sqlite::OpenError::Directory { path: directory.to_owned(), source }.into()
}

impl LoadError {
    fn storage(error: rusqlite::Error) -> Self {
        if is_full(&error) { Self::Full } else { Self::Storage(Box::new(error)) }
    }
}

impl Journal for SqliteJournal {
    fn load(&mut self) -> Result<Snapshot, LoadError> {
        self.commits = rows::commits(&self.connection).map_err(LoadError::storage)?;
        rows::load(&self.connection)
    }

    fn commit(&mut self, changes: &Changes) -> Result<(), CommitError> {
        self.files.check()?;
        let commit = self.commits + 1;
        self.write(changes, commit).map_err(|error| {
            if is_full(&error) { CommitError::Full } else { CommitError::Storage(Box::new(error)) }
        })?;
        // A commit to files that were replaced meanwhile must not be acknowledged.
        self.files.check()?;
        self.commits = commit;
        self.acknowledged.set(self.commits).map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull => CommitError::Full,
            _ => CommitError::Storage(Box::new(error)),
        })
    }
}
