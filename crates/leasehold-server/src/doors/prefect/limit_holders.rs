//! The holders and waiters of one limit. They are beyond the contract, at paths below the limit's,
//! with errors in the shapes of this door.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_api::leases::{LimitLease, ListPage, Waiter};
use leasehold_engine::Page;

use super::limit_ref;
use crate::app::App;
use crate::doors::convert;
use crate::doors::groups::{AMBIGUOUS, LEASES, NO_LIMIT};
use crate::doors::operation::get;
use crate::doors::prefect::convert::holders;
use crate::doors::prefect::error::Error;
use crate::doors::prefect::extract::ValidQuery;
use crate::doors::routes::Routes;
use crate::http::answer::json;

pub(super) fn add(routes: Routes) -> Routes {
    routes.tagged(LEASES).add(
        get("/api/v2/concurrency_limits/{id_or_name}/leases", leases)
            .named("list_leases", "List the leases on a limit")
            .about(
                "Oldest first, and after the last of them the slots that no lease holds: their `id` \
                 is `null`, and `without_lease` says what took them and how to free them.",
            )
            .query::<ListPage>()
            .answers::<Vec<LimitLease>>(200, "A page of leases.")
            .refuses(404, NO_LIMIT)
            .refuses(409, AMBIGUOUS)
            .ledger(),
    )
    .add(
        get("/api/v2/concurrency_limits/{id_or_name}/waiters", waiters)
            .named("list_waiters", "List the requests that wait for a limit")
            .about("In the order in which they are to be granted.")
            .query::<ListPage>()
            .answers::<Vec<Waiter>>(200, "A page of requests that wait.")
            .refuses(404, NO_LIMIT)
            .refuses(409, AMBIGUOUS)
            .ledger(),
    )
}

/// A page is never larger than the operator allows.
fn page(app: &App, offset: u64, limit: Option<u64>) -> Page {
    let page_size = app.config().bodies.page_size;
    convert::page(offset, limit.unwrap_or(page_size).min(page_size))
}

async fn leases(
    State(app): State<App>,
    Path(text): Path<String>,
    ValidQuery(asked): ValidQuery<ListPage>,
) -> Result<Response, Error> {
    let limit = limit_ref::of_path(&app, &text).await?;
    let held = app.ledger().held(limit, page(&app, asked.offset, asked.limit)).await?;
    Ok(json(StatusCode::OK, &holders::held(&held.ok_or(Error::LimitNotFound)?)))
}

async fn waiters(
    State(app): State<App>,
    Path(text): Path<String>,
    ValidQuery(asked): ValidQuery<ListPage>,
) -> Result<Response, Error> {
    let limit = limit_ref::of_path(&app, &text).await?;
    let first = asked.offset + 1;
    let waiters = app.ledger().waiters(limit, page(&app, asked.offset, asked.limit)).await?;
    let waiters = waiters.ok_or(Error::LimitNotFound)?;
    let now = app.ledger().clock().now();
    let positions = (first..).zip(&waiters);
    let waiters: Vec<_> =
        positions.map(|(position, waiter)| holders::waiter(waiter, position, now)).collect();
    Ok(json(StatusCode::OK, &waiters))
}
