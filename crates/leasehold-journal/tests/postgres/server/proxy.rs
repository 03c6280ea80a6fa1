//! Stands between a node and its PostgreSQL, and cuts the connection at a chosen moment.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// When the next connection that commits is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Never,
    /// Before the server has seen the `COMMIT`.
    BeforeCommit,
    /// Once the server has answered the `COMMIT`, and before the node has the answer.
    AfterCommit,
}

/// A socket in a folder of its own.
pub(crate) struct Proxy {
    folder: tempfile::TempDir,
    cut: Arc<Mutex<Cut>>,
}

impl Proxy {
    pub(crate) fn start(server: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let cut = Arc::new(Mutex::new(Cut::Never));
        let shared = cut.clone();
        // The thread ends with the program.
        thread::spawn(move || {
            for node in listener.incoming().flatten() {
                let Ok(server) = UnixStream::connect(&server) else { continue };
                let shared = shared.clone();
                thread::spawn(move || pass_on(node, server, &shared));
            }
        });
        Self { folder, cut }
    }

    pub(crate) fn host(&self) -> &Path {
        self.folder.path()
    }

    /// Cuts once.
    pub(crate) fn cut(&self, cut: Cut) {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = cut;
    }

    /// Whether it has cut.
    pub(crate) fn has_cut(&self) -> bool {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) == Cut::Never
    }
}

/// Passes what the node sends on to the server; a thread of its own does so with the answers.
fn pass_on(mut node: UnixStream, mut server: UnixStream, shared: &Mutex<Cut>) {
    let (mut answers, mut back) = (server.try_clone().unwrap(), node.try_clone().unwrap());
    let is_cut = Arc::new(Mutex::new(false));
    let answering = is_cut.clone();
    thread::spawn(move || {
        let mut buffer = [0; 65_536];
        while let Ok(length @ 1..) = answers.read(&mut buffer) {
            let is_cut = *answering.lock().unwrap_or_else(PoisonError::into_inner);
            // The command tag that the server answers.
            if is_cut {
                if buffer[..length].windows(7).any(|bytes| bytes == b"COMMIT\0") {
                    break;
                }
            } else if back.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = back.shutdown(std::net::Shutdown::Both);
        let _ = answers.shutdown(std::net::Shutdown::Both);
    });
    let mut buffer = [0; 65_536];
    while let Ok(length @ 1..) = node.read(&mut buffer) {
        let bytes = &buffer[..length];
        if bytes.windows(7).any(|bytes| bytes == b"COMMIT\0") {
            let mut cut = shared.lock().unwrap_or_else(PoisonError::into_inner);
            match std::mem::replace(&mut *cut, Cut::Never) {
                Cut::Never => {}
                Cut::AfterCommit => {
                    *is_cut.lock().unwrap_or_else(PoisonError::into_inner) = true;
                }
                Cut::BeforeCommit => {
                    // A part of the flight arrives: the transaction stays open until the end.
                    let _ = server.write_all(&bytes[..length / 2]);
                    break;
                }
            }
        }
        if server.write_all(bytes).is_err() {
            break;
        }
    }
    if !*is_cut.lock().unwrap_or_else(PoisonError::into_inner) {
        let _ = node.shutdown(std::net::Shutdown::Both);
        let _ = server.shutdown(std::net::Shutdown::Both);
    }
}
