//! How every door acquires: with patience for clients that poll, and a grant that is given
//! back unless its client gets it.

pub(crate) mod lease_id;
pub(crate) mod near_names;
pub(crate) mod polling;
pub(crate) mod retry;

use std::borrow::Cow;

use axum::http::HeaderValue;
use leasehold_engine::{Acquire, Acquired, Hold, Outcome, Refusal, Span, Ticket};
use leasehold_node::{Undo, Wait};

use crate::access::identity::ClientId;
use crate::access::origin::Origin;
use crate::acquire::polling::{Caller, Kept, Standing};
use crate::app::App;
use crate::http::error::ApiError;
use crate::liveness::joins;

/// Which door is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// That of all limits. A refusal there may be what its client wanted to know.
    Limits,
    /// That of tags, whose clients always wait.
    Tags,
}

/// How a client is asked to come back.
#[derive(Debug)]
pub(crate) struct ComeBack {
    /// After how many seconds.
    pub(crate) after_seconds: f64,
    /// The cookie that it is known by then.
    pub(crate) cookie: Option<HeaderValue>,
}

/// A place that a client has come back to. It is kept again unless the client is answered: a
/// connection that broke is made anew.
struct Claimed<'app> {
    app: &'app App,
    caller: Caller,
    place: Option<Ticket>,
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.place {
            self.app.places().keep(
                self.caller,
                Kept {
                    ticket,
                    // It may have been granted, and be given back.
                    lease: None,
                    // Its client may have given up, and try a lock next.
                    standing: Standing::Refused { early: 0 },
                    refused_at: self.app.ledger().clock().now(),
                    asked: Span::ZERO,
                },
            );
        }
    }
}

/// Acquires for a client that polls: refused at once until it has shown that it waits, held open in
/// its place from then on. A refusal says `sentence`.
pub(crate) async fn acquire(
    app: &App,
    door: Door,
    origin: Origin,
    mut acquire: Acquire,
    sentence: impl FnOnce(&Refusal) -> Cow<'static, str>,
) -> Result<(Acquired, Undo), ApiError> {
    let (ledger, places) = (app.ledger(), app.places());
    let from = origin.counted();
    let mut caller = places.caller(origin.peer, origin.identity, &acquire);
    acquire.origin = origin.said;
    let expected = joins::expected(&acquire);
    let wants = acquire.wants.clone();
    let mut visit = places.claim(caller, ledger.clock().now());
    let span = match visit.standing {
        Standing::Proven => Span::from_seconds_f64(app.config().park_seconds),
        Standing::Tested | Standing::Refused { .. } => Span::ZERO,
    };
    if let (Hold::Lease { id, .. } | Hold::Holder { id, .. }, Some(lease)) =
        (&mut acquire.hold, visit.lease)
    {
        *id = lease;
    }
    let lease = acquire.hold.lease();
    let mut claimed = Claimed { app, caller, place: visit.place };
    if span > Span::ZERO {
        joins::recorded::identify(app, &mut acquire).await;
    }
    let wait = Wait { span, priority: 0, place: visit.place };
    let (outcome, undo) = app.acquire(acquire, wait, from).await?.into_parts();
    claimed.place = None;
    let Outcome::Acquired(acquired) = outcome else { return Err(ApiError::Unexpected) };
    if let Acquired::Granted(grant) = &acquired {
        near_names::look_for(app, &wants, grant);
        if let Some((holder, origin)) = expected {
            app.joins().granted(grant, holder, origin, ledger.clock().now());
        }
    }
    let Acquired::Refused(refusal) = acquired else { return Ok((acquired, undo)) };

    let are_cookies_lost = places.refuse(caller, &mut visit, ledger.clock().now());
    if are_cookies_lost && app.notices().is_new(("cookies", from), ledger.clock().now()) {
        let address = from.map(tracing::field::display);
        tracing::info!(
            address,
            "no client comes back with the cookie that its refusal gave it. If these clients wait, \
             a proxy drops cookies, and they poll: let it pass Cookie and Set-Cookie"
        );
    }
    let after_seconds = match door {
        Door::Limits => retry::after_seconds(&refusal, app.config(), app.holds_open(from), &visit),
        Door::Tags => retry::after_seconds_of_tags(app.config(), app.holds_open(from)),
    };
    let mut cookie = None;
    if let Some(ticket) = refusal.place
        && app.config().park_seconds > 0.0
    {
        if origin.identity.client.is_none() {
            let (client, given) = ClientId::new();
            cookie = given;
            caller = places.known_as(caller, client);
        }
        let standing = if door == Door::Tags { Standing::Proven } else { visit.standing };
        let refused_at = ledger.clock().now();
        let asked = Span::from_seconds_f64(after_seconds);
        places.keep(caller, Kept { ticket, lease, standing, refused_at, asked });
    }
    Err(ApiError::Locked(sentence(&refusal), Some(ComeBack { after_seconds, cookie })))
}
