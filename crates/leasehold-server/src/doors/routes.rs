//! The routes of all doors. Each path of the API works with and without a slash at its end.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};
use tower::layer::layer_fn;

use super::native::paths::{is_native, json_only};
use super::operation::{Description, Operation};
use super::prefect::unserved::Unserved;
use crate::app::App;
use crate::figures::Counted;
use crate::http::Error;
use crate::http::address::origin;

/// The routes that have been declared so far.
#[derive(Default)]
pub(crate) struct Routes {
    paths: Vec<Path>,
    /// Pages, which are no part of the API.
    pages: Vec<(String, MethodRouter<App>)>,
    /// The operations of the API, in the order of their declaration.
    pub(crate) operations: Vec<Description>,
    tag: &'static str,
}

struct Path {
    path: String,
    methods: MethodRouter<App>,
    /// The header `Allow` of a 405. For the recorded contract it has the methods of the first route
    /// with this path on the recorded server; for the native API it has all methods of the path.
    /// `HEAD` is not among them, though it works where `GET` does.
    allow: String,
}

impl Routes {
    /// Sets the tag of the operations that follow.
    pub(crate) fn tagged(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    /// Adds an operation.
    pub(crate) fn add(mut self, operation: Operation) -> Self {
        let Operation { methods, description } = operation;
        let (path, method) = (description.path.clone(), description.method.to_uppercase());
        self = self.describe(description);
        match self.paths.iter_mut().find(|known| known.path == path) {
            Some(known) => {
                known.methods = std::mem::take(&mut known.methods).merge(methods);
                if is_native(&path) {
                    known.allow = format!("{}, {method}", known.allow);
                }
            }
            None => self.paths.push(Path { path, methods, allow: method }),
        }
        self
    }

    /// Adds methods to a declared path, without declaring operations for them.
    pub(crate) fn beside(mut self, path: &str, allow: &str, methods: MethodRouter<App>) -> Self {
        if let Some(known) = self.paths.iter_mut().find(|known| known.path == path) {
            known.methods = std::mem::take(&mut known.methods).merge(methods);
            known.allow = allow.to_owned();
        }
        self
    }

    /// Adds the path of a WebSocket. A path with a slash at its end is no such path.
    pub(crate) fn add_socket(mut self, operation: Operation) -> Self {
        let Operation { methods, description } = operation;
        self.pages.push((description.path.clone(), methods));
        self.describe(description)
    }

    /// Adds a page, which is no part of the API.
    pub(crate) fn add_page(mut self, path: &str, methods: MethodRouter<App>) -> Self {
        self.pages.push((path.to_owned(), methods));
        self
    }

    fn describe(mut self, mut description: Description) -> Self {
        description.tag = self.tag;
        self.operations.push(description);
        self
    }

    /// The router of all routes, each of which is counted. For a method without a handler it
    /// answers 404 with a sentence if a Prefect server has the method, and 405 otherwise.
    pub(crate) fn into_router(self, app: &App) -> Router<App> {
        let counted = |path: &str, methods: MethodRouter<App>| {
            let figures = app.figures().route(path);
            let clock = app.ledger().clock().clone();
            methods.layer(layer_fn(move |inner| Counted {
                inner,
                figures: figures.clone(),
                clock: clock.clone(),
            }))
        };
        let pages = self.pages.into_iter().fold(Router::new(), |router, (path, methods)| {
            router.route(&path, counted(&path, methods))
        });
        self.paths.into_iter().fold(pages, |router, Path { path, methods, allow }| {
            let allow = HeaderValue::try_from(allow).unwrap_or(HeaderValue::from_static(""));
            let refuse = move |State(app): State<App>, unserved: Unserved| async move {
                unserved.refuse(&app, Error::MethodNotAllowed(allow).into())
            };
            let methods = methods.fallback(refuse);
            let methods = if is_native(&path) { json_only(methods) } else { methods };
            let methods = counted(&path, methods);
            router.route(&path, methods).route(&twin(&path), routing::any(redirect))
        })
    }
}

/// The same path with the slash at its end added or removed.
fn twin(path: &str) -> String {
    path.strip_suffix('/').map_or_else(|| format!("{path}/"), str::to_owned)
}

/// 307 to the twin of a path.
pub(super) async fn redirect(request: Request) -> Response {
    let uri = request.uri();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("{}{}{query}", origin(request.headers(), uri), twin(uri.path()));
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)]).into_response()
}
