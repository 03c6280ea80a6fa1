//! Which requests the server admits. The gate checks the head, pages in a browser, CSRF,
//! authentication, and the version of the API; the last three in the recorded server's order.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use leasehold_engine::Timestamp;
use subtle::ConstantTimeEq;

use crate::access::csrf::CsrfTokens;
use crate::access::head::{self, Unsound};
use crate::access::pages::{Foreign, Pages};
use crate::access::peer::Peer;
use crate::access::visits::Visits;
use crate::config::Config;
use crate::log_throttle::LogThrottle;

const CSRF_TOKEN: HeaderName = HeaderName::from_static("prefect-csrf-token");
const CSRF_CLIENT: HeaderName = HeaderName::from_static("prefect-csrf-client");
const API_VERSION: HeaderName = HeaderName::from_static("x-prefect-api-version");
/// The path below which the pages are.
pub(crate) const PAGES: &str = "/leasehold";
const API_VERSION_MIN: [u64; 3] = [0, 8, 0];

/// Why a request is refused before any route.
#[derive(Debug)]
pub(crate) enum Refused {
    /// 400 or 501: a head that another server may read differently.
    Unsound(Unsound),
    /// 403: the request comes from a foreign page in a browser.
    ForeignPage(Foreign),
    /// 403: a write without a valid CSRF token.
    Csrf(&'static str),
    /// 401.
    Unauthorized,
    /// 403: a WebSocket without credentials.
    NoSocket,
    /// 400: the client speaks another version of the API.
    Version(String),
}

/// The checks that each request passes before any route sees it.
pub(crate) struct Gate {
    authorization: Option<Authorization>,
    csrf: CsrfTokens,
    is_csrf_protected: AtomicBool,
    pages: Pages,
    visits: Visits,
    refused_pages: LogThrottle,
    failed_logins: LogThrottle,
}

/// The credentials that clients must send: the string, and its form in `Authorization` after the
/// scheme.
struct Authorization {
    credentials: String,
    auth_string: String,
}

impl Gate {
    pub(crate) fn new(config: &Config) -> Self {
        let authorization = config.auth_string.as_ref().map(|auth_string| Authorization {
            credentials: BASE64_STANDARD.encode(auth_string),
            auth_string: auth_string.clone(),
        });
        Self {
            authorization,
            csrf: CsrfTokens::default(),
            is_csrf_protected: AtomicBool::new(config.is_csrf_protected),
            pages: Pages::new(config.allowed_hosts.clone(), config.cors_origins.clone()),
            visits: Visits::default(),
            refused_pages: LogThrottle::default(),
            failed_logins: LogThrottle::default(),
        }
    }

    /// The CSRF tokens, if writes need one.
    pub(crate) fn csrf(&self) -> Option<&CsrfTokens> {
        self.is_csrf_protected.load(Ordering::Relaxed).then_some(&self.csrf)
    }

    /// Sets whether writes need a CSRF token: an upstream decides that, and issues the tokens.
    pub(crate) fn set_csrf_protected(&self, is_protected: bool) {
        self.is_csrf_protected.store(is_protected, Ordering::Relaxed);
    }

    pub(crate) fn needs_authentication(&self) -> bool {
        self.authorization.is_some()
    }

    /// What the cookies and forms of the pages are worth.
    pub(crate) fn visits(&self) -> &Visits {
        &self.visits
    }

    /// Whether the token of a WebSocket is valid. Without authentication, every token is.
    pub(crate) fn accepts_token(&self, token: &str) -> bool {
        self.authorization.as_ref().is_none_or(|authorization| {
            authorization.auth_string.as_bytes().ct_eq(token.as_bytes()).into()
        })
    }

    /// The origin of a page that the operator allowed, if the request comes from one.
    pub(crate) fn allowed_origin<'headers>(
        &self,
        headers: &'headers HeaderMap,
    ) -> Option<&'headers HeaderValue> {
        self.pages.allowed(headers.get(header::ORIGIN))
    }

    /// Checks a request. `is_socket_path` says whether its path is that of a WebSocket, which
    /// authenticates by its first message.
    pub(crate) fn check<B>(
        &self,
        request: &Request<B>,
        is_socket_path: bool,
        now: Timestamp,
    ) -> Result<(), Refused> {
        self.check_passed_on(request, now)?;
        let headers = request.headers();
        let is_write = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        let path = request.uri().path();
        let is_page = is_page(path);
        if let Some(csrf) = self.csrf().filter(|_| is_write && !is_page) {
            let token = text(headers, CSRF_TOKEN).ok_or(Refused::Csrf("Missing CSRF token."))?;
            let client =
                text(headers, CSRF_CLIENT).ok_or(Refused::Csrf("Missing client identifier."))?;
            if !csrf.is_valid(client, token, now) {
                return Err(Refused::Csrf("Invalid CSRF token or client identifier."));
            }
        }
        if let Some(authorization) = &self.authorization {
            let is_get = request.method() == Method::GET;
            // Without a WebSocket's headers, the route refuses the request anyway, with a sentence.
            let is_open = is_page || is_open(request.method(), path) || (is_get && is_socket_path);
            let given = text(headers, header::AUTHORIZATION).unwrap_or_default();
            if !is_open && !authorization.is_met_by(given) {
                if !given.is_empty() {
                    let peer = request.extensions().get::<Peer>();
                    self.note_failed_login(peer.map(|peer| peer.address()), path, now);
                }
                let is_socket = is_get && is_websocket(headers);
                return Err(if is_socket { Refused::NoSocket } else { Refused::Unauthorized });
            }
        }
        match text(headers, API_VERSION) {
            Some(version) if !version.is_empty() && has_version(path) => check_version(version),
            Some(_) | None => Ok(()),
        }
    }

    /// Checks a request that another server will check as well: its head, and the page that sends
    /// it. That server has its own rules of credentials, of CSRF and of versions.
    pub(crate) fn check_passed_on<B>(
        &self,
        request: &Request<B>,
        now: Timestamp,
    ) -> Result<(), Refused> {
        head::check(request).map_err(Refused::Unsound)?;
        let headers = request.headers();
        let page = self.pages.check(request.method(), headers, is_websocket(headers));
        page.map_err(|foreign| self.refuse_page(request, foreign, now))
    }

    /// Whether a request has the credentials that this server asks for, if it asks for any.
    pub(crate) fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let given = text(headers, header::AUTHORIZATION).unwrap_or_default();
        self.authorization.as_ref().is_none_or(|authorization| authorization.is_met_by(given))
    }

    /// Logs wrong credentials.
    pub(crate) fn note_failed_login(&self, client: Option<IpAddr>, path: &str, now: Timestamp) {
        if let Some(more) = self.failed_logins.is_due(now) {
            let client = client.map(tracing::field::display);
            tracing::info!(client, ?path, more, "a login failed");
        }
    }

    /// Logs the refusal as well, because a page shows its user hardly anything of it.
    fn refuse_page<B>(&self, request: &Request<B>, foreign: Foreign, now: Timestamp) -> Refused {
        if let Some(more) = self.refused_pages.is_due(now) {
            let (method, path) = (request.method(), request.uri().path());
            tracing::warn!(%method, ?path, more, "a page in a browser was refused: {foreign}");
        }
        Refused::ForeignPage(foreign)
    }
}

impl Authorization {
    fn is_met_by(&self, given: &str) -> bool {
        let Some((scheme, credentials)) = given.split_once(' ') else { return false };
        let credentials = credentials.trim_start_matches(' ').as_bytes();
        scheme.eq_ignore_ascii_case("basic")
            && self.credentials.as_bytes().ct_eq(credentials).into()
    }
}

/// Whether a path needs no authentication: health checks, and the page of the API, which holds no
/// secrets.
fn is_open(method: &Method, path: &str) -> bool {
    [Method::GET, Method::HEAD].contains(method)
        && matches!(path, "/api/health" | "/api/ready" | "/ready" | "/" | "/docs" | "/docs/")
}

/// Whether a path is that of a page. Pages have a way to sign in, and tokens in their forms.
pub(crate) fn is_page(path: &str) -> bool {
    path.strip_prefix(PAGES).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(crate) fn is_websocket(headers: &HeaderMap) -> bool {
    text(headers, header::UPGRADE).is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
}

fn has_version(path: &str) -> bool {
    path.starts_with("/api/") && !matches!(path, "/api/health" | "/api/version" | "/api/ready")
}

fn check_version(version: &str) -> Result<(), Refused> {
    let numbers: Option<Vec<u64>> = version.split('.').map(|part| part.parse().ok()).collect();
    let Some(numbers) = numbers.filter(|numbers| numbers.len() == 3) else {
        return Err(Refused::Version(format!(
            "Invalid X-PREFECT-API-VERSION header format.Expected header in format 'x.y.z' but \
             received {version}"
        )));
    };
    if numbers.as_slice() < API_VERSION_MIN.as_slice() {
        return Err(Refused::Version(format!(
            "The request specified API version {version} but this server requires version 0.8.0 \
             or higher."
        )));
    }
    Ok(())
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
