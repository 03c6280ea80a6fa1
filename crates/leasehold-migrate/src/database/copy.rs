//! A copy of a SQLite database with its write-ahead log, to read what is in both without a change
//! of either: SQLite itself would write files beside the original.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tempfile::TempDir;

use crate::error::Error;

/// The file that SQLite keeps beside a database.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().map_or_else(OsString::new, OsString::from);
    name.push(suffix);
    path.with_file_name(name)
}

/// Whether the database may not be in its main file alone: a server has it open, or crashed.
pub(super) fn is_needed(path: &Path) -> bool {
    beside(path, "-wal").exists() || beside(path, "-journal").exists()
}

/// Copies a database into a directory that goes with the answer.
pub(super) fn copy(path: &Path) -> Result<(TempDir, PathBuf), Error> {
    let directory = TempDir::with_prefix("leasehold-import-")
        .map_err(Error::io(std::env::temp_dir(), "written"))?;
    let to = directory.path().join("prefect.db");
    let files = [path.to_owned(), beside(path, "-wal"), beside(path, "-journal")];
    let before = files.each_ref().map(|file| stamp(file));
    for (file, suffix) in files.iter().zip(["", "-wal", "-journal"]) {
        match fs::copy(file, beside(&to, suffix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !suffix.is_empty() => {}
            copied => drop(copied.map_err(Error::io(file, "copied"))?),
        }
    }
    if files.each_ref().map(|file| stamp(file)) != before {
        return Err(Error::Changing { path: path.to_owned() });
    }
    Ok((directory, to))
}

/// What tells that a file has changed.
fn stamp(path: &Path) -> Option<(u64, SystemTime)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}
