//! What becomes of a request that names a limit which the ledger does not have.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use leasehold_engine::Missing;

/// What becomes of names without a limit. They are skipped, unless the gateway routed the request
/// here because each of them is a limit of the ledger: one that left the ledger since then is the
/// upstream's again, and a grant without it would be one too many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unknown(pub(crate) Missing);

/// The request, which is refused if it names a limit that the ledger does not have.
pub(crate) fn refused(mut request: Request) -> Request {
    request.extensions_mut().insert(Unknown(Missing::Refuse));
    request
}

impl<S: Sync> FromRequestParts<S> for Unknown {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Self(Missing::Skip)))
    }
}
