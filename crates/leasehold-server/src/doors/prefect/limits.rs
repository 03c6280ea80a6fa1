//! Global limits: `/api/v2/concurrency_limits`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing;
use leasehold_engine::{
    Acquire, Acquired, Created, Deleted, GiveBack, Grant, Hold, Refusal, Renewed, Scope, Span,
    Updated,
};
use leasehold_node::Undo;
use leasehold_prefect::Body;
use leasehold_prefect::limits::{
    self as wire, CreateLimit, Decrement, Filter, Increment, IncrementWithLease, ReleaseLease,
    RenewLease, UpdateLimit,
};
use uuid::Uuid;

use crate::access::origin::Origin;
use crate::acquire::Patience;
use crate::acquire::lease_id;
use crate::acquire::unknown::Unknown;
use crate::app::App;
use crate::doors::groups::{AMBIGUOUS, LEASES, LIMITS, NO_LIMIT, SLOTS};
use crate::doors::operation::{delete, get, patch, post};
use crate::doors::prefect::convert;
use crate::doors::prefect::error::Error;
use crate::doors::prefect::extract::Valid;
use crate::doors::routes::Routes;
use crate::http;
use crate::http::answer::json;
use crate::http::body::Raw;
use crate::http::grant::granted;

const FULL: &str = "Another limit, or one of them, has too few slots free at the moment.";
const NEVER: &str =
    "Invalid; or more slots than a limit has; or `rate_limit` on a limit without decay.";

pub(super) fn add(routes: Routes) -> Routes {
    let routes = slots(leases(limits(routes)));
    // For a method that these paths lack, the recorded server matches `/{id_or_name}`.
    let words =
        ["filter", "increment", "increment-with-lease", "decrement", "decrement-with-lease"];
    words.into_iter().fold(routes, |routes, word| {
        let of_limit = routing::get(read_named).patch(update_named).delete(delete_named);
        routes.beside(&at(word), "GET", of_limit)
    })
}

fn at(path: &str) -> String {
    format!("/api/v2/concurrency_limits/{path}")
}

fn limits(routes: Routes) -> Routes {
    routes
        .tagged(LIMITS)
        .add(
            post(at(""), create)
                .named("create_limit", "Create a limit")
                .body::<CreateLimit>()
                .answers::<wire::CreatedLimit>(201, "The new limit.")
                .refuses(409, "Another limit has this name.")
                .ledger(),
        )
        .add(
            post(at("filter"), filter)
                .named("list_limits", "List limits")
                .about("Ordered by name. The limits of tags are among them.")
                .optional_body::<Filter>()
                .answers::<Vec<wire::Limit>>(200, "A page of limits.")
                .refuses(422, "Invalid, or a page that is too large.")
                .ledger(),
        )
        .add(
            get(at("{id_or_name}"), read)
                .named("read_limit", "Read a limit")
                .answers::<wire::Limit>(200, "The limit.")
                .refuses(404, NO_LIMIT)
                .refuses(409, AMBIGUOUS)
                .ledger(),
        )
        .add(
            patch(at("{id_or_name}"), update)
                .named("update_limit", "Change a limit")
                .about(
                    "`active_slots` alone in the body resets the limit: leases are revoked, oldest \
                     first, until so many slots are taken, and their holders learn it. Together with \
                     other fields it is an upper bound: it frees slots that no lease holds. It never \
                     takes a slot, however old the number is, and leases stay.",
                )
                .body::<UpdateLimit>()
                .done(204, "Changed.")
                .refuses(404, NO_LIMIT)
                .refuses(
                    409,
                    "Another limit has this name, or a field is `null`; or one limit has this id \
                     and another one this name.",
                )
                .ledger(),
        )
        .add(
            delete(at("{id_or_name}"), delete_limit)
                .named("delete_limit", "Delete a limit")
                .about("Leases lose their slots on it, and keep what they hold on other limits.")
                .done(204, "Deleted.")
                .refuses(404, NO_LIMIT)
                .refuses(409, AMBIGUOUS)
                .ledger(),
        )
}

fn leases(routes: Routes) -> Routes {
    routes
        .tagged(LEASES)
        .add(
            post(at("increment-with-lease"), increment_with_lease)
                .named("acquire", "Acquire a lease")
                .about(
                    "Takes slots on every limit that is named, or on none. Names without a limit \
                     are skipped. Give `fencing_token` to the resource that you protect: it can \
                     refuse holders that outlived their lease.",
                )
                .body::<IncrementWithLease>()
                .answers::<wire::Acquired>(200, "The slots are held until `deadline`.")
                .refuses(422, NEVER)
                .refuses(423, FULL)
                .ledger(),
        )
        .add(
            post(at("leases/{lease_id}/renew"), renew)
                .named("renew", "Renew a lease")
                .about("Renew well before the deadline, for example after half of the time.")
                .optional_body::<RenewLease>()
                .done(204, "The lease lasts from now for `lease_duration` seconds.")
                .refuses(410, "The lease has ended: stop what it protects.")
                .ledger(),
        )
        .add(
            post(at("decrement-with-lease"), release)
                .named("release", "Release a lease")
                .about("Releasing a lease twice, or late, frees its slots once.")
                .body::<ReleaseLease>()
                .done(204, "The lease holds nothing, now or already.")
                .ledger(),
        )
}

fn slots(routes: Routes) -> Routes {
    routes
        .tagged(SLOTS)
        .add(
            post(at("increment"), increment)
                .named("increment", "Take slots")
                .about("On every limit that is named, or on none. They need no renewal.")
                .body::<Increment>()
                .answers::<Vec<wire::MinimalLimit>>(200, "The limits that were found.")
                .refuses(422, NEVER)
                .refuses(423, FULL)
                .ledger(),
        )
        .add(
            post(at("decrement"), decrement)
                .named("decrement", "Give slots back")
                .about("What is held on a lease stays held.")
                .body::<Decrement>()
                .answers::<Vec<wire::MinimalLimit>>(200, "The limits that were found.")
                .ledger(),
        )
}

async fn create(
    State(app): State<App>,
    Valid(body): Valid<CreateLimit>,
) -> Result<Response, Error> {
    match app.ledger().create_limit(convert::create(body)).await? {
        Created::Made(view) | Created::Changed(view) => {
            Ok(json(StatusCode::CREATED, &convert::created_limit(&view)))
        }
        Created::NameTaken => Err(Error::Conflict),
    }
}

async fn read(State(app): State<App>, Path(text): Path<String>) -> Result<Response, Error> {
    let limit = super::limit_ref::of_path(&app, &text).await?;
    let view = app.ledger().limit(limit, Scope::All).await?.ok_or(Error::LimitNotFound)?;
    Ok(json(StatusCode::OK, &convert::limit(&view)))
}

async fn filter(State(app): State<App>, Valid(body): Valid<Filter>) -> Result<Response, Error> {
    let page = convert::page(body.offset, body.limit);
    let views = app.ledger().limits(Scope::All, page).await?;
    let limits: Vec<_> = views.iter().map(convert::limit).collect();
    Ok(json(StatusCode::OK, &limits))
}

async fn update(
    State(app): State<App>,
    Path(text): Path<String>,
    Valid(body): Valid<UpdateLimit>,
) -> Result<StatusCode, Error> {
    let limit = super::limit_ref::of_path(&app, &text).await?;
    let updated = match body.reset() {
        // Alone in the body, `active_slots` is an operator's reset, not a field of a form (contract
        // C16).
        Some(slots) => {
            // A holder reads this reason also if its lease holds other limits as well.
            let reason = format!("active_slots of '{text}' was set to {slots}");
            app.ledger().reset_limit(limit, slots, Some(reason.into())).await?
        }
        None if body.has_null() => return conflict_if_there(&app, limit).await,
        None => app.ledger().update_limit(limit, convert::patch(&body)).await?,
    };
    match updated {
        Updated::Done => Ok(StatusCode::NO_CONTENT),
        Updated::NotFound => Err(Error::LimitNotFound),
        Updated::NameTaken => Err(Error::Conflict),
    }
}

/// The answer to a `null`: 409 if the limit exists, else 404.
async fn conflict_if_there(
    app: &App,
    limit: leasehold_engine::LimitRef,
) -> Result<StatusCode, Error> {
    match app.ledger().limit(limit, Scope::All).await? {
        Some(_) => Err(Error::Conflict),
        None => Err(Error::LimitNotFound),
    }
}

async fn delete_limit(
    State(app): State<App>,
    Path(text): Path<String>,
) -> Result<StatusCode, Error> {
    let limit = super::limit_ref::of_path(&app, &text).await?;
    match app.ledger().delete_limit(limit, Scope::All).await? {
        Deleted::Done => Ok(StatusCode::NO_CONTENT),
        Deleted::NotFound => Err(Error::LimitNotFound),
    }
}

async fn increment(
    State(app): State<App>,
    origin: Origin,
    Unknown(missing): Unknown,
    Valid(body): Valid<Increment>,
) -> Result<Response, Error> {
    let wants = convert::wants(body.names, body.slots);
    let mode = convert::mode(body.mode);
    let acquire = Acquire { mode, missing, ..Acquire::new(wants, Hold::Unleased) };
    let (grant, undo) = acquired(&app, origin, acquire).await?;
    let limits: Vec<_> = grant.limits.iter().map(convert::minimal).collect();
    Ok(granted(&limits, undo))
}

async fn increment_with_lease(
    State(app): State<App>,
    origin: Origin,
    Unknown(missing): Unknown,
    Valid(body): Valid<IncrementWithLease>,
) -> Result<Response, Error> {
    let wants = convert::wants(body.names, body.slots);
    let hold = Hold::Lease {
        id: lease_id::new(),
        holder: body.holder.as_ref().map(convert::holder),
        ttl: Span::from_seconds_f64(body.lease_duration),
        notes: None,
    };
    let mode = convert::mode(body.mode);
    let acquire = Acquire { mode, missing, ..Acquire::new(wants, hold) };
    let (grant, undo) = acquired(&app, origin, acquire).await?;
    let body = wire::Acquired {
        lease_id: grant
            .lease
            .map_or_else(|| lease_id::empty(None), |lease| Uuid::from_u128(lease.id.0)),
        limits: grant.limits.iter().map(convert::minimal).collect(),
        fencing_token: grant.lease.map(|lease| lease.fence.0),
        deadline: grant.lease.and_then(|lease| lease.deadline).map(convert::timestamp),
    };
    Ok(granted(&body, undo))
}

async fn decrement(
    State(app): State<App>,
    Valid(body): Valid<Decrement>,
) -> Result<Response, Error> {
    let give_back = GiveBack {
        names: convert::names(body.names),
        slots: body.slots,
        occupancy: body.occupancy_seconds.map(Span::from_seconds_f64),
    };
    let limits = app.ledger().give_back(give_back).await?;
    let limits: Vec<_> = limits.iter().map(convert::minimal).collect();
    Ok(json(StatusCode::OK, &limits))
}

/// Releases a lease. For a lease that has ended it succeeds and frees nothing (defects D11, D12).
async fn release(
    State(app): State<App>,
    Valid(body): Valid<ReleaseLease>,
) -> Result<StatusCode, Error> {
    let lease = convert::lease_id(body.lease_id);
    if let Ok(ended) = app.ledger().release(lease).await? {
        app.released().note(lease, ended.at);
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn renew(
    State(app): State<App>,
    Path(lease_id): Path<String>,
    raw: Raw,
) -> Result<StatusCode, Error> {
    let (lease_id, body) = RenewLease::from_parts(
        "lease_id",
        &lease_id,
        raw.content_type(),
        raw.bytes(),
        &app.config().bodies,
    )?;
    if lease_id::is_empty(lease_id) {
        return Ok(StatusCode::NO_CONTENT);
    }
    let lease = convert::lease_id(lease_id);
    let ttl = Span::from_seconds_f64(body.lease_duration);
    match app.ledger().renew(lease, ttl).await? {
        Renewed::Renewed(_) => Ok(StatusCode::NO_CONTENT),
        Renewed::Gone(gone) => {
            let gone = app.released().explain(lease, gone, app.ledger().clock().now());
            Err(Error::LeaseGone(convert::lease_gone(&gone)))
        }
    }
}

/// The grant of an acquire, and the [`Undo`] that gives it back if the client does not receive it.
async fn acquired(app: &App, origin: Origin, acquire: Acquire) -> Result<(Grant, Undo), Error> {
    let acquiring = app.acquirer().acquire(Patience::Unknown, origin, acquire);
    let locked = |_: &Refusal| leasehold_prefect::error::LOCKED.into();
    let (acquired, undo) = acquiring.await.map_err(|error| convert::not_acquired(error, locked))?;
    match acquired {
        Acquired::Granted(grant) => Ok((grant, undo)),
        Acquired::TooManySlots(_) => Err(Error::TooManySlots),
        Acquired::NotRateLimits(names) => Err(Error::NotRateLimits(names.join(","))),
        Acquired::Elsewhere(names) | Acquired::Missing(names) => {
            Err(Error::Http(http::Error::Elsewhere(names)))
        }
        Acquired::Refused(_) | Acquired::Queued(_) | Acquired::Repeated(_) => {
            Err(Error::UNEXPECTED)
        }
    }
}

// Handlers for limits whose name is also a path: `filter`, `increment`, ….

async fn read_named(app: State<App>, uri: axum::http::Uri) -> Result<Response, Error> {
    read(app, last_segment(&uri)).await
}

async fn update_named(
    app: State<App>,
    uri: axum::http::Uri,
    body: Valid<UpdateLimit>,
) -> Result<StatusCode, Error> {
    update(app, last_segment(&uri), body).await
}

async fn delete_named(app: State<App>, uri: axum::http::Uri) -> Result<StatusCode, Error> {
    delete_limit(app, last_segment(&uri)).await
}

fn last_segment(uri: &axum::http::Uri) -> Path<String> {
    Path(uri.path().rsplit('/').next().unwrap_or_default().to_owned())
}
