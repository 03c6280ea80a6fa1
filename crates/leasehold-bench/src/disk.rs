//! What one sync to the disk costs: no durable answer can be faster.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::load::Times;

/// As much as a small commit writes.
const BYTES: usize = 4096;

/// The time of an append and its fdatasync.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sync {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

/// Appends to a file in `folder` and syncs it, for some time and at least once.
pub(crate) fn measure(folder: &Path, during: Duration) -> anyhow::Result<Times> {
    let path = folder.join("sync");
    let mut file = File::create(&path)?;
    let mut times = Times::new()?;
    let start = Instant::now();
    loop {
        let before = Instant::now();
        file.write_all(&[0; BYTES])?;
        file.sync_data()?;
        times.record(before.elapsed())?;
        if start.elapsed() >= during {
            break;
        }
    }
    std::fs::remove_file(path)?;
    Ok(times)
}

impl From<&Times> for Sync {
    fn from(times: &Times) -> Self {
        Self { p50_ms: times.ms(0.50), p99_ms: times.ms(0.99) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_takes_time_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let times = measure(folder.path(), Duration::from_millis(20)).unwrap();
        let sync = Sync::from(&times);
        assert!(sync.p50_ms > 0.0 && sync.p99_ms >= sync.p50_ms);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }
}
