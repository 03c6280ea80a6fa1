//! What our SQLite databases have in common: how this program recognizes, configures and migrates
//! them, and why one cannot be opened.

mod checksum;
mod open_error;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

pub use checksum::{add_row_sum, row_sum};
pub use open_error::OpenError;

/// Only its owner can enter the directory.
const DIRECTORY_MODE: u32 = 0o700;
/// Only its owner can read or write a file.
pub const FILE_MODE: u32 = 0o600;

/// How long to wait for another program that holds the database, such as an operator's `sqlite3`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How many statements a connection caches: more than any of our databases has.
const STATEMENTS_MAX: usize = 32;

/// A kind of database.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// SQLite's `application_id`, by which `file` and this program know the kind.
    pub application_id: i64,
    /// Each step migrates one version to the next. A step that has been released never changes. The
    /// version is in SQLite's `user_version`.
    pub steps: &'static [&'static str],
}

/// Whether an error means that the disk is full. SQLite reports it in two ways: the index of its
/// write-ahead log is a file that has to grow, too.
pub fn is_full(error: &rusqlite::Error) -> bool {
    let Some(error) = error.sqlite_error() else { return false };
    error.code == ErrorCode::DiskFull || error.extended_code == SQLITE_IOERR_SHMSIZE
}

/// Creates a directory that only its owner can enter, unless it exists.
///
/// # Errors
///
/// If it cannot be created.
pub fn make_directory(path: &Path) -> Result<(), OpenError> {
    let created = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path);
    created.map_err(|source| OpenError::Directory { path: path.to_owned(), source })
}

/// Opens a database with [`add_row_sum`], and creates it if it is missing. Only its owner can read
/// it and the files that SQLite creates with it.
///
/// # Errors
///
/// If SQLite cannot open it.
pub fn open(path: &Path) -> Result<Connection, OpenError> {
    // A file that exists stays as it is. If it cannot be created, SQLite reports why.
    let _ = File::options().write(true).create_new(true).mode(FILE_MODE).open(path);
    let open = || {
        let connection = Connection::open(path)?;
        add_row_sum(&connection)?;
        Ok(connection)
    };
    open().map_err(|error| OpenError::new(error, path))
}

/// Copies a database, which another program may use meanwhile, into a file that does not exist.
/// The copy is whole, as of one moment, durable, and only its owner can read it.
///
/// # Errors
///
/// If the database cannot be read, or the file cannot be written; it is removed then.
pub fn copy(from: &Path, to: &Path) -> Result<(), OpenError> {
    let unreadable = |error| OpenError::new(error, from);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(from, flags).map_err(unreadable)?;
    // Closing the last connection would otherwise move the write-ahead log into the database.
    source.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(unreadable)?;
    let unwritable =
        |source| OpenError::Directory { path: to.parent().unwrap_or(to).to_owned(), source };
    let name = to.to_str().ok_or_else(|| unwritable(io::Error::other("it is no UTF-8")))?;
    // SQLite writes into an empty file, which has its mode from here.
    let file = File::options().write(true).create_new(true).mode(FILE_MODE).open(to);
    let file = file.map_err(unwritable)?;
    let copied =
        source.execute("VACUUM INTO ?1", [name]).map_err(|error| OpenError::new(error, to));
    let copied = copied.and_then(|_| file.sync_all().map_err(unwritable));
    if copied.is_err() {
        // The first error says why.
        let _ = fs::remove_file(to);
    }
    copied
}

impl Schema {
    /// Prepares a connection for use: an empty database gets its tables, and an older one is
    /// brought up to date. Every commit is durable from then on.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn prepare(&self, connection: &mut Connection) -> Result<(), OpenError> {
        let path = PathBuf::from(connection.path().unwrap_or_default());
        let failed = |error| OpenError::new(error, &path);
        let known = i64::try_from(self.steps.len()).unwrap_or(i64::MAX);
        // Nothing is written to a database of another kind.
        let found = match self.version(connection).map_err(failed)? {
            None => return Err(OpenError::Foreign { path }),
            Some(found) if found > known => return Err(OpenError::Newer { path, found, known }),
            Some(found) => found,
        };
        configure(connection).map_err(failed)?;
        self.migrate(connection, found).map_err(failed)
    }

    /// The version of a database, which is 0 for an empty one; `None` for one of another kind.
    fn version(&self, connection: &Connection) -> rusqlite::Result<Option<i64>> {
        let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let is_empty: bool =
            connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| {
                row.get(0)
            })?;
        if !is_empty && pragma("application_id")? != self.application_id {
            return Ok(None);
        }
        pragma("user_version").map(Some)
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
    fn each_step_runs_once() {
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
    fn a_database_of_a_newer_version_is_refused_and_unchanged() {
        let mut connection = Connection::open_in_memory().unwrap();
        SECOND.prepare(&mut connection).unwrap();
        let error = FIRST.prepare(&mut connection).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 2, known: 1, .. }), "{error}");
        assert_eq!(columns(&connection), ["x", "y"]);
    }

    #[test]
    fn a_database_of_another_program_is_refused_and_unchanged() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE theirs (x)").unwrap();
        let error = FIRST.prepare(&mut connection).unwrap_err();
        assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 1);
    }
}
