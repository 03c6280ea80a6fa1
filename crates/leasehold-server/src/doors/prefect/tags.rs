//! Limits of tags: `/api/concurrency_limits`, a view of the limits named `tag:<tag>`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_engine::{
    Acquire, Acquired, Created, Deleted, Hold, LimitId, LimitRef, Refusal, Scope, Updated,
};
use leasehold_prefect::limits::{Filter, MinimalLimit};
use leasehold_prefect::path;
use leasehold_prefect::tags::{CreateTagLimit, ResetTag, TagDecrement, TagIncrement, TagLimit};

use crate::access::agent::PrefectClient;
use crate::access::origin::Origin;
use crate::acquire::unknown::Unknown;
use crate::acquire::{NotAcquired, Patience, lease_id};
use crate::app::App;
use crate::doors::groups::{NO_LIMIT, TAG_LIMITS};
use crate::doors::operation::{delete, get, post};
use crate::doors::prefect::convert;
use crate::doors::prefect::error::Error;
use crate::doors::prefect::extract::Valid;
use crate::doors::routes::Routes;
use crate::http;
use crate::http::answer::json;
use crate::http::grant::granted;
use crate::liveness::introductions::{self, Needs};

pub(super) const BASE: &str = "/api/concurrency_limits";
/// Words that may stand in the place of an id below [`BASE`].
pub(super) const NAMED: &[&str] = &["filter", "increment", "decrement"];

pub(super) fn add(routes: Routes) -> Routes {
    let at = |path: &str| format!("{BASE}/{path}");
    routes
        .tagged(TAG_LIMITS)
        .add(
            post(at(""), create)
                .named("put_tag_limit", "Create or change a tag's limit")
                .body::<CreateTagLimit>()
                .answers::<TagLimit>(200, "The tag had a limit, which is changed.")
                .answers::<TagLimit>(201, "The new limit.")
                .ledger(),
        )
        .add(
            post(at("filter"), filter)
                .named("list_tag_limits", "List the limits of tags")
                .optional_body::<Filter>()
                .answers::<Vec<TagLimit>>(200, "A page of limits.")
                .refuses(422, "Invalid, or a page that is too large.")
                .ledger(),
        )
        .add(
            get(at("{id}"), read)
                .named("read_tag_limit", "Read a tag's limit by its id")
                .answers::<TagLimit>(200, "The limit.")
                .refuses(404, NO_LIMIT)
                .ledger(),
        )
        .add(
            delete(at("{id}"), delete_by_id)
                .named("delete_tag_limit", "Delete a tag's limit by its id")
                .answers::<()>(200, "Deleted.")
                .refuses(404, NO_LIMIT)
                .ledger(),
        )
        .add(
            get(at("tag/{tag}"), read_tag)
                .named("read_tag", "Read a tag's limit")
                .answers::<TagLimit>(200, "The limit.")
                .refuses(404, NO_LIMIT)
                .ledger(),
        )
        .add(
            delete(at("tag/{tag}"), delete_tag)
                .named("delete_tag", "Delete a tag's limit")
                .answers::<()>(200, "Deleted.")
                .refuses(404, NO_LIMIT)
                .ledger(),
        )
        .add(
            post(at("tag/{tag}/reset"), reset)
                .named("reset_tag", "Reset a tag's holders")
                .optional_body::<ResetTag>()
                .answers::<()>(200, "The task runs that were given are its only holders.")
                .refuses(404, NO_LIMIT)
                .ledger(),
        )
        .add(
            post(at("increment"), increment)
                .named("tag_increment", "Take a slot of each tag")
                .about(
                    "For a task run, and without a deadline. Twice for the same run is one slot.",
                )
                .body::<TagIncrement>()
                .answers::<Vec<MinimalLimit>>(200, "The tags that have a limit.")
                .refuses(423, "A tag has no slot free; without `Retry-After` it has none at all.")
                .ledger(),
        )
        .add(
            post(at("decrement"), decrement)
                .named("tag_decrement", "Give a slot of each tag back")
                .body::<TagDecrement>()
                .answers::<Vec<MinimalLimit>>(200, "The tags that have a limit.")
                .ledger(),
        )
}

async fn create(
    State(app): State<App>,
    Valid(body): Valid<CreateTagLimit>,
) -> Result<Response, Error> {
    let (id, name) = (convert::new_limit_id(), convert::tag_name(&body.tag));
    match app.ledger().put_tag_limit(id, name, body.concurrency_limit).await? {
        Created::Made(view) => Ok(json(StatusCode::CREATED, &convert::tag_limit(&view))),
        Created::Changed(view) => Ok(json(StatusCode::OK, &convert::tag_limit(&view))),
        Created::NameTaken => Err(Error::Conflict),
    }
}

async fn read(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Error> {
    read_limit(&app, by_id(&id)?).await
}

async fn read_tag(State(app): State<App>, Path(tag): Path<String>) -> Result<Response, Error> {
    read_limit(&app, by_tag(&tag)).await
}

async fn filter(State(app): State<App>, Valid(body): Valid<Filter>) -> Result<Response, Error> {
    let page = convert::page(body.offset, body.limit);
    let views = app.ledger().limits(Scope::Tags, page).await?;
    let limits: Vec<_> = views.iter().map(convert::tag_limit).collect();
    Ok(json(StatusCode::OK, &limits))
}

async fn delete_by_id(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Error> {
    delete_limit(&app, by_id(&id)?).await
}

async fn delete_tag(State(app): State<App>, Path(tag): Path<String>) -> Result<Response, Error> {
    delete_limit(&app, by_tag(&tag)).await
}

async fn reset(
    State(app): State<App>,
    Path(tag): Path<String>,
    Valid(body): Valid<ResetTag>,
) -> Result<Response, Error> {
    let holders = body.slot_override.unwrap_or_default();
    let holders = holders.into_iter().map(|id| (lease_id::new(), convert::task_run(id))).collect();
    // Without a reason: the contract has its own sentence for the holders.
    match app.ledger().reset_tag(convert::tag_name(&tag), holders, None).await? {
        Updated::Done => Ok(null()),
        Updated::NotFound => Err(Error::TagLimitNotFound),
        Updated::NameTaken => Err(Error::UNEXPECTED),
    }
}

async fn increment(
    State(app): State<App>,
    origin: Origin,
    client: PrefectClient,
    Unknown(missing): Unknown,
    Valid(body): Valid<TagIncrement>,
) -> Result<Response, Error> {
    let locked = |refusal: &Refusal| {
        let full = refusal.blockers.first().map_or("", |full| &full.limit.name);
        convert::tag_full(full).into()
    };
    // Not with authentication: the server then refuses the events of clients this old, because they
    // send no credentials.
    if let Some(recorder) = app.recorder().filter(|_| !app.gate().needs_authentication()) {
        let (introductions, ledger) = (app.introductions(), app.ledger());
        let needs = Needs { introductions, ledger, recorder, stopping: app.sockets().stopping() };
        let waited =
            introductions::wait(&needs, client, origin.peer, body.task_run_id, &body.names);
        let unanswered = |error| NotAcquired::unanswered(error, true);
        waited.await.map_err(|error| convert::not_acquired(unanswered(error), locked))?;
    }
    let holder = convert::task_run(body.task_run_id);
    let wants = body.names.iter().map(|tag| (convert::tag_name(tag), 1));
    let hold = Hold::Holder { id: lease_id::new(), holder };
    let acquire = Acquire { missing, ..Acquire::new(wants, hold) };
    let acquiring = app.acquirer().acquire(Patience::Waits, origin, acquire);
    let (acquired, undo) = acquiring.await.map_err(|error| convert::not_acquired(error, locked))?;
    match acquired {
        Acquired::Granted(grant) => {
            let limits: Vec<_> = grant
                .limits
                .iter()
                .map(|limit| convert::minimal_as(limit, convert::bare_tag(&limit.name)))
                .collect();
            Ok(granted(&limits, undo))
        }
        // Without Retry-After the client gives up instead of waiting.
        Acquired::TooManySlots(limit) => {
            Err(Error::Locked(convert::tag_is_0(&limit.name).into(), None))
        }
        Acquired::Elsewhere(names) | Acquired::Missing(names) => {
            Err(Error::Http(http::Error::Elsewhere(names)))
        }
        Acquired::Refused(_)
        | Acquired::Queued(_)
        | Acquired::NotRateLimits(_)
        | Acquired::Repeated(_) => Err(Error::UNEXPECTED),
    }
}

async fn decrement(
    State(app): State<App>,
    Valid(body): Valid<TagDecrement>,
) -> Result<Response, Error> {
    let mut names = body.names;
    names.sort_unstable();
    let names = names.iter().map(|tag| convert::tag_name(tag)).collect();
    let limits = app.ledger().release_tags(names, convert::task_run(body.task_run_id)).await?;
    let limits: Vec<_> = limits.iter().map(convert::minimal).collect();
    Ok(json(StatusCode::OK, &limits))
}

async fn read_limit(app: &App, limit: LimitRef) -> Result<Response, Error> {
    let view = app.ledger().limit(limit, Scope::Tags).await?.ok_or(Error::TagLimitNotFound)?;
    Ok(json(StatusCode::OK, &convert::tag_limit(&view)))
}

async fn delete_limit(app: &App, limit: LimitRef) -> Result<Response, Error> {
    match app.ledger().delete_limit(limit, Scope::Tags).await? {
        Deleted::Done => Ok(null()),
        Deleted::NotFound => Err(Error::TagLimitNotFound),
    }
}

/// The limit with this id. A path whose last segment is no UUID is unknown.
fn by_id(text: &str) -> Result<LimitRef, Error> {
    let id = path::route_id(text).ok_or(Error::PATH_NOT_FOUND)?;
    Ok(LimitRef::Id(LimitId(id.as_u128())))
}

fn by_tag(tag: &str) -> LimitRef {
    LimitRef::Name(convert::tag_name(tag))
}

fn null() -> Response {
    json(StatusCode::OK, &())
}
