//! The bodies of errors that are no validation errors, in the words of the recorded server.

use std::borrow::Cow;

pub use leasehold_api::error::Detail;
use schemars::JsonSchema;
use serde::Serialize;

/// A failure of the server, or a request without credentials.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Exception {
    /// The sentence that clients show.
    pub exception_message: Cow<'static, str>,
}

impl Exception {
    /// A body with this sentence.
    #[must_use]
    pub fn new(exception_message: impl Into<Cow<'static, str>>) -> Self {
        Self { exception_message: exception_message.into() }
    }
}

/// Detail of the 404 of a global limit.
pub const LIMIT_NOT_FOUND: &str = "Concurrency Limit not found";
/// Detail of the 404 of a tag limit; its second word is small, unlike that of a global limit.
pub const TAG_LIMIT_NOT_FOUND: &str = "Concurrency limit not found";
/// Detail of the 410 of a renewal.
pub const LEASE_NOT_FOUND: &str = "Lease not found - it may have expired or been revoked";
/// Detail of the 423 of a global limit.
pub const LOCKED: &str = "Locked";
/// Detail of the 422 of an acquire that no release could ever satisfy.
pub const SLOTS_OVER_LIMIT: &str = "Slots requested is greater than the limit";
/// Detail of the 409 of a duplicate name and of a `null` in an update.
pub const INTEGRITY_CONFLICT: &str = "Data integrity conflict. This usually means a unique or \
     foreign key constraint was violated. See server logs for details.";
/// Message of the 401.
pub const UNAUTHORIZED: &str = "Unauthorized";
/// Message of the 500.
pub const INTERNAL_SERVER_ERROR: &str = "Internal Server Error";
/// Message of the 503.
pub const SERVICE_UNAVAILABLE: &str = "Service Unavailable";
