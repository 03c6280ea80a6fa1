//! Everything that is served, by path. Each module has the routes of one kind of thing.

mod event_log;
mod events;
mod leases;
mod limits;
mod runs;
mod system;
mod tags;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};

use crate::app::App;
use crate::error::ApiError;
use crate::gate;

/// The router of everything.
pub(crate) fn router(app: App) -> Router {
    let routes = Routes(Router::new());
    let routes = limits::add(routes);
    let routes = tags::add(routes);
    let routes = leases::add(routes);
    let routes = runs::add(routes);
    let routes = events::add(routes);
    let routes = event_log::add(routes);
    let routes = system::add(routes);

    routes
        .0
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(app.clone(), gate::guard))
        .with_state(app)
}

/// Routes, each of which is known with and without a slash at its end.
struct Routes(Router<App>);

impl Routes {
    /// Adds a path. The other spelling of its end answers 307 to this one.
    fn add(self, path: &str, methods: MethodRouter<App>) -> Self {
        let other = match path.strip_suffix('/') {
            Some(without) => without.to_owned(),
            None => format!("{path}/"),
        };
        Self(self.0.route(path, methods).route(&other, routing::any(redirect)))
    }
}

/// Answers 405 to every method that has no handler. `allow` is what the recorded server
/// names: the methods of the first of its routes with this path. `HEAD` is not among them.
fn otherwise(allow: &'static str, methods: MethodRouter<App>) -> MethodRouter<App> {
    let refuse = move || async move { ApiError::MethodNotAllowed(allow) };
    methods.head(refuse).fallback(refuse)
}

/// 307 to the same path with the slash at its end added or taken away.
async fn redirect(request: Request) -> Response {
    let uri = request.uri();
    let path = match uri.path().strip_suffix('/') {
        Some(without) => without.to_owned(),
        None => format!("{}/", uri.path()),
    };
    let location = format!("{}{path}{}", origin(request.headers(), uri), query(uri));
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response()
}

fn origin(headers: &HeaderMap, uri: &Uri) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = text("x-forwarded-proto").filter(|scheme| *scheme == "https").unwrap_or("http");
    match text("host").or(uri.host()) {
        Some(host) => format!("{scheme}://{host}"),
        // Without a host the client can only mean the one that it asked.
        None => String::new(),
    }
}

fn query(uri: &Uri) -> String {
    uri.query().map(|query| format!("?{query}")).unwrap_or_default()
}

async fn not_found(request: Request) -> Response {
    if gate::is_websocket(request.headers()) {
        return StatusCode::FORBIDDEN.into_response();
    }
    ApiError::PathNotFound.into_response()
}
