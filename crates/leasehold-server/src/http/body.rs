//! Reads a request's body whole, bounded in size and in time.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::http::Error;

/// Larger bodies are refused.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// How long a body may take to arrive whole.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A body as it came. Handlers use it if they validate the path together with the body.
pub(crate) struct Raw {
    headers: HeaderMap,
    bytes: Bytes,
}

impl Raw {
    pub(crate) fn content_type(&self) -> Option<&str> {
        // A header that is no text names no known type.
        self.headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"))
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the body of a request. It may have at most `bytes_max` bytes.
    pub(crate) async fn read(request: Request, bytes_max: usize) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        // Refused by its Content-Length, before any of it has come.
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(Error::BodyTooLarge(bytes_max));
        }
        let body = Limited::new(body, bytes_max);
        let collected = tokio::time::timeout(BODY_TIMEOUT, body.collect())
            .await
            .map_err(|_| Error::BodyTimeout)?;
        let bytes = collected
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    Error::BodyTooLarge(bytes_max)
                } else {
                    Error::BodyBroken
                }
            })?
            .to_bytes();
        Ok(Self { headers: parts.headers, bytes })
    }
}

impl<S: Sync> FromRequest<S> for Raw {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        Self::read(request, BODY_BYTES_MAX).await
    }
}
