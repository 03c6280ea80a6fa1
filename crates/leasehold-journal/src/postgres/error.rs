//! What goes wrong between a node and its PostgreSQL, in words that say what to do.

use std::error::Error as _;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::settings::SettingsError;

/// Why a PostgreSQL is not used as a journal, or not now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// Its address, password or certificates are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No connection.
    #[error("the PostgreSQL at {place} cannot be reached: {reason}")]
    Unreachable {
        /// Where it should be.
        place: String,
        /// Why.
        reason: String,
    },
    /// It refused the user, its password or its certificate.
    #[error("the PostgreSQL at {place} refused the login: {reason}")]
    Login {
        /// Where it is.
        place: String,
        /// Why.
        reason: String,
    },
    /// It is a standby, is recovering, or is set to be read-only.
    #[error("the PostgreSQL accepts no writes: it is a standby, recovers, or is read-only")]
    ReadOnly,
    /// Something is set that would lose what is acknowledged.
    #[error("the PostgreSQL has {setting} = {value}, which must be {expected}")]
    Setting {
        /// The parameter.
        setting: &'static str,
        /// Its value.
        value: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// A newer version of this program wrote it.
    #[error(
        "the schema leasehold in the database has version {found}, and this program knows versions \
         up to {known}"
    )]
    Newer {
        /// Its version.
        found: i64,
        /// The newest one that this program knows.
        known: i64,
    },
    /// Another node owns the ledger.
    #[error("the node {owner} owns the ledger in the database, under epoch {epoch}")]
    Owned {
        /// Its name.
        owner: String,
        /// Its epoch.
        epoch: i64,
    },
    /// The node stops before it owned the ledger.
    #[error("this node stopped waiting for the ledger")]
    GivenUp,
    /// Another node has taken the ledger over: this one can no longer write.
    #[error(
        "this node owned the ledger under epoch {epoch}, and the node {owner} has taken it over"
    )]
    Deposed {
        /// This node's epoch.
        epoch: i64,
        /// The name of the other one.
        owner: String,
    },
    /// It holds less than was acknowledged: an older copy was restored, or a standby was promoted
    /// that did not have everything.
    #[error(
        "the database holds {found} commits, and {acknowledged} were acknowledged: an older copy \
         was restored, or a standby was promoted that lacked the last commits"
    )]
    Lost {
        /// How many it holds.
        found: u64,
        /// How many were acknowledged.
        acknowledged: u64,
    },
    /// The disk of the server is full.
    #[error("the disk of the PostgreSQL is full")]
    Full,
    /// No answer in time.
    #[error("the PostgreSQL did not answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// A row has values that no row of its table has.
    #[error("a row of table {table} in the database is damaged: {reason}")]
    Damaged {
        /// Which table.
        table: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// What the server says.
    #[error("the PostgreSQL says: {0}")]
    Server(String),
    /// The journal's thread could not start, or has ended.
    #[error("the journal's thread does not run: {0}")]
    Thread(String),
}

impl PostgresError {
    /// Whether the server may have done what it was asked to.
    pub(super) fn is_unknown(error: &tokio_postgres::Error) -> bool {
        match error.as_db_error() {
            // `statement_completion_unknown`: CockroachDB says so.
            Some(error) => error.code() == &SqlState::from_code("40003") || is_ending(error.code()),
            None => true,
        }
    }

    /// From a connection that was not made.
    pub(super) fn connecting(place: String, error: &tokio_postgres::Error) -> Self {
        let reason = reason(error);
        match error.code() {
            Some(code) if code.code().starts_with("28") => Self::Login { place, reason },
            _ if reason.contains("does not allow writes") => Self::ReadOnly,
            _ => Self::Unreachable { place, reason },
        }
    }

    pub(super) fn damaged(table: &'static str, reason: impl Into<String>) -> Self {
        Self::Damaged { table, reason: reason.into() }
    }
}

/// The server is ending the session, whatever it did.
fn is_ending(code: &SqlState) -> bool {
    code.code().starts_with("57P") || code.code().starts_with("08")
}

/// The words of the server or of the network alone.
fn reason(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} ({})", error.message(), error.code().code()),
        None => error.source().map_or_else(|| error.to_string(), ToString::to_string),
    }
}

impl From<tokio_postgres::Error> for PostgresError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code().map(SqlState::code) {
            // `disk_full`
            Some("53100") => Self::Full,
            // `read_only_sql_transaction`
            Some("25006") => Self::ReadOnly,
            _ => Self::Server(reason(&error)),
        }
    }
}
