//! Bodies and query strings, read as the recorded server reads them.

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use leasehold_prefect::Body;

use crate::access::agent::PrefectClient;
use crate::app::App;
use crate::doors::prefect::error::Error;
use crate::http::body::Raw;

/// The first version whose server refuses a request for slots that names no limit.
const NAMES_SOMETHING: [u64; 3] = [3, 9, 0];

/// A valid body.
pub(crate) struct Valid<T>(pub(crate) T);

/// A valid query string.
pub(crate) struct ValidQuery<T>(pub(crate) T);

impl<T: Body> FromRequest<App> for Valid<T> {
    type Rejection = Error;

    async fn from_request(request: Request, app: &App) -> Result<Self, Error> {
        let raw = Raw::from_request(request, app).await?;
        let mut settings = app.config().bodies.clone();
        settings.may_name_nothing |= PrefectClient::of(raw.headers()).is_before(NAMES_SOMETHING);
        Ok(Self(T::from_bytes(raw.content_type(), raw.bytes(), &settings)?))
    }
}

impl<T: Body> FromRequestParts<App> for ValidQuery<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        // Cannot fail: every query string parses into pairs of text.
        let Query(pairs) = Query::try_from_uri(&parts.uri).map_err(|_| Error::UNEXPECTED)?;
        Ok(Self(T::from_query(pairs, &app.config().bodies)?))
    }
}
