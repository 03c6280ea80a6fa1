//! Whether the disk has space for records. The journal is on the same disk, and without space every
//! acquire and renewal fails: records are refused first, while the journal's reserve is still free.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use rusqlite::Connection;

/// How many bytes are reserved for the journal at the most.
const RESERVE_MAX: u64 = 64 << 20;
/// No more than this share of a file system is reserved for the journal.
const RESERVE_SHARE: u64 = 4;
/// Records are written again when the reserve and this share of it are free.
const MARGIN_SHARE: u64 = 4;
/// After how many writes the disk is looked at again. Each has a mebibyte at the most.
const WRITES_PER_LOOK: u32 = 8;

/// Looks at the disk.
#[derive(Debug)]
pub(super) struct DiskSpace {
    directory: PathBuf,
    /// Its content is written into the database once more.
    wal: PathBuf,
    is_short: Cell<bool>,
    reserve: Cell<u64>,
    writes: Cell<u32>,
}

impl DiskSpace {
    /// The space for the database at `path`.
    pub(super) fn new(path: &Path) -> Self {
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

    /// Looks at the disk.
    pub(super) fn look(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.writes.set(0);
        // A file system that does not report its free space reports when it is full.
        let Ok(disk) = statvfs(&self.directory) else { return Ok(()) };
        let bytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size());
        let reserve = (bytes(disk.blocks()) / RESERVE_SHARE).min(RESERVE_MAX);
        let margin = if self.is_short.get() { reserve / MARGIN_SHARE } else { 0 };
        let wal = fs::metadata(&self.wal).map_or(0, |wal| wal.len());
        let free = bytes(disk.blocks_available()).saturating_add(unused(connection)?);
        self.reserve.set(reserve);
        self.is_short.set(free < reserve + margin + wal);
        Ok(())
    }

    /// Looks at the disk if the last look is some writes ago.
    pub(super) fn glance(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.writes.set(self.writes.get() + 1);
        if self.writes.get() >= WRITES_PER_LOOK {
            self.look(connection)?;
        }
        Ok(())
    }

    /// The size of the reserve, if less is free.
    pub(super) fn lacks(&self) -> Option<u64> {
        self.is_short.get().then(|| self.reserve.get())
    }
}

/// How many bytes of the database are free: pruning frees space there, and none on the disk.
fn unused(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u32>(0));
    Ok(u64::from(pragma("freelist_count")?) * u64::from(pragma("page_size")?))
}
