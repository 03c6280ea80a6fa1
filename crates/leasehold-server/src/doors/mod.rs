//! Everything that is served, by path. Each folder is a door: one API with its routes, extractors,
//! errors and conversions.

pub(crate) mod native;
pub(crate) mod prefect;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};

use crate::access::gate;
use crate::app::App;
use crate::http::error::ApiError;

use self::prefect::unserved::Unserved;

pub(crate) use self::native::ours::is_ours;

/// The router of everything.
pub(crate) fn router(app: App) -> Router {
    all(&app).router.fallback(not_found).with_state(app)
}

pub(crate) fn all(app: &App) -> Routes {
    native::add(prefect::add(Routes::default()), app)
}

/// Routes, each of which is known with and without a slash at its end.
#[derive(Default)]
pub(crate) struct Routes {
    pub(crate) router: Router<App>,
    /// What was added, for the test that holds the OpenAPI document to it.
    #[cfg(test)]
    pub(crate) paths: Vec<String>,
}

impl Routes {
    /// Adds a path. The other spelling of its end answers 307 to this one.
    pub(crate) fn add(self, path: &str, methods: MethodRouter<App>) -> Self {
        let other = match path.strip_suffix('/') {
            Some(without) => without.to_owned(),
            None => format!("{path}/"),
        };
        let mut routes = self.add_socket(path, methods);
        routes.router = routes.router.route(&other, routing::any(redirect));
        routes
    }

    /// Adds the path of a WebSocket. Anything else that asks for it finds nothing there.
    pub(crate) fn add_socket(mut self, path: &str, methods: MethodRouter<App>) -> Self {
        self.router = self.router.route(path, methods);
        #[cfg(test)]
        self.paths.push(path.to_owned());
        self
    }
}

/// Answers to every method that has no handler: 404 with a sentence if a Prefect server has one, and
/// 405 otherwise. `allow` is what the recorded server names: the methods of the first of its routes
/// with this path; all methods of a path that is ours alone. `HEAD` is answered where `GET` is, and is
/// not among them.
pub(crate) fn otherwise(allow: &'static str, methods: MethodRouter<App>) -> MethodRouter<App> {
    let refuse = move |State(app): State<App>, unserved: Unserved| async move {
        unserved.refuse(&app, ApiError::MethodNotAllowed(allow))
    };
    methods.fallback(refuse)
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

/// Whether there is a WebSocket at a path.
pub(crate) fn is_socket(path: &str) -> bool {
    prefect::SOCKETS.contains(&path)
}

/// Whether the recorded server has a route for a path that one of ours matches. It decodes a
/// path before it looks for the route, so that an encoded slash parts two segments; no segment
/// is empty; and the ids of a tag's limit and of a run are UUIDs in the route itself.
pub(crate) fn is_known(path: &str) -> bool {
    let has_encoded_slash = || ["%2F", "%2f"].iter().any(|slash| path.contains(slash));
    if path.as_bytes().windows(2).any(|pair| pair == b"//")
        || (path.contains('%') && (has_encoded_slash() || !is_text(path)))
    {
        return false;
    }
    let by_id = prefect::BY_ID;
    for (base, named) in by_id {
        let Some(rest) = path.strip_prefix(base).filter(|rest| rest.starts_with('/')) else {
            continue;
        };
        let rest = rest.trim_matches('/');
        let is_id = || leasehold_api::path::route_id(rest).is_some();
        return rest.is_empty() || rest.contains('/') || named.contains(&rest) || is_id();
    }
    true
}

/// Whether a path's percent-encoded bytes are UTF-8: others name nothing.
fn is_text(path: &str) -> bool {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let encoded = if byte == b'%' { after.get(..2) } else { None };
        let digits = encoded.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    std::str::from_utf8(&bytes).is_ok()
}

pub(crate) fn origin(headers: &HeaderMap, uri: &Uri) -> String {
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

async fn not_found(State(app): State<App>, unserved: Unserved, headers: HeaderMap) -> ApiError {
    let otherwise = unserved.refuse(&app, ApiError::PathNotFound);
    // Who asked for a WebSocket reads no sentence; the log has it.
    if gate::is_websocket(&headers) { ApiError::NoSocket } else { otherwise }
}
