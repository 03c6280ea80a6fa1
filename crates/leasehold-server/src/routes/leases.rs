//! Who holds what: `/api/leases`, and the leases of one limit. Ours, beyond the contract, so
//! that a person can see a holder and take a lease away (defect D26).

use axum::extract::{Path, Query as QueryString, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use leasehold_api::Body;
use leasehold_api::leases::RevokeLease;
use leasehold_api::path::{self, IdOrName};
use leasehold_engine::{Command, Outcome, Page, Query};
use serde::Deserialize;

use super::{Routes, otherwise};
use crate::app::App;
use crate::convert;
use crate::error::{ApiError, json};
use crate::extract::Raw;

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add("/api/v2/concurrency_limits/{id_or_name}/leases", otherwise("GET", get(of_limit)))
        .add(
            "/api/v2/concurrency_limits/{id_or_name}/waiters",
            otherwise("GET", get(waiters_of_limit)),
        )
        .add("/api/leases/{lease_id}", otherwise("GET", get(read).delete(revoke)))
}

/// Which part of a list.
#[derive(Deserialize)]
struct PageQuery {
    #[serde(default)]
    offset: u64,
    limit: Option<u64>,
}

impl PageQuery {
    fn of(&self, app: &App) -> Page {
        let page_size = app.config().bodies.page_size;
        convert::page(self.offset, self.limit.unwrap_or(page_size).min(page_size))
    }
}

async fn of_limit(
    State(app): State<App>,
    Path(text): Path<String>,
    QueryString(page): QueryString<PageQuery>,
) -> Result<Response, ApiError> {
    let limit = convert::limit_ref(IdOrName::from_path(&text));
    let query = Query::Leases(limit.clone(), page.of(&app));
    match app.ledger().send(Command::Read(query)).await?.keep() {
        Outcome::Leases(Some(leases)) => {
            let leases: Vec<_> =
                leases.iter().map(|lease| convert::limit_lease(lease, &limit)).collect();
            Ok(json(StatusCode::OK, &leases))
        }
        Outcome::Leases(None) => Err(ApiError::LimitNotFound),
        _ => Err(ApiError::Unexpected),
    }
}

async fn waiters_of_limit(
    State(app): State<App>,
    Path(text): Path<String>,
    QueryString(page): QueryString<PageQuery>,
) -> Result<Response, ApiError> {
    let limit = convert::limit_ref(IdOrName::from_path(&text));
    let first = page.offset + 1;
    let query = Query::Waiters(limit, page.of(&app));
    match app.ledger().send(Command::Read(query)).await?.keep() {
        Outcome::Waiters(Some(waiters)) => {
            let now = app.ledger().clock().now();
            let positions = (first..).zip(&waiters);
            let waiters: Vec<_> = positions
                .map(|(position, waiter)| convert::waiter(waiter, position, now))
                .collect();
            Ok(json(StatusCode::OK, &waiters))
        }
        Outcome::Waiters(None) => Err(ApiError::LimitNotFound),
        _ => Err(ApiError::Unexpected),
    }
}

async fn read(State(app): State<App>, Path(lease_id): Path<String>) -> Result<Response, ApiError> {
    let lease = convert::lease_id(path::id("lease_id", &lease_id)?);
    match app.ledger().send(Command::Read(Query::Lease(lease))).await?.keep() {
        Outcome::Lease(Ok(view)) => Ok(json(StatusCode::OK, &convert::lease(&view))),
        Outcome::Lease(Err(gone)) => Err(ApiError::LeaseNotFound(gone)),
        _ => Err(ApiError::Unexpected),
    }
}

async fn revoke(
    State(app): State<App>,
    Path(lease_id): Path<String>,
    raw: Raw,
) -> Result<StatusCode, ApiError> {
    let (lease_id, body) = RevokeLease::from_parts(
        "lease_id",
        &lease_id,
        raw.content_type(),
        raw.bytes(),
        &app.config().bodies,
    )?;
    let reason = body.reason.map_or_else(|| "no reason was given".into(), Into::into);
    let command = Command::Revoke { lease: convert::lease_id(lease_id), reason: Some(reason) };
    match app.ledger().send(command).await?.keep() {
        Outcome::Ended(Ok(_)) => Ok(StatusCode::NO_CONTENT),
        Outcome::Ended(Err(gone)) => Err(ApiError::LeaseNotFound(gone)),
        _ => Err(ApiError::Unexpected),
    }
}
