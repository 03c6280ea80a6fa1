//! Why the upstream gave no answer.

use std::error::Error as _;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper_util::client::legacy::Error;

use crate::config::UpstreamUrl;
use crate::http;

/// Why the upstream gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum UpstreamError {
    /// There is no connection to it.
    #[error("the Prefect server at {url} cannot be reached: {cause}")]
    Unreachable { url: String, cause: String },
    /// A connection ended before the answer.
    #[error("the Prefect server at {url} broke off: {cause}")]
    Broken { url: String, cause: String },
    /// It is connected and says nothing.
    #[error("the Prefect server at {url} gave no answer within {seconds} s")]
    Silent { url: String, seconds: u64 },
    /// It is this server itself, or passes requests on to it.
    #[error(
        "the Prefect server at {url} passes requests on to this server again; give the address of \
         the Prefect server itself with --upstream"
    )]
    Loop { url: String },
    /// A path that cannot be asked for.
    #[error("the Prefect server at {url} cannot be asked for this path")]
    Unaddressable { url: String },
}

impl UpstreamError {
    pub(super) fn of(error: &Error, url: &UpstreamUrl) -> Self {
        let (url, mut cause) = (url.to_string(), error.to_string());
        // The innermost cause says what happened, and those around it where.
        let mut source = error.source();
        while let Some(inner) = source {
            cause = inner.to_string();
            source = inner.source();
        }
        match error.is_connect() {
            true => Self::Unreachable { url, cause },
            false => Self::Broken { url, cause },
        }
    }

    pub(crate) fn silent(url: &UpstreamUrl, timeout: Duration) -> Self {
        Self::Silent { url: url.to_string(), seconds: timeout.as_secs() }
    }

    pub(super) fn broken(url: &UpstreamUrl, cause: String) -> Self {
        Self::Broken { url: url.to_string(), cause }
    }

    pub(super) fn unaddressable(url: &UpstreamUrl) -> Self {
        Self::Unaddressable { url: url.to_string() }
    }
}

impl IntoResponse for UpstreamError {
    /// 502, which clients try again, in the shape that they know.
    fn into_response(self) -> Response {
        if matches!(self, Self::Loop { .. }) {
            return (StatusCode::LOOP_DETECTED, self.to_string()).into_response();
        }
        http::Error::BadGateway(self.to_string()).into_response()
    }
}
