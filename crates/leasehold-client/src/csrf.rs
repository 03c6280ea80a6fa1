//! The token that a server with `--csrf-protection` wants with each write. It is asked for when a
//! write is refused without one: most servers want none.

use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use uuid::Uuid;

use crate::answer::Answer;

pub(crate) const TOKEN_HEADER: &str = "Prefect-Csrf-Token";
pub(crate) const CLIENT_HEADER: &str = "Prefect-Csrf-Client";

/// The last token, and the name that the client gives itself for it.
pub(crate) struct Csrf {
    client: String,
    token: Mutex<Option<String>>,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

impl Csrf {
    pub(crate) fn new() -> Self {
        Self { client: Uuid::new_v4().to_string(), token: Mutex::new(None) }
    }

    pub(crate) fn client(&self) -> &str {
        &self.client
    }

    pub(crate) fn token(&self) -> Option<String> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn path(&self) -> String {
        format!("/csrf-token?client={}", self.client)
    }

    /// Takes the token from an answer. `false` if it has none.
    pub(crate) fn learn(&self, answer: &Answer) -> bool {
        let read = answer.read::<Token>().ok().filter(|_| answer.is_success());
        let is_learnt = read.is_some();
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = read.map(|read| read.token);
        is_learnt
    }
}

/// Whether the server refused a write because its token was missing or is no longer valid.
pub(crate) fn is_refusal(answer: &Answer) -> bool {
    answer.status == 403 && String::from_utf8_lossy(&answer.body).contains("CSRF token")
}
