//! Requests as handlers want them: bodies and query strings that have been read and validated.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use leasehold_prefect::Body;

use crate::access::agent::PrefectClient;
use crate::app::App;
use crate::http::error::ApiError;

/// Larger bodies are refused.
const BODY_BYTES_MAX: usize = 1 << 20;
/// A body that has not come whole by then never will.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The first version whose server refuses to take or give back slots of no limit at all.
const NAMES_SOMETHING: [u64; 3] = [3, 9, 0];

/// A body that says what it must.
pub(crate) struct Valid<T>(pub(crate) T);

/// A query string that says what it must.
pub(crate) struct ValidQuery<T>(pub(crate) T);

/// A body as it came, for handlers whose path can be invalid too.
pub(crate) struct Raw {
    headers: HeaderMap,
    bytes: Bytes,
}

impl Raw {
    pub(crate) fn content_type(&self) -> Option<&str> {
        // Bytes that are no text name no type that we know.
        self.headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads a request whose body may have so many bytes.
    pub(crate) async fn read(request: Request, bytes_max: usize) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        // Refused by the length that it says, before anything of it has come.
        if body.size_hint().lower() > bytes_max as u64 {
            return Err(ApiError::BodyTooLarge(bytes_max));
        }
        let body = Limited::new(body, bytes_max);
        let collected = tokio::time::timeout(BODY_TIMEOUT, body.collect())
            .await
            .map_err(|_| ApiError::BodyTimeout)?;
        let bytes = collected
            .map_err(|error| {
                if error.is::<LengthLimitError>() {
                    ApiError::BodyTooLarge(bytes_max)
                } else {
                    ApiError::BodyBroken
                }
            })?
            .to_bytes();
        Ok(Self { headers: parts.headers, bytes })
    }
}

impl FromRequest<App> for Raw {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &App) -> Result<Self, ApiError> {
        Self::read(request, BODY_BYTES_MAX).await
    }
}

impl<T: Body> FromRequest<App> for Valid<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let raw = Raw::from_request(request, app).await?;
        let mut settings = app.config().bodies.clone();
        settings.may_name_nothing |= PrefectClient::of(&raw.headers).is_before(NAMES_SOMETHING);
        let body = T::from_bytes(raw.content_type(), raw.bytes(), &settings)?;
        Ok(Self(body))
    }
}

impl<T: Body> FromRequestParts<App> for ValidQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        // Pairs of text are there in whatever comes.
        let Query(pairs) = Query::try_from_uri(&parts.uri).map_err(|_| ApiError::Unexpected)?;
        Ok(Self(T::from_query(pairs, &app.config().bodies)?))
    }
}
