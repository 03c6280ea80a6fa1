//! How every door acquires: with patience for clients that poll, and a grant that is given
//! back unless its client gets it.

use leasehold_engine::{Acquire, Acquired, Outcome, Refusal, Span, Ticket};

use crate::app::App;
use crate::coordinator::{Undo, Wait};
use crate::error::ApiError;
use crate::origin::Origin;
use crate::places::{Caller, FIRST_PLACE_TTL, PLACE_TTL};

/// A place that a client has come back to. It is kept again unless the client is answered: it may
/// have been claimed by somebody who asked for the same, and hung up.
struct Claimed<'app> {
    app: &'app App,
    caller: Caller,
    place: Option<Ticket>,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let now = self.app.ledger().clock().now();
            self.app.places().keep(self.caller, place, now, FIRST_PLACE_TTL);
        }
    }
}

/// Acquires for a client that polls: refused at once the first time, held open in its place
/// from then on. It is known when it comes back by asking for the same.
pub(crate) async fn acquire(
    app: &App,
    origin: Origin,
    mut acquire: Acquire,
) -> Result<(Acquired, Undo), ApiError> {
    let (ledger, places) = (app.ledger(), app.places());
    let from = origin.address();
    let caller = places.caller(origin.peer, &acquire);
    acquire.origin = origin.said;
    let place = places.claim(caller, ledger.clock().now());
    let (span, ttl) = match place {
        Some(_) => (Span::from_seconds_f64(app.config().park_seconds), PLACE_TTL),
        None => (Span::ZERO, FIRST_PLACE_TTL),
    };
    let mut claimed = Claimed { app, caller, place };
    let wait = Wait { span, priority: 0, place, from };
    let (outcome, undo) = ledger.acquire(acquire, wait).await?.into_parts();
    claimed.place = None;
    let Outcome::Acquired(acquired) = outcome else { return Err(ApiError::Unexpected) };
    if let Acquired::Refused(Refusal { place: Some(place), .. }) = acquired
        && app.config().park_seconds > 0.0
    {
        places.keep(caller, place, ledger.clock().now(), ttl);
    }
    Ok((acquired, undo))
}
