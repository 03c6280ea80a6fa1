//! What all SQLite files of ours have in common: how they are told from those of other programs,
//! configured, and brought up to date.

mod checksum;

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};

pub use checksum::{add_row_sum, check_sum, execute_with_sum};

/// What is in our files concerns their owner alone.
const DIRECTORY_MODE: u32 = 0o700;
/// A file is for its owner alone, as its directory is.
pub const FILE_MODE: u32 = 0o600;

/// How long to wait for somebody else who has the file: an operator who looks at it with `sqlite3`
/// may hold it for a moment.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// More than any of our files has statements.
const STATEMENTS_MAX: usize = 32;

/// A kind of file.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// SQLite's `application_id`: tells `file` and us whose it is.
    pub application_id: i64,
    /// Each step makes one version from the one before; a step that has been released never
    /// changes. The version stands in SQLite's `user_version`.
    pub steps: &'static [&'static str],
}

/// Why a file cannot be used. Nothing in it is changed then, unless its storage failed on the way.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It is a database, but of another kind.
    #[error("it is a database of another program")]
    Foreign,
    /// A newer version of this program wrote it.
    #[error("it has schema version {found}, and this program knows versions up to {known}")]
    Newer {
        /// Its version.
        found: i64,
        /// Our version.
        known: i64,
    },
    /// Another program has it open, and holds it for longer than we wait.
    #[error("another program writes to it")]
    Busy,
    /// It is no database, or it is damaged, or it cannot be written.
    #[error(transparent)]
    Storage(rusqlite::Error),
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            _ => Self::Storage(error),
        }
    }
}

/// Whether an error means that the disk is full. SQLite says so in two ways: its index of the
/// write-ahead log is a file that has to grow, too.
pub fn is_full(error: &rusqlite::Error) -> bool {
    let Some(error) = error.sqlite_error() else { return false };
    error.code == ErrorCode::DiskFull || error.extended_code == SQLITE_IOERR_SHMSIZE
}

/// Whether the disk or the permissions are to blame, and not what is in the file.
pub fn is_unwritable(error: &rusqlite::Error) -> bool {
    use ErrorCode::{CannotOpen, DiskFull, PermissionDenied, ReadOnly, SystemIoFailure};
    matches!(
        error.sqlite_error_code(),
        Some(CannotOpen | DiskFull | PermissionDenied | ReadOnly | SystemIoFailure)
    )
}

/// An error of the storage as one of the system: SQLite's words for a full disk are its own.
pub fn io_error(error: rusqlite::Error) -> io::Error {
    if is_full(&error) {
        return io::Error::new(io::ErrorKind::StorageFull, "the disk is full");
    }
    io::Error::other(error)
}

/// Makes a directory that its owner alone can enter, unless it is there.
///
/// # Errors
///
/// If it cannot be made.
pub fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)
}

/// Opens a database that knows [`add_row_sum`], and creates it if it is missing. Its owner alone can
/// read it and the files that SQLite creates beside it.
///
/// # Errors
///
/// If SQLite cannot open it.
pub fn open(path: &Path) -> rusqlite::Result<Connection> {
    // A file that is there is left as it is. Why one cannot be made, SQLite says as well.
    let _ = File::options().write(true).create_new(true).mode(FILE_MODE).open(path);
    let connection = Connection::open(path)?;
    add_row_sum(&connection)?;
    Ok(connection)
}

impl Schema {
    /// Makes a connection ready for use: a file that is empty gets its tables, and an older one
    /// is brought up to date. Every commit is durable from then on.
    ///
    /// # Errors
    ///
    /// See [`Unusable`].
    pub fn prepare(&self, connection: &mut Connection) -> Result<(), Unusable> {
        let known = i64::try_from(self.steps.len()).unwrap_or(i64::MAX);
        // Nothing is written before we know that the file is ours.
        let found = self.version(connection)?;
        if found > known {
            return Err(Unusable::Newer { found, known });
        }
        configure(connection)?;
        self.migrate(connection, found)?;
        Ok(())
    }

    /// The version of a file, which is ours or empty.
    fn version(&self, connection: &Connection) -> Result<i64, Unusable> {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let is_empty: bool =
            connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| {
                row.get(0)
            })?;
        if !is_empty && pragma("application_id")? != self.application_id {
            return Err(Unusable::Foreign);
        }
        Ok(pragma("user_version")?)
    }

    fn migrate(&self, connection: &mut Connection, found: i64) -> rusqlite::Result<()> {
        let done = usize::try_from(found).unwrap_or(0);
        for (step, version) in self.steps.iter().zip(1_i64..).skip(done) {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(step)?;
            transaction.pragma_update(None, "application_id", self.application_id)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()?;
        }
        Ok(())
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Schema =
        Schema { application_id: 7, steps: &["CREATE TABLE a (x); INSERT INTO a VALUES (1)"] };
    const SECOND: Schema =
        Schema { application_id: 7, steps: &[FIRST.steps[0], "ALTER TABLE a ADD COLUMN y"] };

    fn columns(connection: &Connection) -> Vec<String> {
        let mut statement = connection.prepare("SELECT name FROM pragma_table_info('a')").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn each_step_is_taken_once() {
        let mut connection = Connection::open_in_memory().unwrap();
        FIRST.prepare(&mut connection).unwrap();
        FIRST.prepare(&mut connection).unwrap();
        assert_eq!(columns(&connection), ["x"]);
        SECOND.prepare(&mut connection).unwrap();
        assert_eq!(columns(&connection), ["x", "y"]);
        let rows: i64 = connection.query_row("SELECT count(*) FROM a", [], |r| r.get(0)).unwrap();
        assert_eq!(rows, 1);
    }

    #[test]
    fn what_a_newer_version_wrote_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        SECOND.prepare(&mut connection).unwrap();
        let error = FIRST.prepare(&mut connection).unwrap_err();
        assert!(matches!(error, Unusable::Newer { found: 2, known: 1 }), "{error}");
        assert_eq!(columns(&connection), ["x", "y"]);
    }

    #[test]
    fn what_another_program_wrote_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE theirs (x)").unwrap();
        let error = FIRST.prepare(&mut connection).unwrap_err();
        assert!(matches!(error, Unusable::Foreign), "{error}");
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 1);
    }
}
