//! Who may come in: pages in a browser first, then CSRF, authentication, and the version of the
//! API, in the order in which the recorded server looks at them.

mod head;
mod pages;
mod unread;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::IpAddr;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::future::RouteFuture;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::{BoxFuture, Either, FutureExt};
use http_body::Body as HttpBody;
use subtle::ConstantTimeEq;
use tower::{BoxError, Service};

pub(crate) use self::head::Unsound;
pub(crate) use self::pages::Foreign;
use self::pages::Pages;
pub use self::pages::{AllowedHost, NoName, Origin};
use crate::access::csrf::CsrfTokens;
use crate::access::peer::Peer;
use crate::app::App;
use crate::config::Config;
use crate::doors;
use crate::doors::prefect::unserved::{self, Asked};
use crate::http::access_log::{self, Entry};
use crate::http::error::ApiError;
use crate::http::log_throttle::Rarely;

const CSRF_TOKEN: &str = "prefect-csrf-token";
const CSRF_CLIENT: &str = "prefect-csrf-client";
const API_VERSION: &str = "x-prefect-api-version";
const API_VERSION_MIN: [u64; 3] = [0, 8, 0];

/// The 401 of the paths that are ours alone, whose errors all have a `detail`.
const UNAUTHORIZED_AT_OURS: &str = r#"{"detail":"The server wants its auth string, and it is missing or wrong.","exception_message":"Unauthorized"}"#;

/// What a request has to show before it is looked at.
pub(crate) struct Gate {
    authorization: Option<Authorization>,
    csrf: Option<CsrfTokens>,
    pages: Pages,
    refused_pages: Rarely,
    failed_logins: Rarely,
}

/// What clients must send: the string, and how it stands in `Authorization` after the scheme.
struct Authorization {
    credentials: String,
    auth_string: String,
}

/// Everything that is served, behind the gate. It stands before the router and not around each
/// route: bodies are not looked at before the path is known, and a request that is let through
/// costs no more for it.
#[derive(Clone)]
pub struct Gated {
    app: App,
    router: Router,
}

impl Gated {
    pub(crate) fn new(app: App, router: Router) -> Self {
        Self { app, router }
    }

    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// The answer to a path that no route of the recorded server matches as ours would.
    fn unknown<B>(&self, request: &Request<B>) -> ApiError {
        let asked = Asked {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            peer: request.extensions().get().copied(),
        };
        unserved::refuse(&self.app, &asked, ApiError::PathNotFound)
    }
}

impl<B> Service<Request<B>> for Gated
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Passed, BoxFuture<'static, Result<Response, Infallible>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let origin = self.app.gate().pages.allowed(request.headers().get(header::ORIGIN)).cloned();
        let is_plain = request.body().is_end_stream() && origin.is_none();
        if is_plain && !access_log::is_on(&self.app) {
            return Either::Left(self.pass(request));
        }
        if access_log::is_on(&self.app) {
            let entry = Entry::begin(&self.app, &request);
            let (app, answer) = (self.app.clone(), self.attend(request, origin));
            return Either::Right(async move { Ok(entry.log(&app, answer).await) }.boxed());
        }
        Either::Right(self.attend(request, origin).map(Ok).boxed())
    }
}

/// An answer: at once to what is refused, else a route's.
type Passed = Either<Ready<Result<Response, Infallible>>, RouteFuture<Infallible>>;

impl Gated {
    /// Answers a request of which more is to be seen to than the answer. What is passed on is passed
    /// on at once: a future that is polled costs by its size, and carries neither request nor router.
    fn attend<B>(
        &mut self,
        request: Request<B>,
        origin: Option<HeaderValue>,
    ) -> impl Future<Output = Response> + Send + use<B>
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        let passed = if origin.is_some() && pages::is_preflight(&request) {
            None
        } else {
            let is_awaited = unread::is_awaited(request.headers());
            let (parts, body) = request.into_parts();
            let (lent, lender) = unread::lend(body);
            Some((self.pass(Request::from_parts(parts, lent)), lender, is_awaited))
        };
        async move {
            let mut response = match passed {
                None => StatusCode::NO_CONTENT.into_response(),
                Some((answer, lender, is_awaited)) => {
                    let Ok(mut response) = answer.await;
                    if let Some(left) = lender.left() {
                        Box::pin(unread::settle(left, is_awaited, &mut response)).await;
                    }
                    response
                }
            };
            if let Some(origin) = origin {
                pages::let_read(&mut response, origin);
            }
            response
        }
    }

    fn pass<B>(&mut self, request: Request<B>) -> Passed
    where
        B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let refused = match self.app.gate().check(&self.app, &request) {
            Ok(()) if doors::is_known(request.uri().path()) => None,
            Ok(()) => Some(self.unknown(&request)),
            Err(error) => Some(error),
        };
        let Some(error) = refused else { return Either::Right(self.router.call(request)) };
        let mut response = error.into_response();
        if response.status() == StatusCode::UNAUTHORIZED && doors::is_ours(request.uri().path()) {
            *response.body_mut() = Body::from(UNAUTHORIZED_AT_OURS);
        }
        if request.method() == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        Either::Left(ready(Ok(response)))
    }
}

impl Gate {
    pub(crate) fn new(config: &Config) -> Self {
        let authorization = config.auth_string.as_ref().map(|auth_string| Authorization {
            credentials: BASE64_STANDARD.encode(auth_string),
            auth_string: auth_string.clone(),
        });
        Self {
            authorization,
            csrf: config.is_csrf_protected.then(CsrfTokens::default),
            pages: Pages::new(config.allowed_hosts.clone(), config.cors_origins.clone()),
            refused_pages: Rarely::default(),
            failed_logins: Rarely::default(),
        }
    }

    pub(crate) fn csrf(&self) -> Option<&CsrfTokens> {
        self.csrf.as_ref()
    }

    pub(crate) fn needs_authentication(&self) -> bool {
        self.authorization.is_some()
    }

    /// Whether a WebSocket's token is right; without authentication any token is.
    pub(crate) fn accepts_token(&self, token: &str) -> bool {
        self.authorization.as_ref().is_none_or(|authorization| {
            authorization.auth_string.as_bytes().ct_eq(token.as_bytes()).into()
        })
    }

    fn check<B>(&self, app: &App, request: &Request<B>) -> Result<(), ApiError> {
        head::check(request).map_err(ApiError::Unsound)?;
        let headers = request.headers();
        let is_write = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        let page = self.pages.check(request.method(), headers, is_websocket(headers));
        page.map_err(|foreign| self.refuse_page(app, request, foreign))?;
        if let Some(csrf) = self.csrf.as_ref().filter(|_| is_write) {
            let token = text(headers, CSRF_TOKEN).ok_or(ApiError::Csrf("Missing CSRF token."))?;
            let client =
                text(headers, CSRF_CLIENT).ok_or(ApiError::Csrf("Missing client identifier."))?;
            if !csrf.is_valid(client, token, app.ledger().clock().now()) {
                return Err(ApiError::Csrf("Invalid CSRF token or client identifier."));
            }
        }
        let path = request.uri().path();
        if let Some(authorization) = &self.authorization {
            // WebSockets authenticate by their first message.
            let is_socket = request.method() == Method::GET && is_websocket(headers);
            // Without the headers of one they are refused in any case, with a sentence.
            let is_get = request.method() == Method::GET;
            let is_open = is_open(request.method(), path) || (is_get && doors::is_socket(path));
            let given = text(headers, header::AUTHORIZATION.as_str()).unwrap_or_default();
            if !is_open && !authorization.is_met_by(given) {
                if !given.is_empty() {
                    let peer = request.extensions().get::<Peer>();
                    self.note_failed_login(app, peer.map(|peer| peer.address()), path);
                }
                return Err(if is_socket { ApiError::NoSocket } else { ApiError::Unauthorized });
            }
        }
        match text(headers, API_VERSION) {
            Some(version) if !version.is_empty() && has_version(path) => check_version(version),
            Some(_) | None => Ok(()),
        }
    }

    /// Somebody came with a wrong password.
    pub(crate) fn note_failed_login(&self, app: &App, client: Option<IpAddr>, path: &str) {
        if let Some(more) = self.failed_logins.is_due(app.ledger().clock().now()) {
            let client = client.map(tracing::field::display);
            tracing::info!(client, ?path, more, "a login failed");
        }
    }

    /// A page shows its user hardly anything of a refusal, so that the log has to.
    fn refuse_page<B>(&self, app: &App, request: &Request<B>, foreign: Foreign) -> ApiError {
        if let Some(more) = self.refused_pages.is_due(app.ledger().clock().now()) {
            let (method, path) = (request.method(), request.uri().path());
            tracing::warn!(%method, ?path, more, "a page in a browser was refused: {foreign}");
        }
        ApiError::ForeignPage(foreign)
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

/// Health checks need no authentication, and the page that shows the API holds no secrets.
fn is_open(method: &Method, path: &str) -> bool {
    [Method::GET, Method::HEAD].contains(method)
        && matches!(path, "/api/health" | "/api/ready" | "/" | "/docs" | "/docs/")
}

pub(crate) fn is_websocket(headers: &HeaderMap) -> bool {
    text(headers, header::UPGRADE.as_str())
        .is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
}

fn has_version(path: &str) -> bool {
    path.starts_with("/api/") && !matches!(path, "/api/health" | "/api/version" | "/api/ready")
}

fn check_version(version: &str) -> Result<(), ApiError> {
    let numbers: Option<Vec<u64>> = version.split('.').map(|part| part.parse().ok()).collect();
    let Some(numbers) = numbers.filter(|numbers| numbers.len() == 3) else {
        return Err(ApiError::Version(format!(
            "Invalid X-PREFECT-API-VERSION header format.Expected header in format 'x.y.z' but \
             received {version}"
        )));
    };
    if numbers.as_slice() < API_VERSION_MIN.as_slice() {
        return Err(ApiError::Version(format!(
            "The request specified API version {version} but this server requires version 0.8.0 \
             or higher."
        )));
    }
    Ok(())
}

fn text<'headers>(headers: &'headers HeaderMap, name: &str) -> Option<&'headers str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
