//! Leases: `/api/leases`, the door that is ours alone, and who holds and awaits one limit. Beyond
//! the contract: for our own clients, and so that a person can see a holder and take a lease away
//! (defect D26).

mod acquire;
mod keep;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use leasehold_api::leases::{FindLeases, ListPage};
use leasehold_api::path;
use leasehold_engine::{Command, LeaseFilter, Outcome, Page, Query};

use super::ours::ours;
use crate::app::App;
use crate::doors::prefect::convert;
use crate::doors::{Routes, otherwise};
use crate::http::error::{ApiError, json};
use crate::http::extract::ValidQuery;

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add("/api/v2/concurrency_limits/{id_or_name}/leases", otherwise("GET", get(of_limit)))
        .add(
            "/api/v2/concurrency_limits/{id_or_name}/waiters",
            otherwise("GET", get(waiters_of_limit)),
        )
        .add("/api/leases", ours(otherwise("GET, POST", get(find).post(acquire::acquire))))
        .add("/api/leases/renew", ours(otherwise("POST", post(keep::renew_many))))
        .add("/api/leases/{lease_id}", ours(otherwise("GET, DELETE", get(read).delete(keep::end))))
        .add("/api/leases/{lease_id}/renew", ours(otherwise("POST", post(keep::renew))))
}

/// A page is never larger than the operator allows.
fn page(app: &App, offset: u64, limit: Option<u64>) -> Page {
    let page_size = app.config().bodies.page_size;
    convert::page(offset, limit.unwrap_or(page_size).min(page_size))
}

async fn find(
    State(app): State<App>,
    ValidQuery(asked): ValidQuery<FindLeases>,
) -> Result<Response, ApiError> {
    let page = page(&app, asked.offset, asked.limit);
    let filter = LeaseFilter {
        limit: asked.limit_name.map(Into::into),
        holder_kind: asked.holder_kind.map(Into::into),
        holder_id: asked.holder_id.map(Into::into),
    };
    match app.ledger().send(Command::Read(Query::FindLeases(filter, page))).await?.keep() {
        Outcome::Leases(Some(views)) => {
            let leases: Vec<_> = views.iter().map(crate::doors::native::convert::lease).collect();
            Ok(json(StatusCode::OK, &leases))
        }
        Outcome::Leases(None) => Err(ApiError::LimitNotFound),
        _ => Err(ApiError::Unexpected),
    }
}

async fn of_limit(
    State(app): State<App>,
    Path(text): Path<String>,
    ValidQuery(asked): ValidQuery<ListPage>,
) -> Result<Response, ApiError> {
    let limit = crate::doors::prefect::limit_ref::of_path(&app, &text).await?;
    let query = Query::Held(limit, page(&app, asked.offset, asked.limit));
    match app.ledger().send(Command::Read(query)).await?.keep() {
        Outcome::Held(Some(held)) => Ok(json(StatusCode::OK, &convert::held(&held))),
        Outcome::Held(None) => Err(ApiError::LimitNotFound),
        _ => Err(ApiError::Unexpected),
    }
}

async fn waiters_of_limit(
    State(app): State<App>,
    Path(text): Path<String>,
    ValidQuery(asked): ValidQuery<ListPage>,
) -> Result<Response, ApiError> {
    let limit = crate::doors::prefect::limit_ref::of_path(&app, &text).await?;
    let first = asked.offset + 1;
    let query = Query::Waiters(limit, page(&app, asked.offset, asked.limit));
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
    let id = path::id("lease_id", &lease_id)?;
    match app.ledger().send(Command::Read(Query::Lease(convert::lease_id(id)))).await?.keep() {
        Outcome::Lease(Ok(view)) => {
            Ok(json(StatusCode::OK, &crate::doors::native::convert::lease(&view)))
        }
        Outcome::Lease(Err(gone)) => Err(ApiError::LeaseNotFound(id, gone)),
        _ => Err(ApiError::Unexpected),
    }
}
