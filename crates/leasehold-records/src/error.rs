//! Why records cannot be opened, read or written.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use leasehold_sqlite::Unusable;

/// Why the records could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory cannot be made.
    #[error("the data directory {} cannot be written", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another program, such as `sqlite3`, has them open and writes to them.
    #[error("another program writes to the records {}", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this program wrote them.
    #[error(
        "the records {} have schema version {found}, and this program knows versions up to {known}",
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
    /// It is a database, but holds no records.
    #[error("the file {} is a database of another program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is no database, or it is damaged.
    #[error("the records {} cannot be opened", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

/// Why records could not be read or written. The transaction changes nothing then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// The disk is full.
    #[error("the records' disk is full")]
    Full,
    /// The disk has no more space than the reserve of the journal.
    #[error("the disk has no space for records: its last {reserve} bytes are the journal's")]
    Reserved {
        /// How many bytes are reserved for the journal.
        reserve: u64,
    },
    /// The storage failed.
    #[error("the records could not be read or written")]
    Storage(#[source] rusqlite::Error),
    /// A row does not hold what a row of its table holds.
    #[error("a row of the records is damaged")]
    Damaged(#[source] Box<dyn Error + Send + Sync>),
}

impl RecordsError {
    /// A row is damaged, for this reason.
    pub(crate) fn damaged(reason: String) -> Self {
        Self::Damaged(reason.into())
    }
}

impl From<serde_json::Error> for RecordsError {
    fn from(error: serde_json::Error) -> Self {
        Self::Damaged(error.into())
    }
}

impl From<rusqlite::Error> for RecordsError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::{
            FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error,
        };
        match error {
            FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | Utf8Error(..) => Self::Damaged(error.into()),
            error if leasehold_sqlite::is_full(&error) => Self::Full,
            error => Self::Storage(error),
        }
    }
}

impl OpenError {
    /// What is wrong with the records at `path`.
    pub(crate) fn new(error: Unusable, path: &Path) -> Self {
        let path = path.to_owned();
        match error {
            Unusable::Foreign => Self::Foreign { path },
            Unusable::Newer { found, known } => Self::Newer { path, found, known },
            Unusable::Busy => Self::Busy { path },
            Unusable::Storage(source) if leasehold_sqlite::is_unwritable(&source) => {
                let path = path.parent().unwrap_or(&path).to_owned();
                Self::Directory { path, source: leasehold_sqlite::io_error(source) }
            }
            Unusable::Storage(source) => Self::Storage { path, source },
        }
    }
}
