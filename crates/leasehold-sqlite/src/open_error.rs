//! Why a database could not be opened.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::is_full;

/// Why a database could not be opened. It is unchanged, unless its storage failed on the way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory or a file in it cannot be created or written.
    #[error("the data directory {} cannot be written", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another program, such as `sqlite3`, has it open and writes to it for longer than we wait.
    #[error("another program writes to the database {}", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this program wrote it.
    #[error(
        "the database {} has schema version {found}, and this program knows versions up to {known}",
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
    /// It is a database of another kind.
    #[error("the file {} is a database of another program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is no database, or it is damaged.
    #[error("the database {} cannot be opened", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// Classifies an error of SQLite about the database at `path`.
    pub fn new(error: rusqlite::Error, path: &Path) -> Self {
        use ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, PermissionDenied, ReadOnly,
            SystemIoFailure,
        };
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(DatabaseBusy | DatabaseLocked) => Self::Busy { path },
            Some(CannotOpen | DiskFull | PermissionDenied | ReadOnly | SystemIoFailure) => {
                let path = path.parent().unwrap_or(&path).to_owned();
                Self::Directory { path, source: io_error(error) }
            }
            _ => Self::Storage { path, source: error },
        }
    }
}

/// Turns SQLite's errors for a full disk into [`io::ErrorKind::StorageFull`].
fn io_error(error: rusqlite::Error) -> io::Error {
    if is_full(&error) {
        return io::Error::new(io::ErrorKind::StorageFull, "the disk is full");
    }
    io::Error::other(error)
}
