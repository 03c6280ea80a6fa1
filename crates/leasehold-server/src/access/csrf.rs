//! Tokens against cross-site request forgery, one for each client.
//!
//! They live in memory: after a restart a client's next write is refused, and the client
//! fetches a new token, as it does after an hour anyway.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use leasehold_engine::{Span, Timestamp};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::ids;

/// How long a token is valid.
const TOKEN_TTL: Span = Span::from_seconds(3_600);
/// More clients than this, and the one that came first has to come again.
const CLIENTS_MAX: usize = 10_000;

/// Clients of Prefect call themselves by a UUID; what is longer is not kept.
pub(crate) const CLIENT_CHARS_MAX: usize = 200;

/// The tokens that are valid.
#[derive(Debug, Default)]
pub(crate) struct CsrfTokens(Mutex<Tokens>);

#[derive(Debug, Default)]
struct Tokens {
    by_client: HashMap<String, Token>,
    order: VecDeque<String>,
}

/// A token of one client.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) id: Uuid,
    pub(crate) created: Timestamp,
    pub(crate) token: String,
    pub(crate) expires: Timestamp,
}

impl CsrfTokens {
    /// A new token for a client; its old one is void.
    pub(crate) fn issue(&self, client: &str, now: Timestamp) -> Token {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, created) = match tokens.by_client.get(client) {
            Some(known) => (known.id, known.created),
            None => {
                tokens.order.push_back(client.to_owned());
                (ids::random(), now)
            }
        };
        let token = format!("{}{}", ids::random().simple(), ids::random().simple());
        let expires = now + TOKEN_TTL;
        let issued = Token { id, created, token, expires };
        tokens.by_client.insert(client.to_owned(), issued.clone());
        if tokens.order.len() > CLIENTS_MAX
            && let Some(first) = tokens.order.pop_front()
        {
            tokens.by_client.remove(&first);
        }
        issued
    }

    /// Whether this is the client's token, and still valid.
    pub(crate) fn is_valid(&self, client: &str, token: &str, now: Timestamp) -> bool {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.by_client.get(client).is_some_and(|known| {
            known.expires > now && bool::from(known.token.as_bytes().ct_eq(token.as_bytes()))
        })
    }
}
