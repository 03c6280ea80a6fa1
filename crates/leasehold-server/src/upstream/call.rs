//! Requests of our own to the upstream: small ones, whose answers are read whole.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::error::UpstreamError;
use super::{Inner, Upstream, headers};
use crate::http::answer::APPLICATION_JSON;
use crate::ids;

/// How long an answer may take, with its body.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// A larger answer is none that we ask for.
const BODY_BYTES_MAX: usize = 16 << 20;
const CSRF_TOKEN: HeaderName = HeaderName::from_static("prefect-csrf-token");
const CSRF_CLIENT: HeaderName = HeaderName::from_static("prefect-csrf-client");

/// In whose name a request is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum By<'request> {
    /// With the credentials and all other headers of a client's request.
    Client(&'request HeaderMap),
    /// With the credentials of this server.
    Us,
}

/// An answer of the upstream, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.status, self.headers, self.body).into_response()
    }
}

/// Our own token against cross-site request forgery. The upstream asks each client for one, if it
/// asks at all.
#[derive(Debug)]
pub(super) struct OurCsrf {
    client: Uuid,
    token: Mutex<Option<HeaderValue>>,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

impl Default for OurCsrf {
    fn default() -> Self {
        Self { client: ids::random(), token: Mutex::default() }
    }
}

impl Answer {
    /// The body as JSON, or `null` if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Upstream {
    /// Sends a request and reads the answer. `path` has the query, and `body` is sent as JSON.
    ///
    /// # Errors
    ///
    /// If there is no answer within ten seconds. A status that is no success is no error.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        by: By<'_>,
    ) -> Result<Answer, UpstreamError> {
        self.call_within(CALL_TIMEOUT, (method, path), body, by).await
    }

    /// As [`call`](Self::call), with a time of its own.
    pub(crate) async fn call_within(
        &self,
        timeout: Duration,
        (method, path): (Method, &str),
        body: Option<&Value>,
        by: By<'_>,
    ) -> Result<Answer, UpstreamError> {
        let url = &self.0.url;
        let called = tokio::time::timeout(timeout, async {
            let is_write = ![Method::GET, Method::HEAD].contains(&method);
            let answer = self.call_once(&method, path, body, by).await?;
            let wants_token = answer.status == StatusCode::FORBIDDEN && is_write;
            if !wants_token || matches!(by, By::Client(_)) || !self.fetch_token().await? {
                return Ok(answer);
            }
            self.call_once(&method, path, body, by).await
        });
        called.await.unwrap_or_else(|_| {
            let silent = UpstreamError::silent(url, timeout);
            self.0.pulse.feel(url, Some(&silent));
            Err(silent)
        })
    }

    async fn call_once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        by: By<'_>,
    ) -> Result<Answer, UpstreamError> {
        let Inner { url, authorization, csrf, .. } = &*self.0;
        let mut request = Request::new(match body {
            Some(body) => Body::from(body.to_string()),
            None => Body::empty(),
        });
        *request.method_mut() = method.clone();
        *request.uri_mut() = path.parse().map_err(|_| UpstreamError::unaddressable(url))?;
        let headers = request.headers_mut();
        match by {
            By::Client(given) => *headers = headers::of_client(given),
            By::Us => {
                headers.extend(authorization.clone().map(|it| (header::AUTHORIZATION, it)));
                let token = csrf.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(token) = token {
                    headers.insert(CSRF_TOKEN, token);
                    headers.extend(csrf.client_header().map(|it| (CSRF_CLIENT, it)));
                }
            }
        }
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, APPLICATION_JSON);
        }
        let mut response = self.ask(request).await?;
        headers::for_client(&mut response);
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| UpstreamError::broken(url, error.to_string()))?;
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() })
    }

    /// Asks for a token of our own. `false` if the upstream wants none.
    async fn fetch_token(&self) -> Result<bool, UpstreamError> {
        let csrf = &self.0.csrf;
        let path = format!("/api/csrf-token?client={}", csrf.client);
        let answer = self.call_once(&Method::GET, &path, None, By::Us).await?;
        let Ok(Token { token }) = serde_json::from_slice(&answer.body) else { return Ok(false) };
        let token = HeaderValue::try_from(token).ok();
        let is_there = token.is_some();
        *csrf.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
        Ok(is_there)
    }
}

impl OurCsrf {
    /// The name under which we ask for tokens.
    pub(super) fn client(&self) -> Uuid {
        self.client
    }

    fn client_header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.client.to_string()).ok()
    }
}
