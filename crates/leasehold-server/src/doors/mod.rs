//! Everything that is served, by path. Each folder is a door: one API with its routes, extractors,
//! errors and conversions.

mod groups;
pub(crate) mod native;
mod operation;
pub(crate) mod prefect;
mod routes;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};

use crate::access::gate;
use crate::app::App;
use crate::http::error::ApiError;

use self::prefect::unserved::Unserved;
use self::routes::Routes;

pub(crate) use self::native::ours::is_ours;

/// The router of everything.
pub(crate) fn router(app: App) -> Router {
    all(&app).into_router().fallback(not_found).with_state(app)
}

pub(crate) fn all(app: &App) -> Routes {
    native::add(prefect::add(Routes::default()), app)
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
        let is_id = || leasehold_prefect::path::route_id(rest).is_some();
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

/// Scheme and host of the server, as the client addressed it.
pub(crate) fn origin(headers: &HeaderMap, uri: &Uri) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = text("x-forwarded-proto").filter(|scheme| *scheme == "https").unwrap_or("http");
    match text("host").or(uri.host()) {
        Some(host) => format!("{scheme}://{host}"),
        // Without a host the client can only mean the server that it asked.
        None => String::new(),
    }
}

async fn not_found(State(app): State<App>, unserved: Unserved, headers: HeaderMap) -> ApiError {
    let otherwise = unserved.refuse(&app, ApiError::PathNotFound);
    // A client that asked for a WebSocket reads no sentence; the log has it.
    if gate::is_websocket(&headers) { ApiError::NoSocket } else { otherwise }
}
