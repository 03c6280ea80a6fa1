//! The paths of the native door: `/api/leases` and `/api/leasehold`.

use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::MethodRouter;
use http_body::Body as _;

use crate::app::App;
use crate::doors::native::error::Error;

/// Whether a path is one of this door.
pub(crate) fn is_native(path: &str) -> bool {
    let within = |base: &str| {
        path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    within("/api/leases") || within("/api/leasehold")
}

/// Refuses bodies whose `Content-Type` is not JSON: `curl -d` names another one by default.
pub(crate) fn json_only(methods: MethodRouter<App>) -> MethodRouter<App> {
    methods.layer(from_fn(async |request: Request, next: Next| match other_media_type(&request) {
        Some(media_type) => Error::MediaType(media_type).into_response(),
        None => next.run(request).await,
    }))
}

/// The `Content-Type` of a body, if it is not JSON. A body without one is read as JSON.
fn other_media_type(request: &Request) -> Option<String> {
    if request.body().is_end_stream() {
        return None;
    }
    let said = request.headers().get(CONTENT_TYPE)?.to_str().unwrap_or("?");
    (!leasehold_prefect::is_json(Some(said))).then(|| said.to_owned())
}
