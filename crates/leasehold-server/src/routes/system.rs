//! What clients ask about the server itself.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use leasehold_api::system::CsrfTokenFor;
use serde_json::json as value;

use super::{Routes, otherwise};
use crate::app::App;
use crate::error::{ApiError, json};
use crate::extract::ValidQuery;

/// The version of the API that we speak.
const API_VERSION: &str = "0.8.4";
/// The version of the server whose contract we keep.
const SERVER_VERSION: [u64; 3] = [3, 8, 8];

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
/// than its server warns about it.
async fn admin_version(headers: HeaderMap) -> Response {
    let client =
        headers.get(header::USER_AGENT).and_then(|agent| prefect_version(agent.to_str().ok()?));
    let version = match client {
        Some(client) if client[0] == SERVER_VERSION[0] => client.max(SERVER_VERSION),
        Some(_) | None => SERVER_VERSION,
    };
    let [major, minor, patch] = version;
    json(StatusCode::OK, &format!("{major}.{minor}.{patch}"))
}

/// The version in `prefect/3.8.8 (API 0.8.4)`, without suffixes such as `rc1`.
fn prefect_version(agent: &str) -> Option<[u64; 3]> {
    let version = agent.strip_prefix("prefect/")?.split([' ', '+']).next()?;
    let mut numbers = version.split('.').map(|part| part.parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

async fn admin_storage() -> Response {
    json(StatusCode::OK, &value!({"default_result_storage_block_id": null}))
}

async fn csrf_token(
    State(app): State<App>,
    ValidQuery(asked): ValidQuery<CsrfTokenFor>,
) -> Result<Response, ApiError> {
    let csrf = app.gate().csrf().ok_or(ApiError::CsrfDisabled)?;
    Ok(json(StatusCode::OK, &csrf.issue(&asked.client, app.ledger().clock().now())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_client_is_read_from_its_agent() {
        assert_eq!(prefect_version("prefect/3.9.12 (API 0.8.4)"), Some([3, 9, 12]));
        assert_eq!(prefect_version("prefect/3.9.12+3.gabc (API 0.8.4)"), Some([3, 9, 12]));
        assert_eq!(prefect_version("prefect/3.9.0rc1"), None);
        assert_eq!(prefect_version("python-httpx/0.28.1"), None);
    }
}
