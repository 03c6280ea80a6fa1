//! Why a place could not be read or written, with what to do about it.

use std::io;
use std::path::PathBuf;

/// Why a place could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is not there.
    #[error("there is no database {}; check the path, which Prefect has in PREFECT_HOME", path.display())]
    NoDatabase {
        /// The file.
        path: PathBuf,
    },
    /// The database changed while it was read.
    #[error(
        "the database {} changes while it is read: stop its server, or read from the server with \
         --from http://…/api",
        path.display()
    )]
    Changing {
        /// The file.
        path: PathBuf,
    },
    /// Another program has the database open and locked.
    #[error("the database {place} is locked by another program: stop the server that uses it")]
    Locked {
        /// The database.
        place: String,
    },
    /// SQLite or PostgreSQL refuses a statement.
    #[error("the database {place} refuses to be read or written: {reason}")]
    Database {
        /// The database.
        place: String,
        /// Why.
        reason: String,
    },
    /// A database server cannot be reached.
    #[error("{place} cannot be reached: {reason}; check host and port, and that it runs")]
    Unreachable {
        /// The address.
        place: String,
        /// Why.
        reason: String,
    },
    /// The user or the password is refused.
    #[error("{place} refuses the login: {reason}; check user and password")]
    Login {
        /// The address.
        place: String,
        /// Why.
        reason: String,
    },
    /// The database is none of Prefect's.
    #[error("{place} is no database of a Prefect server: it has no {missing}")]
    Foreign {
        /// The database.
        place: String,
        /// The table that is missing.
        missing: &'static str,
    },
    /// The database has a revision that is not known.
    #[error(
        "{place} has the revision {revision}, which is newer than those that this version knows (up \
         to Prefect 3.9.1); use a newer Leasehold, or go on with --force"
    )]
    Newer {
        /// The database.
        place: String,
        /// Its revision.
        revision: String,
    },
    /// A row, file or answer holds something else than Prefect writes.
    #[error("{place}: {what} is damaged: {reason}")]
    Damaged {
        /// Where.
        place: String,
        /// What.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A server answers something else than Prefect's API.
    #[error(
        "{place} does not answer as a Prefect server: {reason}; the address ends in /api mostly"
    )]
    NoPrefect {
        /// The address.
        place: String,
        /// What it answered.
        reason: String,
    },
    /// A server refuses a request.
    #[error("{place} refuses {what}: {reason}")]
    Refused {
        /// The address.
        place: String,
        /// The request.
        what: String,
        /// Its answer.
        reason: String,
    },
    /// A file or a directory cannot be read or written.
    #[error("{} cannot be {done}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried: `read` or `written`.
        done: &'static str,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn io(
        path: impl Into<PathBuf>,
        done: &'static str,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, done, source }
    }
}

/// An error with its causes, as one sentence.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text.replace('\n', " ")
}
