//! Whether the disk has room for records. The journal is on the same disk, and without room there
//! every acquire and renewal fails: records are refused first, while a reserve is still free.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use rusqlite::Connection;

/// How many bytes are left for the journal at the most.
const RESERVE_MAX: u64 = 64 << 20;
/// No more than this share of a file system is left for the journal.
const RESERVE_SHARE: u64 = 4;
/// From when on records are written again: with this share of the reserve more than the reserve.
const MARGIN_SHARE: u64 = 4;
/// Room is looked for once in so many writes. Each has a mebibyte at the most.
const WRITES_PER_LOOK: u32 = 8;

/// Looks at the disk.
#[derive(Debug)]
pub(crate) struct Room {
    directory: PathBuf,
    /// What is in there is written into the database once more.
    wal: PathBuf,
    is_short: Cell<bool>,
    reserve: Cell<u64>,
    writes: Cell<u32>,
}

impl Room {
    /// The room for the database at `path`.
    pub(crate) fn new(path: &Path) -> Self {
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        Self {
            directory: path.parent().map_or_else(PathBuf::new, Path::to_owned),
            wal: wal.into(),
            is_short: Cell::new(false),
            reserve: Cell::new(RESERVE_MAX),
            writes: Cell::new(0),
        }
    }

    /// Looks at the disk, and answers whether records may be written.
    pub(crate) fn look(&self, connection: &Connection) -> rusqlite::Result<bool> {
        self.writes.set(0);
        // A file system that does not say how much is free says so when it is full.
        let Ok(disk) = statvfs(&self.directory) else { return Ok(true) };
        let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size());
        let reserve = (bytes(disk.blocks()) / RESERVE_SHARE).min(RESERVE_MAX);
        let margin = if self.is_short.get() { reserve / MARGIN_SHARE } else { 0 };
        let wal = fs::metadata(&self.wal).map_or(0, |wal| wal.len());
        let free = bytes(disk.blocks_available()).saturating_add(unused(connection)?);
        self.reserve.set(reserve);
        self.is_short.set(free < reserve + margin + wal);
        Ok(!self.is_short.get())
    }

    /// As [`look`](Self::look), but believes for some writes what it saw.
    pub(crate) fn glance(&self, connection: &Connection) -> rusqlite::Result<bool> {
        self.writes.set(self.writes.get() + 1);
        if self.writes.get() >= WRITES_PER_LOOK {
            return self.look(connection);
        }
        Ok(!self.is_short.get())
    }

    /// How many bytes records leave free, if there are fewer.
    pub(crate) fn lacks(&self) -> Option<u64> {
        self.is_short.get().then(|| self.reserve.get())
    }
}

/// How many bytes of the database hold nothing: what was forgotten makes room there, and none on
/// the disk.
fn unused(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    Ok(u64::from(pragma("freelist_count")?) * u64::from(pragma("page_size")?))
}
