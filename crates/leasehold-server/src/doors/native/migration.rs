//! The migration from a Prefect server: `/api/leasehold/migration`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_api::migration::{Migration, MoveLimits, Moves};

use crate::app::App;
use crate::doors::groups::MIGRATION;
use crate::doors::native::convert::migration as convert;
use crate::doors::native::error::Error;
use crate::doors::native::extract::Valid;
use crate::doors::operation::{get, post};
use crate::doors::routes::Routes;
use crate::http;
use crate::http::answer::json;
use crate::migration::{self, Moved, PrefectError};

const PATH: &str = "/api/leasehold/migration";
const NO_UPSTREAM: &str = "The server was started without `--upstream`.";
const NO_ANSWER: &str = "The upstream gave no answer.";

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .tagged(MIGRATION)
        .add(
            get(PATH, status)
                .named("migration_status", "Where the migration stands")
                .about(
                    "For each limit of the upstream: its phase, its slots, and who holds them. The \
                     leases are those that were seen passing; what they do not explain are slots \
                     without a lease, leases from before, or phantoms.",
                )
                .answers::<Migration>(200, "Each limit with its phase.")
                .refuses(404, NO_UPSTREAM)
                .ledger(),
        )
        .add(
            post(format!("{PATH}/advance"), advance)
                .named("migration_advance", "Take limits over from the upstream")
                .about(
                    "Requests for their slots are held for a moment. What the upstream counts then \
                     counts here as well until it is given back there.",
                )
                .optional_body::<MoveLimits>()
                .answers::<Moves>(200, "What became of each limit.")
                .refuses(404, NO_UPSTREAM)
                .refuses(502, NO_ANSWER)
                .ledger(),
        )
        .add(
            post(format!("{PATH}/rollback"), roll_back)
                .named("migration_rollback", "Give limits back to the upstream")
                .about(
                    "The upstream counts what is held here, and grants again. Leases that are held \
                     here go on.",
                )
                .optional_body::<MoveLimits>()
                .answers::<Moves>(200, "What became of each limit.")
                .refuses(404, NO_UPSTREAM)
                .ledger(),
        )
        .add(
            post(format!("{PATH}/drop-phantoms"), drop_phantoms)
                .named("migration_drop_phantoms", "Drop slots that nobody holds")
                .about(
                    "They no longer count here. The upstream counts them until the way back. With \
                     `force`, slots that may still be held are dropped as well.",
                )
                .optional_body::<MoveLimits>()
                .answers::<Moves>(200, "How many were dropped of each limit.")
                .refuses(404, NO_UPSTREAM)
                .ledger(),
        )
}

async fn status(State(app): State<App>) -> Result<Response, Error> {
    let report = of(&app)?.report().await?;
    Ok(json(StatusCode::OK, &convert::report(&report)))
}

async fn advance(
    State(app): State<App>,
    Valid(body): Valid<MoveLimits>,
) -> Result<Response, Error> {
    let moved = of(&app)?.advance(&convert::wanted(body)).await?;
    Ok(moves(&moved))
}

async fn roll_back(
    State(app): State<App>,
    Valid(body): Valid<MoveLimits>,
) -> Result<Response, Error> {
    Ok(moves(&of(&app)?.roll_back(&convert::wanted(body)).await))
}

async fn drop_phantoms(
    State(app): State<App>,
    Valid(body): Valid<MoveLimits>,
) -> Result<Response, Error> {
    Ok(moves(&of(&app)?.drop_phantoms(convert::wanted(body)).await))
}

fn of(app: &App) -> Result<&migration::Migration, Error> {
    app.migration().ok_or(Error::NoUpstream)
}

fn moves(moved: &[Moved]) -> Response {
    json(StatusCode::OK, &convert::moves(moved))
}

impl From<PrefectError> for Error {
    fn from(error: PrefectError) -> Self {
        Self::Http(http::Error::BadGateway(error.to_string()))
    }
}
