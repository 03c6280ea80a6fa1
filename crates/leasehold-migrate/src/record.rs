//! What a Prefect server was asked to count, in a file beside the journal: a repetition asks for
//! nothing twice.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

/// By the address of the server, and by what it was asked for.
type Entries = BTreeMap<String, BTreeMap<String, State>>;

/// What was asked, of which servers.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    entries: Entries,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was sent, and no answer is known.
    Asked,
    /// The server counts it.
    Counted,
    /// The server refused it.
    Refused,
}

/// Why the record cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the record {} of what was asked cannot be {done}: {reason}; move it away to ask for everything \
     again",
    path.display()
)]
pub struct RecordError {
    path: PathBuf,
    done: &'static str,
    reason: String,
}

impl Record {
    /// The name of the file in a data directory.
    pub const FILE: &str = "prefect-restored.json";

    /// Reads the record in a data directory. A missing one is empty.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn open(directory: &Path) -> Result<Self, RecordError> {
        let path = directory.join(Self::FILE);
        let failed = |reason| RecordError { path: path.clone(), done: "read", reason };
        let entries = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Entries::new(),
            Err(error) => return Err(failed(error.to_string())),
        };
        Ok(Self { path, entries })
    }

    /// What became of a request.
    pub fn state(&self, server: &str, key: &str) -> Option<State> {
        self.entries.get(server)?.get(key).copied()
    }

    /// Writes what became of a request; it is durable when this returns.
    pub(crate) fn set(&mut self, server: &str, key: &str, state: State) -> Result<(), RecordError> {
        self.entries.entry(server.to_owned()).or_default().insert(key.to_owned(), state);
        self.write().map_err(|error| RecordError {
            path: self.path.clone(),
            done: "written",
            reason: error.to_string(),
        })
    }

    fn write(&self) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(&self.path);
        let mut file = NamedTempFile::new_in(directory)?;
        file.write_all(&serde_json::to_vec_pretty(&self.entries)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let mut record = Record::open(directory.path()).unwrap();
        record.set("http://a/api", "x", State::Asked).unwrap();
        record.set("http://a/api", "x", State::Counted).unwrap();
        let record = Record::open(directory.path()).unwrap();
        assert_eq!(record.state("http://a/api", "x"), Some(State::Counted));
        assert_eq!(record.state("http://b/api", "x"), None);
        fs::write(directory.path().join(Record::FILE), "{").unwrap();
        assert!(Record::open(directory.path()).unwrap_err().to_string().contains("move it away"));
    }
}
