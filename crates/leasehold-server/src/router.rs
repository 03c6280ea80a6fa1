//! The service of the whole server: first the gate, then the routes of all doors, then the fallback
//! for paths that no door knows.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::future::RouteFuture;
use futures_util::future::{BoxFuture, Either, FutureExt};
use http_body::Body as HttpBody;
use leasehold_node::Unavailable;
use tower::{BoxError, Service};

use crate::access::{gate, pages};
use crate::app::App;
use crate::doors::prefect::error::Error;
use crate::doors::prefect::unserved::{self, Asked, Unserved};
use crate::doors::{self, gateway, native, operations, prefect};
use crate::http::access_log::Entry;
use crate::http::{self, unread_body};

/// All routes, behind the gate. The gate stands before the router, not around each route: the
/// server reads no body before it knows the path, and an admitted request costs no more for it.
#[derive(Clone)]
pub struct HttpService {
    app: App,
    router: Router,
    /// With an upstream: the service of all paths that are not ours alone.
    gateway: Option<Router>,
}

impl<B> Service<Request<B>> for HttpService
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
        let origin = self.app.gate().allowed_origin(request.headers()).cloned();
        let is_plain = request.body().is_end_stream() && origin.is_none();
        if is_plain && !self.app.logs_requests() {
            return Either::Left(self.pass(request));
        }
        if self.app.logs_requests() {
            let entry = Entry::begin(&request, self.app.ledger().clock());
            let has_access_log = self.app.config().has_access_log;
            let answer = entry.log(has_access_log, self.attend(request, origin));
            return Either::Right(answer.map(Ok).boxed());
        }
        Either::Right(self.attend(request, origin).map(Ok).boxed())
    }
}

/// The answer to a request: at once if it is refused, else from a route.
type Passed = Either<Ready<Result<Response, Infallible>>, RouteFuture<Infallible>>;

impl HttpService {
    pub(crate) fn new(app: App) -> Self {
        let router = doors::all(&app).into_router(&app).fallback(not_found);
        let router = router.with_state(app.clone());
        let gateway = gateway::service(&app, router.clone());
        Self { router, gateway, app }
    }

    /// Answers a request that has a body, comes from an allowed page, or is logged. It passes the
    /// request on before it returns its future: polling a future costs by its size, and this one
    /// carries neither the request nor the router.
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
            let is_awaited = unread_body::is_awaited(request.headers());
            let (parts, body) = request.into_parts();
            let (lent, lender) = unread_body::lend(body);
            Some((self.pass(Request::from_parts(parts, lent)), lender, is_awaited))
        };
        async move {
            let mut response = match passed {
                None => StatusCode::NO_CONTENT.into_response(),
                Some((answer, lender, is_awaited)) => {
                    let Ok(mut response) = answer.await;
                    if let Some(left) = lender.left() {
                        Box::pin(unread_body::settle(left, is_awaited, &mut response)).await;
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
        let path = request.uri().path();
        if self.has_run_out(path) {
            let refused = http::Error::from(Unavailable::Journal);
            return self.refuse(&request, refused.into_response());
        }
        let now = self.app.ledger().clock().now();
        let gate = self.app.gate();
        if let Some(gateway) = self.gateway.as_mut().filter(|_| !gateway::is_ours(path)) {
            let checked = match gateway::is_of_limits(path) {
                true => gate.check(&request, false, now),
                false => gate.check_passed_on(&request, now),
            };
            return match checked {
                Ok(()) => Either::Right(gateway.call(request)),
                Err(refused) => self.refuse(&request, http::Error::from(refused).into_response()),
            };
        }
        let response = match gate.check(&request, prefect::is_socket(path), now) {
            Ok(()) if prefect::is_known(path) => return Either::Right(self.router.call(request)),
            Ok(()) => unknown(&self.app, &request).into_response(),
            Err(refused) if native::is_native(path) => http::Error::from(refused).with_detail(),
            Err(refused) => http::Error::from(refused).into_response(),
        };
        self.refuse(&request, response)
    }

    /// Whether another node may own the ledger by now, so that what this one knows may be out of
    /// date. Its metrics are its own.
    fn has_run_out(&self, path: &str) -> bool {
        let tenure = self.app.config().tenure.as_ref();
        tenure.is_some_and(|tenure| !tenure.lasts()) && path != operations::METRICS
    }

    /// An answer at once.
    fn refuse<B>(&self, request: &Request<B>, mut response: Response) -> Passed {
        self.app.figures().unrouted().count(request.method(), response.status());
        if request.method() == Method::HEAD {
            *response.body_mut() = Body::empty();
        }
        Either::Left(ready(Ok(response)))
    }
}

/// The answer to a path that no door knows.
async fn not_found(
    State(app): State<App>,
    method: Method,
    unserved: Unserved,
    headers: HeaderMap,
) -> Error {
    app.figures().unrouted().count(&method, StatusCode::NOT_FOUND);
    let otherwise = unserved.refuse(&app, Error::PATH_NOT_FOUND);
    // Only the log has the sentence: a client that asked for a WebSocket does not read an answer.
    if gate::is_websocket(&headers) { http::Error::NoSocket.into() } else { otherwise }
}

/// The answer to a path that matches a route here but none of the recorded server.
fn unknown<B>(app: &App, request: &Request<B>) -> Error {
    let asked = Asked {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        peer: request.extensions().get().copied(),
    };
    unserved::refuse(app, &asked, Error::PATH_NOT_FOUND)
}
