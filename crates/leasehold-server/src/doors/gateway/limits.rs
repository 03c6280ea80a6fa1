//! The paths of limits, which this server and the upstream share. Ownership goes by limit.

use axum::extract::Request;
use axum::response::Response;

use super::{Gateway, pass};

/// Answers a request about limits. All limits are still the upstream's.
pub(super) async fn limits(gateway: &Gateway, request: Request) -> Response {
    pass::pass(gateway, request).await
}
