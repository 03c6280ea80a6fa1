//! What machines that watch the server ask for: `GET /metrics`.

mod metrics;
mod process;
mod write;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use self::metrics::Metrics;
use crate::app::App;
use crate::doors::routes::Routes;
use crate::http::Error;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The path of the figures.
pub(crate) const METRICS: &str = "/metrics";

/// Adds the routes of this door.
pub(crate) fn add(routes: Routes) -> Routes {
    routes.add_page(METRICS, get(metrics))
}

/// All figures, in OpenMetrics.
async fn metrics(State(app): State<App>) -> Result<Response, Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Metrics::read(&app).await?));
    let mut text = String::new();
    if encode(&mut text, &registry).is_err() {
        tracing::error!("the figures could not be written");
        return Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response());
    }
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}
