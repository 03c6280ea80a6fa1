//! The routes of all doors. Each path of the API is known with and without a slash at its end.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{self, MethodRouter};

use super::native::paths::{is_native, json_only};
use super::operation::{Description, Operation};
use super::prefect::unserved::Unserved;
use crate::app::App;
use crate::http::Error;
use crate::http::address::origin;

/// The routes that have been declared so far.
#[derive(Default)]
pub(crate) struct Routes {
    paths: Vec<Path>,
    /// Pages, which are no part of the API.
    pages: Router<App>,
    /// The operations of the API, in the order of their declaration.
    pub(crate) operations: Vec<Description>,
    tag: &'static str,
}

struct Path {
    path: String,
    methods: MethodRouter<App>,
    /// The header `Allow` of a 405: the methods of the first route with this path on the recorded
    /// server; all methods of a path of the native API. `HEAD` is answered where `GET` is, and is
    /// not among them.
    allow: String,
}

impl Routes {
    /// Gives the operations that follow a tag.
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

    /// Adds methods to a path that are operations of another one.
    pub(crate) fn beside(mut self, path: &str, allow: &str, methods: MethodRouter<App>) -> Self {
        if let Some(known) = self.paths.iter_mut().find(|known| known.path == path) {
            known.methods = std::mem::take(&mut known.methods).merge(methods);
            known.allow = allow.to_owned();
        }
        self
    }

    /// Adds the path of a WebSocket. A request without its headers finds nothing there, and neither
    /// does one with a slash at its end.
    pub(crate) fn add_socket(mut self, operation: Operation) -> Self {
        let Operation { methods, description } = operation;
        self.pages = self.pages.route(&description.path, methods);
        self.describe(description)
    }

    /// Adds a page, which is no part of the API.
    pub(crate) fn add_page(mut self, path: &str, methods: MethodRouter<App>) -> Self {
        self.pages = self.pages.route(path, methods);
        self
    }

    fn describe(mut self, mut description: Description) -> Self {
        description.tag = self.tag;
        self.operations.push(description);
        self
    }

    /// The router of all that was added. A method without a handler is answered 404 with a sentence
    /// if a Prefect server has one, and 405 otherwise.
    pub(crate) fn into_router(self) -> Router<App> {
        self.paths.into_iter().fold(self.pages, |router, Path { path, methods, allow }| {
            let allow = HeaderValue::try_from(allow).unwrap_or(HeaderValue::from_static(""));
            let refuse = move |State(app): State<App>, unserved: Unserved| async move {
                unserved.refuse(&app, Error::MethodNotAllowed(allow).into())
            };
            let methods = methods.fallback(refuse);
            let methods = if is_native(&path) { json_only(methods) } else { methods };
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
