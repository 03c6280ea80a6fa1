//! The paths that are ours alone, `/api/leases` and `/api/leasehold`: every error there has one
//! shape. It is an object whose `detail` is a sentence; what a program can use stands beside it.
//! The paths of the recorded API keep their own shapes, to the byte.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use http_body::Body as _;
use serde_json::{Map, Value};

use crate::app::App;
use crate::http::error::ApiError;

/// No error of ours is longer: a body of a megabyte is echoed once.
const ERROR_BYTES_MAX: usize = 1 << 24;
/// So many of the things that are wrong with a request are in the sentence.
const TOLD_MAX: usize = 3;

/// Whether a path is ours alone.
pub(crate) fn is_ours(path: &str) -> bool {
    let within = |base: &str| {
        path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    within("/api/leases") || within("/api/leasehold")
}

/// Gives the errors of a path the shape of ours, and refuses bodies that say that they are no JSON:
/// `curl -d` does, unless it is told.
pub(crate) fn ours(methods: MethodRouter<App>) -> MethodRouter<App> {
    methods.layer(from_fn(async |request: Request, next: Next| {
        let response = match other_media_type(&request) {
            Some(media_type) => ApiError::MediaType(media_type).into_response(),
            None => next.run(request).await,
        };
        with_detail(response).await
    }))
}

/// What a body says that it is, if that is not JSON. One that says nothing is read as JSON.
fn other_media_type(request: &Request) -> Option<String> {
    if request.body().is_end_stream() {
        return None;
    }
    let said = request.headers().get(CONTENT_TYPE)?.to_str().unwrap_or("?");
    (!leasehold_prefect::is_json(Some(said))).then(|| said.to_owned())
}

/// The answer, with a `detail` if it is an error without one.
pub(crate) async fn with_detail(response: Response) -> Response {
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, ERROR_BYTES_MAX).await else {
        return ApiError::Unexpected.into_response();
    };
    let bytes = match serde_json::from_slice(&bytes) {
        Ok(Value::Object(fields)) if !fields.contains_key("detail") => {
            let mut whole = Map::new();
            whole.insert("detail".to_owned(), sentence(&fields).into());
            whole.extend(fields);
            parts.headers.remove(CONTENT_LENGTH);
            Value::from(whole).to_string().into()
        }
        _ => bytes,
    };
    Response::from_parts(parts, Body::from(bytes))
}

/// What an error in one of the recorded shapes says, as a sentence.
fn sentence(fields: &Map<String, Value>) -> String {
    let Some(Value::Array(faults)) = fields.get("exception_detail") else {
        let message = fields.get("exception_message").and_then(Value::as_str);
        return message.unwrap_or("The request failed.").to_owned();
    };
    let mut told: Vec<_> = faults.iter().take(TOLD_MAX).map(fault).collect();
    if let Some(more) = faults.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
        told.push(format!("and {more} more"));
    }
    told.join("; ")
}

/// `body.limits.0.name: Field required`
fn fault(fault: &Value) -> String {
    let steps = fault["loc"].as_array().into_iter().flatten();
    let steps = steps.map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned));
    let place = steps.collect::<Vec<_>>().join(".");
    format!("{place}: {}", fault["msg"].as_str().unwrap_or_default())
}
