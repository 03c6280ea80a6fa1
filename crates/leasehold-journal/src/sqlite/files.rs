//! The files of a journal as the operating system sees them: they must stay the ones that were
//! opened. A write to a file that was moved or deleted is not durable.
//!
//! Each commit is checked before and after it. To look at each file twice would cost eight calls of
//! the system. But no file in a directory is created, deleted, renamed or replaced without a change
//! of the directory's own time, so that one look at the directory stands for all files in it. That
//! time is the one of the last change of its inode (`ctime`): tools that copy files set the other
//! one back. Only the write-ahead log is looked at as well: it can be truncated where it is.

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
    directory: PathBuf,
    held: [Held; 2],
    wal: Beside,
    shm: Beside,
    /// No file is a symbolic link to a file elsewhere.
    are_in_directory: bool,
    /// The directory as it was when all files were found in it. `None` while it may change again
    /// without another time.
    found_in: Option<Stamp>,
}

/// A file that SQLite keeps beside its database. SQLite may create it as late as with the first
/// commit.
#[derive(Debug)]
struct Beside {
    path: PathBuf,
    seen: Option<(Identity, u64)>,
}

/// A directory at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    identity: Identity,
    changed: Moment,
}

/// When a file was last changed: seconds and nanoseconds.
type Moment = (i64, i64);

impl Held {
    /// Opens a file, creates it if it is missing, and locks it.
    pub(super) fn open(path: PathBuf) -> Result<Self, HoldError> {
        // Opening a FIFO or a device can block for ever, or do worse.
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
        let directory = database.path.parent().map_or_else(PathBuf::new, Path::to_owned);
        let [wal, shm] = ["-wal", "-shm"].map(|suffix| Beside::new(&database.path, suffix));
        let held = [lock, database];
        let are_in_directory = !held.iter().any(|held| held.path.is_symlink());
        Self { directory, held, wal, shm, are_in_directory, found_in: None }
    }

    /// Checks that all of them are those that were opened, and that the write-ahead log, which
    /// never becomes shorter while it is open, was not truncated.
    pub(super) fn check(&mut self) -> Result<(), Replaced> {
        let stamp = self.stamp();
        let written = self.wal.check()?;
        if stamp.is_some() && stamp == self.found_in {
            return Ok(());
        }
        self.found_in = None;
        for Held { path, identity, .. } in &self.held {
            if fs::metadata(path).ok().map(|found| Identity::of(&found)) != Some(*identity) {
                return Err(Replaced { path: path.clone() });
            }
        }
        self.shm.check()?;
        // A file system counts time in ticks, and two changes in one tick leave the same time. If
        // the log was written in a later tick than the directory, the next change of the directory
        // has another time.
        self.found_in = stamp
            .filter(|stamp| self.are_in_directory && written.is_some_and(|at| stamp.changed < at));
        Ok(())
    }

    fn stamp(&self) -> Option<Stamp> {
        let found = fs::metadata(&self.directory).ok()?;
        Some(Stamp { identity: Identity::of(&found), changed: changed(&found) })
    }
}

fn changed(metadata: &Metadata) -> Moment {
    (metadata.ctime(), metadata.ctime_nsec())
}

impl Beside {
    fn new(database: &Path, suffix: &str) -> Self {
        let mut path = OsString::from(database);
        path.push(suffix);
        Self { path: path.into(), seen: None }
    }

    /// Returns when it was last changed, if it exists.
    fn check(&mut self) -> Result<Option<Moment>, Replaced> {
        let metadata = fs::metadata(&self.path).ok();
        let found = metadata.as_ref().map(|found| (Identity::of(found), found.len()));
        match (self.seen, found) {
            (None, _) => {}
            (Some((identity, length)), Some((same, now))) if same == identity && now >= length => {}
            (Some(_), _) => return Err(Replaced { path: self.path.clone() }),
        }
        self.seen = found;
        Ok(metadata.as_ref().map(changed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files of a directory, all of which exist, in a state that they were found in before.
    fn settled(directory: &Path) -> Files {
        let held = |name| Held::open(directory.join(name)).unwrap();
        let mut files = Files::new(held("lock"), held("db"));
        fs::write(&files.shm.path, "shm").unwrap();
        while files.found_in.is_none() {
            fs::write(&files.wal.path, "log").unwrap();
            files.check().unwrap();
        }
        files
    }

    fn notices(damage: impl FnOnce(&Path)) {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("data");
        fs::create_dir(&directory).unwrap();
        let mut files = settled(&directory);
        files.check().unwrap();
        damage(&directory);
        files.check().unwrap_err();
    }

    #[test]
    fn a_change_of_any_file_is_noticed_by_a_look_at_their_directory() {
        for name in ["lock", "db", "db-wal", "db-shm"] {
            notices(|directory| fs::remove_file(directory.join(name)).unwrap());
            notices(|directory| {
                fs::write(directory.join("other"), "other").unwrap();
                fs::rename(directory.join("other"), directory.join(name)).unwrap();
            });
        }
        notices(|directory| {
            let modified = fs::metadata(directory).unwrap().modified().unwrap();
            fs::write(directory.join("other"), "other").unwrap();
            fs::rename(directory.join("other"), directory.join("db")).unwrap();
            File::open(directory).unwrap().set_modified(modified).unwrap();
        });
        notices(|directory| fs::write(directory.join("db-wal"), "lo").unwrap());
        notices(|directory| fs::rename(directory, directory.with_extension("away")).unwrap());
        notices(|directory| {
            fs::rename(directory, directory.with_extension("away")).unwrap();
            fs::create_dir(directory).unwrap();
        });
    }

    #[test]
    fn a_change_in_the_tick_in_which_the_directory_changed_is_noticed() {
        for _ in 0..200 {
            let home = tempfile::tempdir().unwrap();
            let held = |name| Held::open(home.path().join(name)).unwrap();
            let mut files = Files::new(held("lock"), held("db"));
            fs::write(&files.wal.path, "log").unwrap();
            files.check().unwrap();
            fs::remove_file(home.path().join("lock")).unwrap();
            files.check().unwrap_err();
        }
    }
}
