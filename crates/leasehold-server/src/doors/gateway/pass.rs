//! Passes requests on, and picks out those that need more than that.

use axum::extract::Request;
use axum::http::Method;
use axum::response::Response;
use leasehold_records::RunKind;

use super::tap::About;
use super::{Gateway, deployments, remembered, sockets, tap, task_runs, ui_settings};
use crate::access::gate;

/// Passes a request on to the upstream, and its answer back.
pub(super) async fn pass(gateway: &Gateway, request: Request) -> Response {
    if gate::is_websocket(request.headers()) {
        return sockets::pass(gateway, request).await;
    }
    if request.method() == Method::GET {
        match request.uri().path() {
            remembered::VERSION => return remembered::version(gateway, request).await,
            remembered::CSRF_TOKEN => return remembered::csrf_token(gateway, request).await,
            path if path.ends_with(ui_settings::PATH) => {
                return ui_settings::pass(gateway, request).await;
            }
            _ => {}
        }
    }
    if deployments::is_write(request.method(), request.uri().path()) {
        return deployments::pass(gateway, request).await;
    }
    if let Some(about) = tap::about(request.method(), request.uri().path()) {
        return match about {
            About::State(RunKind::TaskRun, run) if task_runs::takes_tags(&request) => {
                task_runs::pass(gateway, request, about, run).await
            }
            _ => tap::pass(gateway, request, about).await,
        };
    }
    gateway.upstream.pass(request).await
}
