//! Prefect's SQLite file.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};
use tempfile::TempDir;

use super::copy::{copy, is_needed};
use super::{Access, Row};
use crate::error::Error;

/// How long to wait for a server that stops.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Sqlite {
    connection: Connection,
    /// The copy that is read, if it is one.
    _copy: Option<TempDir>,
}

impl Sqlite {
    pub(super) fn open(path: &Path, access: Access) -> Result<Self, Error> {
        if !path.is_file() {
            return Err(Error::NoDatabase { path: path.to_owned() });
        }
        let place = path.display().to_string();
        let open = |path: &Path, flags| {
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            Ok(connection)
        };
        let failed = |failure: rusqlite::Error| error(&place, &failure);
        if access == Access::Write {
            let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
            connection.execute_batch("BEGIN IMMEDIATE").map_err(failed)?;
            return Ok(Self { connection, _copy: None });
        }
        if is_needed(path) {
            let (directory, copied) = copy(path)?;
            let connection = open(&copied, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(failed)?;
            return Ok(Self { connection, _copy: Some(directory) });
        }
        // Without a log beside it no server has it open, and nothing has to be locked.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = open(Path::new(&immutable(path)), flags).map_err(failed)?;
        Ok(Self { connection, _copy: None })
    }

    pub(super) fn rows(&self, sql: &str) -> rusqlite::Result<Vec<Row>> {
        let mut statement = self.connection.prepare(sql)?;
        let columns = statement.column_count();
        let read =
            |row: &rusqlite::Row<'_>| (0..columns).map(|at| text(row.get_ref(at)?)).collect();
        statement.query_map([], read)?.collect()
    }

    pub(super) fn execute(&self, sql: &str, values: &[Option<&str>]) -> rusqlite::Result<u64> {
        let changed = self.connection.execute(sql, params_from_iter(values))?;
        Ok(changed as u64)
    }
}

/// A URI by which SQLite reads a file and creates none beside it.
fn immutable(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri += &format!("%{byte:02X}"),
        }
    }
    uri + "?immutable=1"
}

fn text(value: ValueRef<'_>) -> rusqlite::Result<Option<String>> {
    Ok(match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(text) | ValueRef::Blob(text) => {
            Some(String::from_utf8_lossy(text).into_owned())
        }
    })
}

pub(super) fn error(place: &str, error: &rusqlite::Error) -> Error {
    let place = place.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::Locked { place },
        Some(ErrorCode::NotADatabase) => Error::Foreign { place, missing: "SQLite header" },
        _ => Error::Database { place, reason: error.to_string() },
    }
}
