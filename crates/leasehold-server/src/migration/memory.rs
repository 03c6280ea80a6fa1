//! Numbers of slots by limit, in a file beside the journal: the phantoms that an operator dropped,
//! and the covers that were asked for. The upstream may count them, and only these numbers tell
//! them from slots of others.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use leasehold_engine::LimitId;
use rustc_hash::FxHashMap;
use tokio::sync::Mutex;
use uuid::Uuid;

/// The file, beside the journal.
#[derive(Clone, Debug)]
pub(crate) struct MemoryFile(pub(crate) PathBuf);

impl MemoryFile {
    /// Another file in its directory.
    pub(super) fn beside(&self, name: &str) -> Self {
        Self(self.0.with_file_name(name))
    }
}

/// Where the numbers are stored. Without a file they are forgotten at the end.
pub(super) struct Memory {
    file: Option<MemoryFile>,
    /// What the file has, if this process has written it.
    stored: Mutex<Option<BTreeMap<Uuid, u64>>>,
}

impl Memory {
    pub(super) fn new(file: Option<MemoryFile>) -> Self {
        Self { file, stored: Mutex::default() }
    }

    pub(super) fn file(&self) -> Option<MemoryFile> {
        self.file.clone()
    }

    /// How many slots of each limit there are.
    pub(super) fn load(&self) -> FxHashMap<LimitId, u64> {
        let Some(MemoryFile(path)) = &self.file else { return FxHashMap::default() };
        let stored = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return FxHashMap::default(),
            Err(error) => {
                tracing::error!(%error, path = %path.display(), "slots that nobody holds count as those of others");
                return FxHashMap::default();
            }
        };
        let stored: BTreeMap<Uuid, u64> = serde_json::from_slice(&stored).unwrap_or_else(|error| {
            tracing::error!(%error, path = %path.display(), "slots that nobody holds count as those of others");
            BTreeMap::new()
        });
        stored.into_iter().map(|(id, slots)| (LimitId(id.as_u128()), slots)).collect()
    }

    /// Stores them all, if any has changed.
    pub(super) async fn save(&self, dropped: FxHashMap<LimitId, u64>) -> io::Result<()> {
        let Some(MemoryFile(path)) = self.file.clone() else { return Ok(()) };
        let dropped: BTreeMap<_, _> =
            dropped.into_iter().map(|(id, slots)| (Uuid::from_u128(id.0), slots)).collect();
        let mut stored = self.stored.lock().await;
        if stored.as_ref() == Some(&dropped) {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&dropped)?;
        let written = tokio::task::spawn_blocking(move || replace(&path, &bytes)).await;
        written.map_err(io::Error::other)??;
        *stored = Some(dropped);
        Ok(())
    }
}

/// Replaces a file whole, so that a crash leaves the old one or the new one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = fs::File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_dropped_is_known_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let memory = || Memory::new(Some(MemoryFile(dir.path().join("dropped.json"))));
        assert!(memory().load().is_empty());
        let dropped = FxHashMap::from_iter([(LimitId(1), 3)]);
        memory().save(dropped.clone()).await.unwrap();
        assert_eq!(memory().load(), dropped);
        let again = memory();
        assert_eq!(again.load(), dropped);
        again.save(FxHashMap::default()).await.unwrap();
        assert!(memory().load().is_empty(), "none is left");
        fs::write(dir.path().join("dropped.json"), b"{").unwrap();
        assert!(memory().load().is_empty());
    }
}
