//! Tokens against cross-site request forgery, one for each client.
//!
//! They live in memory. After a restart the server refuses a client's next write, and the client
//! fetches a new token, as it does anyway after an hour.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use leasehold_engine::{Span, Timestamp};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::ids;

/// How long a token is valid.
const TOKEN_TTL: Span = Span::from_seconds(3_600);
/// How many clients may have a token. With more, the client that came first loses its token.
const CLIENTS_MAX: usize = 10_000;

/// How long the name of a client may be. Prefect's clients use a UUID.
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
    /// Issues a token for a client. It replaces the client's old one.
    pub(crate) fn issue(&self, client: &str, now: Timestamp) -> Token {
        let token = format!("{}{}", ids::random().simple(), ids::random().simple());
        self.accept(client, token, now)
    }

    /// Accepts a token that another server has issued. It replaces the client's old one.
    pub(crate) fn accept(&self, client: &str, token: String, now: Timestamp) -> Token {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, created) = match tokens.by_client.get(client) {
            Some(known) => (known.id, known.created),
            None => {
                tokens.order.push_back(client.to_owned());
                (ids::random(), now)
            }
        };
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

    /// Whether this is the client's token and has not expired.
    pub(crate) fn is_valid(&self, client: &str, token: &str, now: Timestamp) -> bool {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.by_client.get(client).is_some_and(|known| {
            known.expires > now && bool::from(known.token.as_bytes().ct_eq(token.as_bytes()))
        })
    }
}
