//! How many commits were acknowledged, in a file of its own: SQLite stops reading a write-ahead log
//! at its first damaged frame, and does not report the frames behind it.
//!
//! The journal writes the number after each commit, and synchronises the file every 1,024 commits.
//! So the number survives the end of the process, may be too low after a loss of power, and is
//! never higher than what was acknowledged.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// After how many commits the number itself is made durable.
const SYNC_EVERY: u64 = 1_024;
/// Twenty digits and a newline.
const LENGTH: usize = 21;

/// The file, open.
#[derive(Debug)]
pub(super) struct Acknowledged {
    file: File,
    synced: u64,
}

impl Acknowledged {
    /// Opens the file, and creates it if it is missing. Returns it with the number of acknowledged
    /// commits that it holds: `None` for a new file.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<u64>)> {
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(leasehold_sqlite::FILE_MODE)
            .open(path)?;
        let mut text = Vec::with_capacity(LENGTH);
        file.by_ref().take(LENGTH as u64 + 1).read_to_end(&mut text)?;
        // A loss of power can leave a new file empty, or full of zeros.
        let is_new = text.iter().all(|byte| *byte == 0);
        let number = if is_new { None } else { Some(parse(&text).ok_or_else(not_a_number)?) };
        Ok((Self { file, synced: 0 }, number))
    }

    /// Writes how many commits are acknowledged.
    pub(super) fn set(&mut self, commits: u64) -> io::Result<()> {
        self.file.write_all_at(format!("{commits:020}\n").as_bytes(), 0)?;
        if commits < self.synced || commits - self.synced >= SYNC_EVERY {
            self.file.sync_data()?;
            self.synced = commits;
        }
        Ok(())
    }
}

fn parse(text: &[u8]) -> Option<u64> {
    let digits = text.strip_suffix(b"\n").filter(|digits| digits.len() == LENGTH - 1)?;
    digits.iter().all(u8::is_ascii_digit).then_some(())?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn not_a_number() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it does not hold the number of a commit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_the_one_written_last() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("acknowledged");
        let (mut file, before) = Acknowledged::open(&path).unwrap();
        assert_eq!(before, None);
        for number in [1, 2, 5_000, 4] {
            file.set(number).unwrap();
            assert_eq!(Acknowledged::open(&path).unwrap().1, Some(number));
        }
    }

    #[test]
    fn a_file_without_a_number_is_an_error_and_not_a_new_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("acknowledged");
        for text in ["7\n", "0000000000000000000x\n", "000000000000000000012\n\n"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(Acknowledged::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        std::fs::write(&path, [0; 21]).unwrap();
        assert_eq!(Acknowledged::open(&path).unwrap().1, None);
    }
}
