//! Why records cannot be read or written.

use std::error::Error;

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
