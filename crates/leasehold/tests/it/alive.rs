//! A file that a command touches for as long as it runs, and the command's processes.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use crate::support::wait_for;

/// Longer than a running command takes until it touches the file again.
const SILENCE: Duration = Duration::from_millis(150);

pub(crate) struct Alive {
    _dir: TempDir,
    path: PathBuf,
}

impl Alive {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { path: dir.path().join("alive"), _dir: dir }
    }

    /// A line of shell that touches the file once.
    pub(crate) fn touch(&self) -> String {
        format!("touch {}", self.path.display())
    }

    /// A line of shell that touches the file until it is ended.
    pub(crate) fn forever(&self) -> String {
        format!("while :; do {}; sleep 0.02; done", self.touch())
    }

    /// A line of shell that starts [`forever`](Self::forever) in a session of its own.
    pub(crate) fn in_its_own_session(&self) -> String {
        format!("(setsid sh -c '{}' >/dev/null 2>&1 &)", self.forever())
    }

    /// A line of shell that waits until the file exists.
    pub(crate) fn wait(&self) -> String {
        format!("while [ ! -e {} ]; do sleep 0.01; done", self.path.display())
    }

    pub(crate) fn exists(&self) -> bool {
        self.path.exists()
    }

    pub(crate) fn remove(&self) {
        // The command may not have touched it yet.
        let _ = fs::remove_file(&self.path);
    }

    pub(crate) fn wait_for_start(&self) {
        wait_for("the command", || self.exists());
    }

    /// Whether no process touches the file.
    pub(crate) fn is_over(&self) -> bool {
        self.remove();
        std::thread::sleep(SILENCE);
        !self.exists()
    }

    pub(crate) fn wait_for_end(&self) {
        wait_for("the command to end", || self.is_over());
    }

    pub(crate) fn last_seen(&self) -> SystemTime {
        fs::metadata(&self.path).unwrap().modified().unwrap()
    }
}

/// The process id of a child whose command line has a word.
pub(crate) fn child_named(parent: u32, word: &str) -> u32 {
    let children = format!("/proc/{parent}/task/{parent}/children");
    let mut found = None;
    wait_for(word, || {
        let children = fs::read_to_string(&children).unwrap();
        found = children.split_whitespace().map(|id| id.parse().unwrap()).find(|id: &u32| {
            fs::read_to_string(format!("/proc/{id}/cmdline"))
                .is_ok_and(|line| line.split('\0').any(|part| part.contains(word)))
        });
        found.is_some()
    });
    found.unwrap()
}
