//! Requests for what this server does not serve. The answer names what is missing and where it
//! belongs, because clients print an answer's `detail`. The server logs each such request once,
//! because some clients print nothing.

mod families;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Uri, header};

use self::families::{BACKGROUND, DOTS, FAMILIES, Family, hides_the_sentence};
use crate::access::peer::Peer;
use crate::app::App;
use crate::doors::prefect::error::Error;
use crate::http::address;

/// The page that each sentence refers to.
const PAGE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/what-is-served.md");
/// First segments below `/api`. A client whose URL lacks `/api` asks for them at the root.
const AT_ROOT: [&str; 14] = [
    "v2",
    "concurrency_limits",
    "leases",
    "leasehold",
    "flows",
    "flow_runs",
    "task_runs",
    "flow_run_states",
    "task_run_states",
    "logs",
    "events",
    "admin",
    "csrf-token",
    "health",
];
const FLOW_NAME: &str = "x-prefect-flow-name";

/// The head of a request that the server does not serve.
pub(crate) struct Asked<'request> {
    pub(crate) method: &'request Method,
    pub(crate) uri: &'request Uri,
    pub(crate) headers: &'request HeaderMap,
    pub(crate) peer: Option<Peer>,
}

/// The head of a request, for a handler that may have to refuse it as not served.
pub(crate) struct Unserved {
    method: Method,
    uri: Uri,
    pub(crate) headers: HeaderMap,
    peer: Option<Peer>,
}

impl FromRequestParts<App> for Unserved {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Self::Rejection> {
        Ok(Self {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            peer: parts.extensions.get().copied(),
        })
    }
}

impl Unserved {
    fn asked(&self) -> Asked<'_> {
        let Self { method, uri, headers, peer } = self;
        Asked { method, uri, headers, peer: *peer }
    }

    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.peer.map(Peer::address)
    }

    /// The address that counts against the share of one client.
    pub(crate) fn counted(&self) -> Option<IpAddr> {
        self.peer.and_then(Peer::counted)
    }

    pub(crate) fn refuse(&self, app: &App, otherwise: Error) -> Error {
        refuse(app, &self.asked(), otherwise)
    }

    /// Refuses a task that is left to a task worker, and logs it.
    pub(crate) fn would_never_run(&self, app: &App) -> Error {
        self.tell(app, BACKGROUND.name, BACKGROUND.sentence);
        Error::NeverRuns(sentence(&BACKGROUND))
    }

    /// Logs that the server does not serve this, once for each kind of path and client.
    pub(crate) fn tell(&self, app: &App, what: &str, sentence: &str) {
        tell(app, &self.asked(), what, sentence);
    }
}

/// The answer to a request that the server does not serve: the sentence of its family, if it has
/// one.
pub(crate) fn refuse(app: &App, asked: &Asked<'_>, otherwise: Error) -> Error {
    let path = asked.uri.path();
    let family = || FAMILIES.iter().find(|family| family.has(asked.method.as_str(), path));
    let (what, sentence) = match family() {
        Some(family) => (family.name, sentence(family)),
        None if matches!(path, "/api/v2" | "/api/v2/") => (DOTS.name, sentence(&DOTS)),
        None if lacks_api(asked.method, path) => ("The address", lacking_api(asked)),
        None => return otherwise,
    };
    tell(app, asked, what, &sentence);
    let agent = asked.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let is_prefect = agent.is_some_and(|agent| agent.starts_with("prefect/"));
    if is_prefect && hides_the_sentence(asked.method.as_str(), path) {
        return Error::NeverThere(sentence);
    }
    Error::NotServed(sentence)
}

fn sentence(family: &Family) -> String {
    format!("{} See {PAGE}", family.sentence)
}

/// Whether a path with `/api` in front would be one of this API or of Prefect's.
fn lacks_api(method: &Method, path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let below = format!("/api{path}");
    AT_ROOT.contains(&first) || FAMILIES.iter().any(|family| family.has(method.as_str(), &below))
}

fn lacking_api(asked: &Asked<'_>) -> String {
    let origin = address::origin(asked.headers, asked.uri);
    format!("The API is below /api. Set PREFECT_API_URL={origin}/api")
}

/// Logs a request that the server does not serve, once for each kind of path and client.
fn tell(app: &App, asked: &Asked<'_>, what: &str, sentence: &str) {
    let text = |name: &str| asked.headers.get(name).and_then(|value| value.to_str().ok());
    let path = asked.uri.path();
    let template = template(path);
    let client = asked.peer.map(Peer::address);
    let method = asked.method.as_str();
    let now = app.ledger().clock().now();
    if !app.notices().is_new((method, &template, client), now) {
        return;
    }
    tracing::warn!(
        what,
        method,
        path = template,
        client = client.map(tracing::field::display),
        agent = text(header::USER_AGENT.as_str()),
        flow = text(FLOW_NAME),
        "a client asked for what is not served here: {sentence}"
    );
}

/// A path without its ids. The name of a variable stays, so that each variable is logged.
fn template(path: &str) -> String {
    if path.starts_with("/api/variables/name/") {
        return path.to_owned();
    }
    let is_word = |segment: &str| {
        segment.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-'))
            || matches!(segment, "v2" | "graph-v2")
    };
    let segments = path.split('/').map(|segment| if is_word(segment) { segment } else { "{}" });
    segments.collect::<Vec<_>>().join("/")
}
