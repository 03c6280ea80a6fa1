//! The paths of the native door: `/api/leases` and `/api/leasehold`.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use futures_util::future::Either;
use http_body::Body as _;
use tower::{Service, layer::layer_fn};

use crate::app::App;
use crate::doors::native::error::Error;

/// Whether a path belongs to this door.
pub(crate) fn is_native(path: &str) -> bool {
    let within = |base: &str| {
        path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    within("/api/leases") || within("/api/leasehold")
}

/// Refuses bodies whose `Content-Type` is not JSON. `curl -d` sends another type by default.
pub(crate) fn json_only(methods: MethodRouter<App>) -> MethodRouter<App> {
    methods.layer(layer_fn(JsonOnly))
}

/// A route that accepts only JSON. Unlike a middleware function it allocates nothing.
#[derive(Clone)]
struct JsonOnly<S>(S);

impl<S> Service<Request> for JsonOnly<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        match other_media_type(&request) {
            Some(media_type) => {
                Either::Left(ready(Ok(Error::MediaType(media_type).into_response())))
            }
            None => Either::Right(self.0.call(request)),
        }
    }
}

/// The `Content-Type` of a body, if it is not JSON. A body without this header is read as JSON.
fn other_media_type(request: &Request) -> Option<String> {
    if request.body().is_end_stream() {
        return None;
    }
    let said = request.headers().get(CONTENT_TYPE)?.to_str().unwrap_or("?");
    (!leasehold_prefect::is_json(Some(said))).then(|| said.to_owned())
}
