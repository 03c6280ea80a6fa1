//! Operations on a held lease: renew one or many, release, revoke.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use leasehold_api::leases::{LeaseRenewal, LeaseRenewals, Renewal, Renewals, RevokeLease};
use leasehold_engine::{EndReason, Ending, Gone, Renewed, Span};
use leasehold_prefect::Body;
use leasehold_prefect::path;
use uuid::Uuid;

use crate::acquire::lease_id;
use crate::app::App;
use crate::doors::convert;
use crate::doors::native::convert as leases;
use crate::doors::native::error::Error;
use crate::doors::native::extract::Valid;
use crate::http::answer::json;
use crate::http::body::Raw;

pub(super) async fn renew(
    State(app): State<App>,
    Path(lease_id): Path<String>,
    raw: Raw,
) -> Result<Response, Error> {
    let settings = &app.config().bodies;
    let (id, body) =
        LeaseRenewal::from_parts("lease_id", &lease_id, raw.content_type(), raw.bytes(), settings)?;
    if lease_id::is_empty(id) {
        return Ok(json(StatusCode::OK, &leases::renewed(id, None)));
    }
    let ttl = Span::from_seconds_f64(body.ttl_seconds);
    let renewed = app.ledger().renew(convert::lease_id(id), ttl).await?;
    match leases::renewal(id, &renewed) {
        Renewal::Renewed(renewed) => Ok(json(StatusCode::OK, &renewed)),
        Renewal::Ended(ended) => Err(Error::LeaseEnded(ended)),
    }
}

pub(super) async fn renew_many(
    State(app): State<App>,
    Valid(body): Valid<LeaseRenewals>,
) -> Result<Response, Error> {
    let ids = body.leases.iter().filter(|id| !lease_id::is_empty(**id));
    let ids = ids.map(|id| convert::lease_id(*id)).collect();
    let renewed = app.ledger().renew_many(ids, Span::from_seconds_f64(body.ttl_seconds)).await?;
    let mut renewed = renewed.iter();
    let mut next = |id: Uuid| {
        if lease_id::is_empty(id) { Some(&Renewed::Renewed(None)) } else { renewed.next() }
    };
    let results = body.leases.iter().filter_map(|id| Some(leases::renewal(*id, next(*id)?)));
    Ok(json(StatusCode::OK, &Renewals { leases: results.collect() }))
}

/// Without a body, the holder releases its lease. With one, an operator revokes it.
pub(super) async fn end(
    State(app): State<App>,
    Path(lease_id): Path<String>,
    raw: Raw,
) -> Result<Response, Error> {
    if raw.bytes().is_empty() {
        release(&app, path::id("lease_id", &lease_id)?).await
    } else {
        revoke(&app, &lease_id, &raw).await.map(IntoResponse::into_response)
    }
}

async fn release(app: &App, id: Uuid) -> Result<Response, Error> {
    if lease_id::is_empty(id) {
        let now = app.ledger().clock().now();
        return Ok(json(StatusCode::OK, &leases::released(id, now)));
    }
    let lease = convert::lease_id(id);
    let at = match app.ledger().release(lease).await? {
        Ok(ended) => {
            app.released().note(lease, ended.at);
            ended.at
        }
        Err(Gone(Some(Ending { how: EndReason::Released, at, .. }))) => at,
        Err(gone) => return Err(Error::LeaseEnded(leases::ended(id, &gone))),
    };
    Ok(json(StatusCode::OK, &leases::released(id, at)))
}

async fn revoke(app: &App, lease_id: &str, raw: &Raw) -> Result<StatusCode, Error> {
    let settings = &app.config().bodies;
    let (id, body) =
        RevokeLease::from_parts("lease_id", lease_id, raw.content_type(), raw.bytes(), settings)?;
    let reason = body.reason.map_or_else(|| "no reason was given".into(), Into::into);
    let (lease, by) = (convert::lease_id(id), body.by.map(Into::into));
    match app.ledger().revoke(lease, Some(reason), by).await? {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(gone) => Err(Error::LeaseNotFound(leases::not_found(id, &gone))),
    }
}
