//! The files of a journal as the operating system sees them: they must stay the ones that were
//! opened. What is written to a file that was moved or deleted is durable for nobody.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file that is held open and locked, under the path that it had.
#[derive(Debug)]
pub(super) struct Held {
    path: PathBuf,
    identity: Identity,
    _file: File,
}

/// Tells a file from every other one on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// Why a file cannot be held.
#[derive(Debug)]
pub(super) enum HoldError {
    /// Another process holds it.
    Locked,
    /// It cannot be opened, or is no file.
    Io(io::Error),
}

/// A file that was moved, deleted, replaced or cut short while it was open.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} is not the file that was opened: it was moved, deleted, replaced or truncated while the \
     server runs; put it back, or restart the server on the data that you want",
    path.display()
)]
pub struct Replaced {
    path: PathBuf,
}

/// All files that SQLite writes for one database, and the lock beside them.
#[derive(Debug)]
pub(super) struct Files {
    held: [Held; 2],
    /// SQLite makes these itself, and may do so as late as with the first commit.
    beside: [Beside; 2],
}

/// A file that SQLite keeps beside its database.
#[derive(Debug)]
struct Beside {
    path: PathBuf,
    seen: Option<(Identity, u64)>,
}

impl Held {
    /// Opens a file, which is made if it is not there, and locks it.
    pub(super) fn open(path: PathBuf) -> Result<Self, HoldError> {
        // To open a FIFO or a device can block for good, or do worse.
        match fs::metadata(&path) {
            Ok(metadata) if !metadata.is_file() => {
                let error = format!("{} is not a regular file", path.display());
                return Err(HoldError::Io(io::Error::other(error)));
            }
            _ => {}
        }
        let open = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(leasehold_sqlite::FILE_MODE)
            .open(&path);
        let file = open.map_err(HoldError::Io)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => HoldError::Locked,
            TryLockError::Error(error) => HoldError::Io(error),
        })?;
        let identity = Identity::of(&file.metadata().map_err(HoldError::Io)?);
        Ok(Self { path, identity, _file: file })
    }
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

impl Files {
    /// The files of the database that is held.
    pub(super) fn new(lock: Held, database: Held) -> Self {
        let beside = ["-wal", "-shm"].map(|suffix| Beside::new(&database.path, suffix));
        Self { held: [lock, database], beside }
    }

    /// Checks that all of them are still those that were opened. The write-ahead log never becomes
    /// shorter while it is open.
    pub(super) fn check(&mut self) -> Result<(), Replaced> {
        for Held { path, identity, .. } in &self.held {
            if fs::metadata(path).ok().map(|found| Identity::of(&found)) != Some(*identity) {
                return Err(Replaced { path: path.clone() });
            }
        }
        self.beside.iter_mut().try_for_each(Beside::check)
    }
}

impl Beside {
    fn new(database: &Path, suffix: &str) -> Self {
        let mut path = OsString::from(database);
        path.push(suffix);
        Self { path: path.into(), seen: None }
    }

    fn check(&mut self) -> Result<(), Replaced> {
        let found = fs::metadata(&self.path).ok();
        let found = found.map(|metadata| (Identity::of(&metadata), metadata.len()));
        match (self.seen, found) {
            (None, _) => {}
            (Some((identity, length)), Some((same, now))) if same == identity && now >= length => {}
            (Some(_), _) => return Err(Replaced { path: self.path.clone() }),
        }
        self.seen = found;
        Ok(())
    }
}
