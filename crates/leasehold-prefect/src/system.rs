//! Requests about the server itself.

use leasehold_api::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::declaration::body;
use crate::rule::TEXT;

body! {
    /// A request for a CSRF token.
    pub struct CsrfTokenFor: Parameters {
        /// The client's own id.
        pub client: String = required(TEXT);
    }
}

/// A token that allows writes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CsrfToken {
    /// Its id.
    pub id: Uuid,
    /// When its client first asked for a token.
    pub created: Timestamp,
    /// When it was made.
    pub updated: Timestamp,
    /// The token.
    pub token: String,
    /// The client's own id.
    pub client: String,
    /// When it ends.
    pub expiration: Timestamp,
}
