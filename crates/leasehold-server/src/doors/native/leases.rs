//! Leases: `/api/leases`. They are beyond the contract: for our own clients, and so that an
//! operator can see a holder and revoke its lease (defect D26).

mod acquire;
mod keep;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_api::leases::{
    EndedLease, FindLeases, Lease, LeaseRenewal, LeaseRenewals, MissingLimits, NewLease, NoRoom,
    ReleasedLease, Renewals, RenewedLease, RevokeLease,
};
use leasehold_engine::{LeaseFilter, Page};
use leasehold_prefect::path;

use crate::app::App;
use crate::doors::convert as shared;
use crate::doors::groups::NATIVE;
use crate::doors::native::convert;
use crate::doors::native::error::Error;
use crate::doors::native::extract::ValidQuery;
use crate::doors::operation::{delete, get, post};
use crate::doors::routes::Routes;
use crate::http::answer::json;

const NO_LEASE: &str =
    "There is no such lease; the answer says how it ended if that is still known.";
const ENDED: &str = "The lease has ended, and this is how: stop what it protects.";
const UNKNOWN: &str = "The lease never existed, or its end is no longer recorded.";

pub(super) fn add(routes: Routes) -> Routes {
    let routes = routes.tagged(NATIVE);
    routes
        .add(
            get("/api/leases", find)
                .named("find_leases", "List leases")
                .about("Oldest first.")
                .query::<FindLeases>()
                .answers::<Vec<Lease>>(200, "A page of leases.")
                .refuses(404, "There is no limit with this name.")
                .ledger(),
        )
        .add(
            post("/api/leases", acquire::acquire)
                .named("new_lease", "Acquire a lease")
                .about(
                    "Takes slots on every limit that is named, or on none. With `wait_seconds` the \
                     request is held open until it is granted or that time is over; a client that \
                     hangs up leaves the queue. Give `fencing_token` to the resource that you \
                     protect. If an answer gets lost, send the request again with the same \
                     `idempotency_key`: the answer is the same lease.",
                )
                .body::<NewLease>()
                .answers::<Lease>(200, "The lease that the same key was granted before.")
                .answers::<Lease>(201, "The slots are held until `deadline`.")
                .refuses_with::<MissingLimits>(
                    404,
                    "There are no such limits; with `if_missing: error`.",
                )
                .refuses(409, "The idempotency key was used for another request.")
                .refuses_with::<EndedLease>(
                    410,
                    "The lease that the key was granted before has ended.",
                )
                .refuses(
                    422,
                    "Invalid; or more slots than a limit has; or `rate_limit` on a limit without \
                     decay.",
                )
                .refuses_with::<NoRoom>(423, "There is no room, even after waiting so long.")
                .ledger(),
        )
        .add(
            get("/api/leases/{lease_id}", read)
                .named("read_lease", "Read a lease")
                .answers::<Lease>(200, "The lease.")
                .refuses_with::<EndedLease>(404, NO_LEASE)
                .invalid()
                .ledger(),
        )
        .add(
            delete("/api/leases/{lease_id}", keep::end)
                .named("end_lease", "Release or revoke a lease")
                .about(
                    "Without a body, its holder releases it; a second release has the same answer. \
                     With a body, an operator revokes it: the answer to the holder's next renewal \
                     says when, why and by whom.",
                )
                .optional_body::<RevokeLease>()
                .answers::<ReleasedLease>(200, "It was released: its slots are free.")
                .done(204, "It was revoked: its slots are free.")
                .refuses_with::<EndedLease>(
                    404,
                    "The lease is unknown; with a body, it has ended before.",
                )
                .refuses_with::<EndedLease>(410, "It had ended before in another way.")
                .ledger(),
        )
        .add(
            post("/api/leases/{lease_id}/renew", keep::renew)
                .named("renew_lease", "Renew a lease")
                .about("Renew well before the deadline, for example after a third of the time.")
                .body::<LeaseRenewal>()
                .answers::<RenewedLease>(200, "It lasts until `deadline`.")
                .refuses_with::<EndedLease>(404, UNKNOWN)
                .refuses_with::<EndedLease>(410, ENDED)
                .ledger(),
        )
        .add(
            post("/api/leases/renew", keep::renew_many)
                .named("renew_leases", "Renew many leases")
                .about("Those of one process, in one request.")
                .body::<LeaseRenewals>()
                .answers::<Renewals>(200, "What became of each, in the order of the request.")
                .ledger(),
        )
}

/// A page is never larger than the operator allows.
fn page(app: &App, offset: u64, limit: Option<u64>) -> Page {
    let page_size = app.config().bodies.page_size;
    shared::page(offset, limit.unwrap_or(page_size).min(page_size))
}

async fn find(
    State(app): State<App>,
    ValidQuery(asked): ValidQuery<FindLeases>,
) -> Result<Response, Error> {
    let page = page(&app, asked.offset, asked.limit);
    let filter = LeaseFilter {
        limit: asked.limit_name.map(Into::into),
        holder_kind: asked.holder_kind.map(Into::into),
        holder_id: asked.holder_id.map(Into::into),
    };
    let found = app.ledger().find_leases(filter, page).await?;
    let views = found.ok_or(Error::LimitNotFound)?;
    let leases: Vec<_> = views.iter().map(convert::lease).collect();
    Ok(json(StatusCode::OK, &leases))
}

async fn read(State(app): State<App>, Path(lease_id): Path<String>) -> Result<Response, Error> {
    let id = path::id("lease_id", &lease_id)?;
    match app.ledger().lease(shared::lease_id(id)).await? {
        Ok(view) => Ok(json(StatusCode::OK, &convert::lease(&view))),
        Err(gone) => Err(Error::LeaseNotFound(convert::not_found(id, &gone))),
    }
}
