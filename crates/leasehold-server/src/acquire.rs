//! How every door acquires: with patience for clients that poll, and a grant that is given
//! back unless its client gets it.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use leasehold_engine::{Acquire, Acquired, Outcome, Refusal, Span};

use crate::app::App;
use crate::coordinator::{Undo, Wait};
use crate::error::ApiError;
use crate::places::Peer;

/// Where a request came from, if that is known.
pub(crate) struct Origin(Option<Peer>);

impl FromRequestParts<App> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get().copied()))
    }
}

/// Acquires for a client that polls: refused at once the first time, held open in its place
/// from then on. It is known when it comes back by asking for the same.
pub(crate) async fn acquire(
    app: &App,
    origin: Origin,
    acquire: Acquire,
) -> Result<(Acquired, Undo), ApiError> {
    let ledger = app.ledger();
    let caller = app.places().caller(origin.0, &acquire);
    let place = app.places().claim(caller, ledger.clock().now());
    let span = match place {
        Some(_) => Span::from_seconds_f64(app.config().park_seconds),
        None => Span::ZERO,
    };
    let (outcome, undo) =
        ledger.acquire(acquire, Wait { span, priority: 0, place }).await?.into_parts();
    let Outcome::Acquired(acquired) = outcome else { return Err(ApiError::Unexpected) };
    if let Acquired::Refused(Refusal { place: Some(place), .. }) = acquired
        && app.config().park_seconds > 0.0
    {
        app.places().keep(caller, place, ledger.clock().now());
    }
    Ok((acquired, undo))
}
