//! Deployments that refer to a limit of ours.
//!
//! The upstream takes slots of a deployment's limit when it starts a run, and both sides would
//! grant the limit. Such a deployment is refused. The limit is not given back silently: its holders
//! would change sides because somebody saved a form.

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use leasehold_prefect::error::Detail;
use serde_json::Value;
use uuid::Uuid;

use super::Gateway;
use super::asked::Asked;
use super::paths::decoded;
use crate::http::answer::json;

/// A deployment has the schema of its parameters with it.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Whether a request creates or changes a deployment.
pub(super) fn is_write(method: &Method, path: &str) -> bool {
    let path = decoded(path);
    let Some(rest) = path.strip_prefix("/api/deployments") else { return false };
    match rest.trim_matches('/') {
        "" => *method == Method::POST,
        rest => *method == Method::PATCH && !rest.contains('/'),
    }
}

/// Passes it on, unless it refers to a limit of ours.
pub(super) async fn pass(gateway: &Gateway, request: Request) -> Response {
    let asked = match Asked::read(request, BODY_BYTES_MAX).await {
        Ok(asked) => asked,
        Err(error) => return error.into_response(),
    };
    match refuse(gateway, &asked.json()) {
        Some(refused) => refused,
        None => gateway.upstream.pass(asked.again()).await,
    }
}

fn refuse(gateway: &Gateway, body: &Value) -> Option<Response> {
    let id = body["global_concurrency_limit_id"].as_str()?.parse::<Uuid>().ok()?;
    let name = gateway.migration.ours_with_id(id)?;
    let detail = format!(
        "The concurrency limit '{name}' is granted by Leasehold, and the Prefect server enforces \
         the limits of deployments. Give it back first: leasehold migrate prefect rollback \
         '{name}'"
    );
    Some(json(StatusCode::CONFLICT, &Detail::new(detail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_creations_and_changes_name_a_limit() {
        assert!(is_write(&Method::POST, "/api/deployments/"));
        assert!(is_write(&Method::PATCH, "/api/deployments/5c1b"));
        assert!(is_write(&Method::POST, "/api/deployment%73/"));
        assert!(!is_write(&Method::POST, "/api/deployments/filter"));
        assert!(!is_write(&Method::GET, "/api/deployments/5c1b"));
        assert!(!is_write(&Method::PATCH, "/api/deployments/5c1b/schedules"));
    }
}
