//! A copy of a journal that is whole, made while its server runs, and its way back.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::files::{Held, HoldError};
use super::{Journal, LoadError, OpenError, SqliteJournal};

/// Where a backup is unpacked and checked before it takes its place.
const RESTORING: &str = "restoring";
/// Where a journal goes whose place a backup takes: this, and a number.
const REPLACED: &str = "replaced";

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackedUp {
    /// How many limits.
    pub limits: usize,
    /// How many leases.
    pub leases: usize,
}

/// What becomes of a journal that stands where a backup is to be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// The backup is refused.
    Keep,
    /// It is moved into a directory beside the backup.
    Replace,
}

/// A backup that was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// What it holds.
    pub holds: BackedUp,
    /// Where the files went that stood in its place.
    pub replaced: Option<PathBuf>,
}

/// Why no backup was made or restored. Nothing was changed, except that a directory with an
/// unfinished copy may be left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// There is nothing to copy.
    #[error("the directory {} has no journal", .0.display())]
    Missing(PathBuf),
    /// The directory of a new backup has to be empty.
    #[error("the directory {} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// A journal stands where the backup is to be restored.
    #[error("the directory {} has a journal already", .0.display())]
    Occupied(PathBuf),
    /// A journal cannot be copied or opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The copy cannot be read.
    #[error("the copy cannot be read")]
    Load(#[from] LoadError),
    /// A file cannot be moved.
    #[error("the directory {} cannot be written", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl From<leasehold_sqlite::OpenError> for BackupError {
    fn from(error: leasehold_sqlite::OpenError) -> Self {
        Self::Open(error.into())
    }
}

impl SqliteJournal {
    /// Copies the journal in `directory`, which a server may use meanwhile, into the empty or new
    /// directory `to`, and reads the copy. `to` is a data directory then.
    ///
    /// # Errors
    ///
    /// See [`BackupError`].
    pub fn back_up(directory: &Path, to: &Path) -> Result<BackedUp, BackupError> {
        let from = existing(directory)?;
        leasehold_sqlite::make_directory(to)?;
        let is_empty = fs::read_dir(to).map_err(|source| unwritable(to, source))?.next().is_none();
        if !is_empty {
            return Err(BackupError::NotEmpty(to.to_owned()));
        }
        copy_and_read(&from, to)
    }

    /// Copies the backup in the directory `from` into `directory`, which no server may use, and
    /// reads it before it takes its place.
    ///
    /// # Errors
    ///
    /// See [`BackupError`].
    pub fn restore(
        from: &Path,
        directory: &Path,
        existing_journal: Existing,
    ) -> Result<Restored, BackupError> {
        let from = existing(from)?;
        leasehold_sqlite::make_directory(directory)?;
        let _lock = Held::open(directory.join(Self::LOCK)).map_err(|error| match error {
            HoldError::Locked => OpenError::Locked { path: directory.to_owned() },
            HoldError::Io(source) => super::unwritable(directory, source),
        })?;
        let is_occupied = directory.join(Self::FILE).exists();
        if is_occupied && existing_journal == Existing::Keep {
            return Err(BackupError::Occupied(directory.to_owned()));
        }
        let restoring = directory.join(RESTORING);
        let io = |source| unwritable(directory, source);
        if restoring.exists() {
            fs::remove_dir_all(&restoring).map_err(io)?;
        }
        leasehold_sqlite::make_directory(&restoring)?;
        let holds = copy_and_read(&from, &restoring)?;
        let replaced = is_occupied.then(|| set_aside(directory)).transpose().map_err(io)?;
        // The number of acknowledged commits comes last. Until then a start is refused, since the
        // journal holds less than was acknowledged, or is missing.
        for file in [Self::FILE, Self::ACKNOWLEDGED] {
            fs::rename(restoring.join(file), directory.join(file)).map_err(io)?;
            sync(directory).map_err(io)?;
        }
        fs::remove_dir_all(&restoring).map_err(io)?;
        Ok(Restored { holds, replaced })
    }
}

/// The journal's file in a directory that has one.
fn existing(directory: &Path) -> Result<PathBuf, BackupError> {
    let path = directory.join(SqliteJournal::FILE);
    if path.is_file() { Ok(path) } else { Err(BackupError::Missing(directory.to_owned())) }
}

/// Copies a journal into an empty directory and reads it, so that each of its rows was checked.
fn copy_and_read(from: &Path, to: &Path) -> Result<BackedUp, BackupError> {
    leasehold_sqlite::copy(from, &to.join(SqliteJournal::FILE))?;
    let mut journal = SqliteJournal::open(to)?;
    let ledger = journal.load()?;
    Ok(BackedUp { limits: ledger.limits.len(), leases: ledger.leases.len() })
}

/// Moves the files of a journal that is not open into a directory of their own. What was
/// acknowledged stays.
fn set_aside(directory: &Path) -> io::Result<PathBuf> {
    let free = (1_u32..).map(|number| directory.join(format!("{REPLACED}-{number}")));
    let Some(aside) = free.into_iter().find(|path| !path.exists()) else {
        return Err(io::ErrorKind::AlreadyExists.into());
    };
    fs::create_dir(&aside)?;
    for end in ["", "-wal", "-shm"] {
        let name = format!("{}{end}", SqliteJournal::FILE);
        match fs::rename(directory.join(&name), aside.join(&name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    sync(&aside)?;
    sync(directory)?;
    Ok(aside)
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn unwritable(path: &Path, source: io::Error) -> BackupError {
    BackupError::Io { path: path.to_owned(), source }
}
