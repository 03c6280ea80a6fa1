//! A new lease. A request that may wait is held open until it is granted, refused, or out of
//! patience.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_api::leases::NewLease;
use leasehold_engine::{Acquired, MinimalLimit, Outcome, Repeated, Span};
use leasehold_node::Wait;
use uuid::Uuid;

use crate::access::origin::Origin;
use crate::acquire::lease_id;
use crate::acquire::near_names;
use crate::acquire::retry;
use crate::app::App;
use crate::doors::native::convert as leases;
use crate::doors::native::error::DoorError;
use crate::http::error::{ApiError, json};
use crate::http::extract::Valid;
use crate::http::grant::granted_as;

pub(super) async fn acquire(
    State(app): State<App>,
    origin: Origin,
    Valid(asked): Valid<NewLease>,
) -> Result<Response, ApiError> {
    let span = Span::from_seconds_f64(asked.wait_seconds);
    let wait = Wait { span, priority: asked.priority, place: None };
    let acquire = leases::acquire(&asked, origin.said.clone());
    let wants = acquire.wants.clone();
    let answer = app.acquire(acquire, wait, origin.counted()).await?;
    let (Outcome::Acquired(acquired), undo) = answer.into_parts() else {
        return Err(ApiError::Unexpected);
    };
    match acquired {
        Acquired::Granted(grant) => {
            near_names::look_for(&app, &wants, &grant);
            let now = app.ledger().clock().now();
            granted_as(
                StatusCode::CREATED,
                &leases::granted(&grant, asked, origin.said.as_deref(), now),
                undo,
            )
        }
        Acquired::Repeated(repeated) => again(repeated, asked),
        Acquired::Refused(refusal) => {
            let seconds = retry::polling_seconds(&refusal, app.config());
            Err(DoorError::NoRoom(leases::no_room(&refusal, seconds)).into())
        }
        Acquired::Missing(names) => Err(DoorError::LimitsMissing(leases::missing(&names)).into()),
        Acquired::TooManySlots(limit) => Err(never_room(&limit, &asked).into()),
        Acquired::NotRateLimits(names) => Err(ApiError::NotRateLimits(names.join(","))),
        Acquired::Queued(_) => Err(ApiError::Unexpected),
    }
}

/// The answer to a request whose key was used before.
fn again(repeated: Repeated, asked: NewLease) -> Result<Response, ApiError> {
    let key = asked.idempotency_key.unwrap_or_default();
    match repeated {
        Repeated::Same(view) => Ok(json(StatusCode::OK, &leases::lease(&view))),
        Repeated::Different => Err(DoorError::KeyOfAnother(key).into()),
        Repeated::Ended(gone) => {
            let id = Uuid::from_u128(lease_id::of_key(&key).0);
            Err(DoorError::LeaseEnded(leases::ended(id, &gone)).into())
        }
    }
}

fn never_room(limit: &MinimalLimit, asked: &NewLease) -> DoorError {
    let MinimalLimit { name, slots, .. } = limit;
    let mut wanted = asked.limits.iter().filter(|wanted| *wanted.name == **name);
    // Renamed while the request waited, it is not found by the name that was asked for.
    let most = asked.limits.iter().map(|wanted| wanted.slots).max().unwrap_or_default();
    let wanted = wanted.next().map_or(most, |wanted| wanted.slots);
    DoorError::NeverRoom((**name).to_owned(), *slots, wanted)
}
