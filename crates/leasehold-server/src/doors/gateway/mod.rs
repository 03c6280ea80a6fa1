//! The gateway: what belongs to the Prefect server behind this one is passed on to it. It stands
//! beside the other doors' routes and knows none of their handlers.

mod asked;
mod deployments;
mod edits;
mod frames;
mod leases;
mod limits;
mod pass;
mod paths;
mod ready;
mod remembered;
mod rows;
mod slots;
mod sockets;
mod tap;
mod task_runs;
mod ui_settings;

use std::convert::Infallible;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use tower::Service;

use self::paths::{Site, site};
use crate::app::App;
use crate::doors::routes::Routes;
use crate::http;
use crate::migration::Migration;
use crate::upstream::Upstream;

/// What the gateway has at hand.
#[derive(Clone)]
struct Gateway {
    app: App,
    upstream: Upstream,
    migration: Migration,
    /// The routes of the other doors.
    ours: Router,
}

/// Adds the routes of this door that are there without an upstream, too.
pub(crate) fn add(routes: Routes) -> Routes {
    ready::add(routes)
}

/// Whether a path is served by the other doors, although there is an upstream.
pub(crate) fn is_ours(path: &str) -> bool {
    site(path) == Site::Ours
}

/// Whether a path is that of limits, which this server and the upstream share.
pub(crate) fn is_of_limits(path: &str) -> bool {
    site(path) == Site::Limits
}

/// The service of all paths that are not ours, if there is an upstream. `ours` are the routes of
/// the other doors.
pub(crate) fn service(app: &App, ours: Router) -> Option<Router> {
    let upstream = app.upstream()?.clone();
    let migration = app.migration()?.clone();
    let gateway = Gateway { app: app.clone(), upstream, migration, ours };
    Some(Router::new().fallback(answer).with_state(gateway))
}

async fn answer(State(gateway): State<Gateway>, request: Request) -> Response {
    match site(request.uri().path()) {
        Site::Ours => gateway.answer_ourselves(request).await,
        Site::Limits => limits::limits(&gateway, request).await,
        Site::Upstream => pass::pass(&gateway, request).await,
    }
}

impl Gateway {
    /// The answer of the other doors. The gate has checked the request.
    async fn answer_ourselves(&self, request: Request) -> Response {
        let answered: Result<Response, Infallible> = self.ours.clone().call(request).await;
        let Ok(response) = answered;
        response
    }

    /// As [`answer_ourselves`](Self::answer_ourselves), for a request that was to be passed on.
    async fn answer_instead(&self, request: Request) -> Response {
        let now = self.app.ledger().clock().now();
        match self.app.gate().check(&request, false, now) {
            Ok(()) => self.answer_ourselves(request).await,
            Err(refused) => http::Error::from(refused).into_response(),
        }
    }
}
