//! A request about limits, read whole: it may go to both sides.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, RETRY_AFTER, TRANSFER_ENCODING};
use axum::http::request::Parts;
use axum::http::{StatusCode, response};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use leasehold_engine::TAG_PREFIX;
use serde_json::{Value, json};

use super::Gateway;
use crate::http;
use crate::http::body::Raw;

/// A larger answer is none about limits.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A request, read whole.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) parts: Parts,
    bytes: Bytes,
}

/// An answer, read whole.
pub(super) struct Told {
    parts: response::Parts,
    bytes: Bytes,
}

impl Gateway {
    /// The upstream's answer to a request, read whole.
    pub(super) async fn theirs(&self, request: Request) -> Told {
        Told::read(self.upstream.pass(request).await).await
    }
}

impl Asked {
    pub(super) async fn read(request: Request, bytes_max: usize) -> Result<Self, http::Error> {
        let (mut parts, body) = request.into_parts();
        // An answer that is not compressed can be read.
        parts.headers.remove(ACCEPT_ENCODING);
        let raw = Raw::read(Request::from_parts(parts.clone(), body), bytes_max);
        let bytes = Bytes::copy_from_slice(raw.await?.bytes());
        Ok(Self { parts, bytes })
    }

    /// The request as it came.
    pub(super) fn again(&self) -> Request {
        Request::from_parts(self.parts.clone(), Body::from(self.bytes.clone()))
    }

    /// The request with another body.
    pub(super) fn with_body(&self, body: &Value) -> Request {
        let mut parts = self.parts.clone();
        parts.headers.remove(CONTENT_LENGTH);
        parts.headers.remove(TRANSFER_ENCODING);
        Request::from_parts(parts, Body::from(body.to_string()))
    }

    /// The request with these names instead of its own.
    pub(super) fn naming(&self, names: &[Arc<str>], are_tags: bool) -> Request {
        let mut body = self.json();
        let bare = |name: &Arc<str>| match name.strip_prefix(TAG_PREFIX) {
            Some(tag) if are_tags => tag.to_owned(),
            _ => (**name).to_owned(),
        };
        body["names"] = names.iter().map(bare).collect();
        self.with_body(&body)
    }

    /// The body as JSON, or `null` if it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// The names of limits in the body, each once. `None`: there is no such list, and the upstream
    /// says what is wrong.
    pub(super) fn names(&self, are_tags: bool) -> Option<Vec<Arc<str>>> {
        let body = self.json();
        let named = body.get("names")?.as_array()?;
        let mut names = Vec::with_capacity(named.len());
        for name in named {
            let name = name.as_str()?;
            let name: Arc<str> =
                if are_tags { format!("{TAG_PREFIX}{name}").into() } else { name.into() };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Some(names)
    }
}

impl Told {
    pub(super) async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(collected) => Self { parts, bytes: collected.to_bytes() },
            Err(error) => {
                let why = format!("the Prefect server broke off its answer: {error}");
                let (parts, _) = http::Error::BadGateway(why).into_response().into_parts();
                Self { parts, bytes: Bytes::new() }
            }
        }
    }

    pub(super) fn is_success(&self) -> bool {
        self.parts.status.is_success()
    }

    pub(super) fn status(&self) -> StatusCode {
        self.parts.status
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// The answer with another body.
    pub(super) fn with_body(mut self, body: &Value) -> Response {
        self.parts.headers.remove(CONTENT_LENGTH);
        Response::from_parts(self.parts, Body::from(body.to_string()))
    }
}

impl IntoResponse for Told {
    fn into_response(self) -> Response {
        Response::from_parts(self.parts, Body::from(self.bytes))
    }
}

/// The answer to a request that was held for too long.
pub(super) fn still_moving() -> Response {
    let detail = json!({"detail": "One of these limits is moving between servers. Ask again."});
    let mut response = http::answer::json(StatusCode::SERVICE_UNAVAILABLE, &detail);
    response.headers_mut().insert(RETRY_AFTER, 1.into());
    response
}
