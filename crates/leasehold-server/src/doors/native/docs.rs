//! `/docs`: a page that shows the API to a person. It is one file. It loads nothing from elsewhere
//! and reads `/api/openapi.json` in the browser. The links to runs that clients print redirect to
//! the records of these runs.

use axum::extract::Path;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use uuid::Uuid;

use crate::doors::native::error::Error;
use crate::doors::routes::{Routes, redirect};
use crate::ids;

const PATH: &str = "/docs";
const PAGE: &str = include_str!("docs/page.html");
/// The placeholder in the page for the nonce of its script and its style.
const NONCE: &str = "NONCE";

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add_page("/runs/flow-run/{id}", get(flow_run))
        .add_page("/flow-runs/flow-run/{id}", get(flow_run))
        .add_page(PATH, get(page))
        .add_page("/docs/", any(redirect))
}

/// The link "View at …" of a flow run, as clients of version 3 and of earlier versions print it.
async fn flow_run(Path(id): Path<String>) -> Result<Response, Error> {
    let id = id.parse::<Uuid>().map_err(|_| Error::PATH_NOT_FOUND)?;
    let record = format!("/api/flow_runs/{id}");
    Ok((StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, record)]).into_response())
}

/// The page. Its policy admits only its own script and style, and requests only to this server.
async fn page() -> Response {
    let nonce = ids::random().simple();
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
         img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let mut response = Html(PAGE.replace(NONCE, &nonce.to_string())).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let fixed: [(HeaderName, &'static str); 3] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_page_runs_only_its_own_script_and_loads_nothing_from_elsewhere() {
        let response = page().await;
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(PAGE.matches(NONCE).count(), 2, "one script and one style");
        assert!(!PAGE.contains("://"), "an address of somewhere else");
        assert!(!PAGE.contains("innerHTML"), "text must stay text");
    }

    #[tokio::test]
    async fn a_nonce_is_used_once() {
        let policy = async || page().await.headers()[header::CONTENT_SECURITY_POLICY].clone();
        assert_ne!(policy().await, policy().await);
    }
}
