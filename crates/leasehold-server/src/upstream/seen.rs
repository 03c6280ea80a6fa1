//! What the upstream said last of itself. It is repeated while the upstream is down: clients ask
//! for it before they ask for any limit.

use std::sync::{Mutex, PoisonError};

use super::Answer;

/// What the upstream said last of itself.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    version: Mutex<Option<Answer>>,
}

impl Seen {
    /// Remembers its version.
    pub(crate) fn note_version(&self, answer: Answer) {
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    /// Its version, if it has said it.
    pub(crate) fn version(&self) -> Option<Answer> {
        self.version.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
