//! Why records cannot be opened, read or written.

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

/// Why records could not be read or written. Nothing of the book is durable then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// The disk is full.
    #[error("the records' disk is full")]
    Full,
    /// The disk has no more room than what is left for the journal.
    #[error("the disk has no room for records: {reserve} bytes of it are left for the journal")]
    Reserved {
        /// How many bytes are left for the journal.
        reserve: u64,
    },
    /// The storage failed.
    #[error("the records could not be read or written")]
    Storage(#[source] rusqlite::Error),
    /// A document does not say what a document says.
    #[error("a document in the records is damaged")]
    Damaged(#[from] serde_json::Error),
}

impl From<rusqlite::Error> for RecordsError {
    fn from(error: rusqlite::Error) -> Self {
        if leasehold_sqlite::is_full(&error) { Self::Full } else { Self::Storage(error) }
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
