//! Where records are kept: one SQLite database beside the journal, with a connection of its own.
//! Its owner writes many things in one [`Transaction`] and commits it once, so that they share one
//! `fsync`. Each subject has a file with its methods of the transaction.
//!
//! The statements are those that SQLite and PostgreSQL have in common (ARCHITECTURE.md lists what
//! that excludes), and `Transaction::{execute, first, all}` are the only way to either.

mod blocks;
mod disk_space;
mod events;
mod filter;
mod flows;
mod log_size;
mod moments;
mod pruning;
mod row;
mod runs;
mod schema;
mod states;

use std::path::Path;

use leasehold_sqlite::OpenError;
use rusqlite::{Connection, Params, Row, TransactionBehavior};

use crate::error::RecordsError;
use disk_space::DiskSpace;
pub use filter::{Filter, FlowSort, Order, Sort};
use schema::SCHEMA;

/// How large the write-ahead log stays after a larger transaction. SQLite writes it into the
/// database before it grows so far by itself.
const WAL_BYTES_KEPT: u32 = 8 << 20;

type Result<T> = std::result::Result<T, RecordsError>;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many runs at the most, flow runs and task runs together. Beyond, pruning begins with the
    /// run that ended first, and a flow run goes after its task runs.
    pub runs_max: u64,
    /// How many events of limits and leases at the most.
    pub events_max: u64,
    /// How many events that clients sent at the most.
    pub client_events_max: u64,
    /// How many bytes all events have at the most, half of them for what clients sent.
    pub events_bytes_max: u64,
    /// How long a run is kept after it last changed, and an event after it happened.
    pub age_seconds_max: u64,
}

/// The records of a server.
#[derive(Debug)]
pub struct Records {
    connection: Connection,
    bounds: Bounds,
    /// `None` in memory.
    disk_space: Option<DiskSpace>,
}

/// Reads and writes records. What it writes is durable when it is [committed](Self::commit), and
/// discarded when it is dropped. Every method fails if the storage does or if a row that it reads
/// is damaged; a method that adds something also fails if the disk has no space.
#[derive(Debug)]
pub struct Transaction<'records> {
    connection: rusqlite::Transaction<'records>,
    bounds: Bounds,
    disk_space: Option<&'records DiskSpace>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            runs_max: 50_000,
            events_max: 100_000,
            client_events_max: 100_000,
            events_bytes_max: 512 << 20,
            age_seconds_max: 7 * 86_400,
        }
    }
}

impl Records {
    /// The name of the file in its directory.
    pub const FILE: &str = "records.db";

    /// Opens the records in `directory`, creates both if they are missing, and brings an older
    /// schema up to date.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open(directory: &Path, bounds: Bounds) -> std::result::Result<Self, OpenError> {
        leasehold_sqlite::make_directory(directory)?;
        let path = directory.join(Self::FILE);
        Self::prepare(leasehold_sqlite::open(&path)?, bounds, Some(DiskSpace::new(&path)))
    }

    /// Copies the records in `directory`, which a server may use meanwhile, into the directory
    /// `to`. Returns whether there are any.
    ///
    /// # Errors
    ///
    /// If they cannot be read, or `to` has records.
    pub fn back_up(directory: &Path, to: &Path) -> std::result::Result<bool, OpenError> {
        let path = directory.join(Self::FILE);
        let exist = path.is_file();
        if exist {
            leasehold_sqlite::copy(&path, &to.join(Self::FILE))?;
        }
        Ok(exist)
    }

    /// Records that last as long as the process. For tests.
    ///
    /// # Errors
    ///
    /// If SQLite cannot create them.
    pub fn in_memory(bounds: Bounds) -> std::result::Result<Self, OpenError> {
        let connection = Connection::open_in_memory()
            .map_err(|error| OpenError::new(error, Path::new(":memory:")))?;
        Self::prepare(connection, bounds, None)
    }

    fn prepare(
        mut connection: Connection,
        bounds: Bounds,
        disk_space: Option<DiskSpace>,
    ) -> std::result::Result<Self, OpenError> {
        SCHEMA.prepare(&mut connection)?;
        let path = Path::new(connection.path().unwrap_or_default());
        connection
            .pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT)
            .map_err(|error| OpenError::new(error, path))?;
        Ok(Self { connection, bounds, disk_space })
    }

    /// Begins a transaction.
    ///
    /// # Errors
    ///
    /// If the storage fails.
    pub fn begin(&mut self) -> Result<Transaction<'_>> {
        let connection =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let disk_space = self.disk_space.as_ref();
        if let Some(disk_space) = disk_space {
            disk_space.look(&connection)?;
        }
        Ok(Transaction { connection, bounds: self.bounds, disk_space })
    }

    /// If the disk had no space for records at the last look: how many bytes of it are reserved for
    /// the journal.
    pub fn lack_space(&self) -> Option<u64> {
        self.disk_space.as_ref()?.lacks()
    }
}

impl Transaction<'_> {
    /// Makes everything that was written durable.
    ///
    /// # Errors
    ///
    /// If the storage fails. Nothing is durable then.
    pub fn commit(self) -> Result<()> {
        Ok(self.connection.commit()?)
    }

    /// Does some work as a whole: if it fails, its changes are rolled back, and the transaction
    /// goes on with what it wrote before.
    ///
    /// # Errors
    ///
    /// What the work returns, and if the storage fails. After [`RecordsError::Storage`] and
    /// [`RecordsError::Full`] the transaction can write no more.
    pub fn savepoint<T>(&self, work: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        self.execute("SAVEPOINT work", [])?;
        let done = work(self);
        if done.is_err() {
            // On a full disk SQLite rolls back the whole transaction, and the savepoint with it.
            if self.connection.is_autocommit() {
                return done;
            }
            self.execute("ROLLBACK TO SAVEPOINT work", [])?;
        }
        self.execute("RELEASE SAVEPOINT work", [])?;
        done
    }

    /// Fails if the disk has no space for records.
    fn require_space(&self) -> Result<()> {
        let Some(disk_space) = self.disk_space else { return Ok(()) };
        disk_space.glance(&self.connection)?;
        disk_space.lacks().map_or(Ok(()), |reserve| Err(RecordsError::Reserved { reserve }))
    }

    /// Executes a statement. Returns how many rows it changed.
    fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }

    /// The first row that a statement finds.
    fn first<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        self.connection.prepare_cached(sql)?.query(params)?.next()?.map(read).transpose()
    }

    /// All rows that a statement finds.
    fn all<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&Row<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(read(row)?);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests;
