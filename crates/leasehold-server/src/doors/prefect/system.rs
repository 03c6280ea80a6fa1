//! What clients ask about the server itself.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use leasehold_api::system::CsrfTokenFor;
use serde_json::json as value;

use crate::access::agent::PrefectClient;
use crate::access::csrf::CLIENT_CHARS_MAX;
use crate::app::App;
use crate::doors::{Routes, otherwise};
use crate::http::error::{ApiError, json};
use crate::http::extract::ValidQuery;

/// The version of the API that we speak.
const API_VERSION: &str = "0.8.4";
/// The version of the server whose contract we keep.
const SERVER_VERSION: [u64; 3] = [3, 9, 1];
/// Newer than any client of the same major, to clients that do not name a version to compare with.
const NEWEST_VERSION: [u64; 3] = [SERVER_VERSION[0], 999, 0];

pub(super) fn add(routes: Routes) -> Routes {
    let only = |handler: MethodRouter<App>| otherwise("GET", handler);
    routes
        .add("/api/health", only(get(|| async { json(StatusCode::OK, &true) })))
        .add("/api/ready", only(get(|| async { json(StatusCode::OK, &value!({"message": "OK"})) })))
        .add("/api/hello", only(get(|| async { json(StatusCode::OK, &"👋") })))
        .add("/api/version", only(get(|| async { json(StatusCode::OK, &API_VERSION) })))
        .add("/api/admin/version", only(get(admin_version)))
        .add("/api/admin/storage", only(get(admin_storage)))
        .add("/api/csrf-token", only(get(csrf_token)))
}

/// At least the client's own version, as long as that has our major: a client that is newer
/// than its server warns about it, and one of another major ends.
///
/// A client from 3.9 on asks once a process, and mostly with the plain agent of its HTTP library,
/// before it opens a WebSocket. Its address tells nothing: clients of several versions share one
/// behind a proxy. So a request that names no version is answered the newest.
async fn admin_version(client: PrefectClient) -> Response {
    let version = match client.version {
        // A suffix can make a version newer than its three numbers, as in `3.9.1.post1`.
        Some(version) if version[0] == SERVER_VERSION[0] && client.has_suffix => NEWEST_VERSION,
        Some(version) if version[0] == SERVER_VERSION[0] => version.max(SERVER_VERSION),
        Some(_) => SERVER_VERSION,
        None => NEWEST_VERSION,
    };
    let [major, minor, patch] = version;
    json(StatusCode::OK, &format!("{major}.{minor}.{patch}"))
}

async fn admin_storage() -> Response {
    json(StatusCode::OK, &value!({"default_result_storage_block_id": null}))
}

async fn csrf_token(
    State(app): State<App>,
    ValidQuery(asked): ValidQuery<CsrfTokenFor>,
) -> Result<Response, ApiError> {
    let csrf = app.gate().csrf().ok_or(ApiError::CsrfDisabled)?;
    if asked.client.chars().count() > CLIENT_CHARS_MAX {
        return Err(ApiError::ClientNameTooLong(CLIENT_CHARS_MAX));
    }
    Ok(json(StatusCode::OK, &csrf.issue(&asked.client, app.ledger().clock().now())))
}
