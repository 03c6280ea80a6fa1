//! `/ready`: which half of the server is ill, ours or the upstream.

use std::time::Duration;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use axum::routing::get;
use leasehold_engine::LeaseId;
use serde::Serialize;

use crate::app::App;
use crate::doors::routes::Routes;
use crate::http::answer::json;
use crate::upstream::{By, Upstream, UpstreamError};

/// How long the upstream may take to say that it is well. Balancers wait no longer either, so one
/// that is slow is judged by what it answered lately.
const PATIENCE: Duration = Duration::from_secs(1);
const WELL: &str = "ok";

/// How both halves are: `ok`, or what is wrong.
#[derive(Serialize)]
struct Readiness {
    leasehold: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<String>,
}

pub(super) fn add(routes: Routes) -> Routes {
    routes.add_page("/ready", get(ready))
}

/// 200 if limits and leases are served, whatever becomes of the upstream: a balancer that asks here
/// must not take this half away when the other one is ill.
async fn ready(State(app): State<App>) -> Response {
    let ours = app.ledger().lease(LeaseId(0)).await;
    let upstream = match app.upstream() {
        Some(upstream) => Some(health(upstream).await),
        None => None,
    };
    let status = if ours.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let leasehold = ours.err().map_or_else(|| WELL.to_owned(), |error| error.to_string());
    json(status, &Readiness { leasehold, upstream })
}

async fn health(upstream: &Upstream) -> String {
    let asked = (Method::GET, "/api/health");
    match upstream.call_within(PATIENCE, asked, None, By::Us).await {
        Ok(answer) if answer.status.is_success() => WELL.to_owned(),
        Ok(answer) => format!("{} answers {} to /api/health", upstream.url(), answer.status),
        Err(UpstreamError::Silent { .. }) if upstream.has_answered_lately() => WELL.to_owned(),
        Err(error) => error.to_string(),
    }
}
