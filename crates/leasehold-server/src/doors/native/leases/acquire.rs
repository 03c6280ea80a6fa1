//! A new lease. The server holds a waiting request open until it grants or refuses it, or until
//! `wait_seconds` are over.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_api::leases::NewLease;
use leasehold_engine::{Acquired, MinimalLimit, Repeated, Span};
use leasehold_node::Wait;
use uuid::Uuid;

use crate::access::origin::Origin;
use crate::acquire::lease_id;
use crate::acquire::retry;
use crate::app::App;
use crate::doors::native::convert as leases;
use crate::doors::native::error::Error;
use crate::doors::native::extract::Valid;
use crate::http;
use crate::http::answer::json;
use crate::http::grant::granted_as;

pub(super) async fn acquire(
    State(app): State<App>,
    origin: Origin,
    Valid(asked): Valid<NewLease>,
) -> Result<Response, Error> {
    let span = Span::from_seconds_f64(asked.wait_seconds);
    let wait = Wait { span, priority: asked.priority, place: None };
    let acquire = leases::acquire(&asked, origin.said.clone());
    let wants = acquire.wants.clone();
    let (acquired, undo) = app.acquirer().wait(acquire, wait, origin.counted()).await?;
    match acquired {
        Acquired::Granted(grant) => {
            app.acquirer().near_names().look_up(&wants, &grant);
            let now = app.ledger().clock().now();
            let lease = leases::granted(&grant, asked, origin.said.as_deref(), now);
            Ok(granted_as(StatusCode::CREATED, &lease, undo))
        }
        Acquired::Repeated(repeated) => again(repeated, asked),
        Acquired::Refused(refusal) => {
            let seconds = retry::polling_seconds(&refusal, app.config());
            Err(Error::NoRoom(leases::no_room(&refusal, seconds)))
        }
        Acquired::Missing(names) => Err(Error::LimitsMissing(leases::missing(&names))),
        Acquired::TooManySlots(limit) => Err(never_room(&limit, &asked)),
        Acquired::NotRateLimits(names) => Err(Error::NotRateLimits(names.join(","))),
        Acquired::Elsewhere(names) => Err(Error::Http(http::Error::Elsewhere(names))),
        Acquired::Queued(_) => Err(Error::UNEXPECTED),
    }
}

/// The answer to a request whose key was used before.
fn again(repeated: Repeated, asked: NewLease) -> Result<Response, Error> {
    let key = asked.idempotency_key.unwrap_or_default();
    match repeated {
        Repeated::Same(view) => Ok(json(StatusCode::OK, &leases::lease(&view))),
        Repeated::Different => Err(Error::KeyOfAnother(key)),
        Repeated::Ended(gone) => {
            let id = Uuid::from_u128(lease_id::of_key(&key).0);
            Err(Error::LeaseEnded(leases::ended(id, &gone)))
        }
    }
}

fn never_room(limit: &MinimalLimit, asked: &NewLease) -> Error {
    let MinimalLimit { name, slots, .. } = limit;
    let mut wanted = asked.limits.iter().filter(|wanted| *wanted.name == **name);
    // A limit that was renamed while the request waited has no longer the name in the request.
    let most = asked.limits.iter().map(|wanted| wanted.slots).max().unwrap_or_default();
    let wanted = wanted.next().map_or(most, |wanted| wanted.slots);
    Error::NeverRoom((**name).to_owned(), *slots, wanted)
}
