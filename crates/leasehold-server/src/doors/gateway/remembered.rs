//! What clients ask for before any limit. While the upstream is down, it is answered from what was
//! seen last, so that programs that need limits alone go on.

use std::time::Duration;

use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::Gateway;
use crate::upstream::{Answer, By, UpstreamError};

pub(super) const VERSION: &str = "/api/admin/version";
pub(super) const CSRF_TOKEN: &str = "/api/csrf-token";

/// How long the upstream may take for these answers before ours takes their place.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same after its last answer failed to come.
const PATIENCE_WITH_ILL: Duration = Duration::from_millis(250);

/// A CSRF token, as the upstream issues it.
#[derive(Deserialize)]
struct Issued {
    client: String,
    token: String,
}

/// The upstream's version.
pub(super) async fn version(gateway: &Gateway, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let seen = gateway.upstream.seen();
    match ask(gateway, &head).await {
        Err(goes_round) => goes_round.into_response(),
        Ok(Some(answer)) => {
            if answer.status == StatusCode::OK {
                seen.note_version(answer.clone());
            }
            answer.into_response()
        }
        Ok(None) => match seen.version() {
            Some(answer) if gateway.app.gate().is_authorized(&head.headers) => {
                answer.into_response()
            }
            _ => gateway.answer_instead(Request::from_parts(head, body)).await,
        },
    }
}

/// A token of the upstream, which is valid for our own paths as well. While the upstream is down we
/// issue one, if it wants tokens. When it is back it refuses that one, and the client asks again.
pub(super) async fn csrf_token(gateway: &Gateway, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let answer = match ask(gateway, &head).await {
        Ok(Some(answer)) => answer,
        Ok(None) => return gateway.answer_instead(Request::from_parts(head, body)).await,
        Err(goes_round) => return goes_round.into_response(),
    };
    let gate = gateway.app.gate();
    match answer.status {
        StatusCode::OK => {
            gate.set_csrf_protected(true);
            if let Ok(Issued { client, token }) = serde_json::from_slice(&answer.body)
                && let Some(tokens) = gate.csrf()
            {
                tokens.accept(&client, token, gateway.app.ledger().clock().now());
            }
        }
        StatusCode::UNPROCESSABLE_ENTITY if says_disabled(&answer) => {
            gate.set_csrf_protected(false);
        }
        _ => {}
    }
    answer.into_response()
}

fn says_disabled(answer: &Answer) -> bool {
    let said = answer.json();
    said["detail"].as_str().is_some_and(|detail| detail.contains("disabled"))
}

/// Asks the upstream in the client's name. `None` if it is down: if it fails, or is late. An
/// upstream that leads back to us is an error: no answer of ours may pass for its own.
async fn ask(gateway: &Gateway, head: &Parts) -> Result<Option<Answer>, UpstreamError> {
    let upstream = &gateway.upstream;
    let patience = if upstream.illness().is_some() { PATIENCE_WITH_ILL } else { PATIENCE };
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let asked = (Method::GET, path);
    match upstream.call_within(patience, asked, None, By::Client(&head.headers)).await {
        Ok(answer) if answer.status == StatusCode::LOOP_DETECTED => Ok(Some(answer)),
        Ok(answer) => Ok((!answer.status.is_server_error()).then_some(answer)),
        Err(goes_round @ UpstreamError::Loop { .. }) => Err(goes_round),
        Err(_) => Ok(None),
    }
}
