//! The WebSockets of events: accepted, authenticated, and read to their end.
//!
//! Without them everything works, but every client process logs that it cannot connect.

mod event_stream;
mod wanted;

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Routes;
use crate::app::App;
use crate::error::ApiError;
use crate::observe::{self, ClientEvent};

/// The subprotocol of clients that authenticate.
const SUBPROTOCOL: &str = "prefect";
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// A client that has not authenticated by then never will.
const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that does not read by then keeps nothing of ours.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// Close codes of RFC 6455.
const PROTOCOL_ERROR: u16 = 1002;
const POLICY_VIOLATION: u16 = 1008;
/// What a close frame has room for.
const REASON_BYTES_MAX: usize = 123;

/// The paths of all WebSockets.
pub(super) const SOCKETS: [&str; 3] = [EVENTS_IN, EVENTS_OUT, LOGS_OUT];
const EVENTS_IN: &str = "/api/events/in";
const EVENTS_OUT: &str = "/api/events/out";
const LOGS_OUT: &str = "/api/logs/out";

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add_socket(EVENTS_IN, any(events_in))
        .add_socket(EVENTS_OUT, any(events_out))
        .add_socket(LOGS_OUT, any(logs_out))
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

async fn events_in(State(app): State<App>, headers: HeaderMap, upgrade: Upgrade) -> Response {
    accept(app.clone(), &headers, upgrade, |socket| drain(app, socket))
}

async fn events_out(State(app): State<App>, headers: HeaderMap, upgrade: Upgrade) -> Response {
    accept(app.clone(), &headers, upgrade, |socket| event_stream::serve(app, socket))
}

async fn logs_out(State(app): State<App>, headers: HeaderMap, upgrade: Upgrade) -> Response {
    accept(app, &headers, upgrade, stand_by)
}

/// Accepts a socket and, if its client speaks the subprotocol, authenticates it first. Old
/// clients do not; they may come in only where nobody has to authenticate.
fn accept<F>(
    app: App,
    headers: &HeaderMap,
    upgrade: Upgrade,
    serve: impl FnOnce(WebSocket) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send,
{
    // A plain request: to it, there is nothing here.
    let Ok(upgrade) = upgrade else { return ApiError::PathNotFound.into_response() };
    let offers = |offer: &str| offer.split(',').any(|offered| offered.trim() == SUBPROTOCOL);
    let speaks = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .any(|offer| offer.to_str().is_ok_and(offers));
    if !speaks && app.gate().needs_authentication() {
        return StatusCode::FORBIDDEN.into_response();
    }
    upgrade.max_message_size(MESSAGE_BYTES_MAX).protocols([SUBPROTOCOL]).on_upgrade(
        async move |mut socket| {
            if !speaks || authenticate(&app, &mut socket).await {
                serve(socket).await;
            }
        },
    )
}

#[derive(Deserialize)]
struct Auth {
    r#type: Option<String>,
    token: Option<String>,
}

async fn authenticate(app: &App, socket: &mut WebSocket) -> bool {
    let first = tokio::time::timeout(AUTHENTICATION_TIMEOUT, next_text(socket)).await;
    let Ok(Some(first)) = first else { return false };
    // What is no JSON at all ends the connection without a word, as recorded.
    let Ok(auth) = serde_json::from_str::<Auth>(&first) else { return false };
    let refusal = if auth.r#type.as_deref() != Some("auth") {
        Some("Expected 'auth' message")
    } else if !app.gate().needs_authentication() {
        None
    } else {
        match auth.token {
            None => Some("Auth required but no token provided"),
            Some(token) if !app.gate().accepts_token(&token) => Some("Invalid token"),
            Some(_) => None,
        }
    };
    match refusal {
        Some(reason) => {
            close(socket, POLICY_VIOLATION, reason).await;
            false
        }
        None => send(socket, Message::Text(r#"{"type":"auth_success"}"#.into())).await.is_ok(),
    }
}

/// Reads events until the client has no more. One that is none ends the connection.
async fn drain(app: App, mut socket: WebSocket) {
    while let Some(text) = next_text(&mut socket).await {
        let Some((event, document)) = ClientEvent::read(&text) else { return };
        observe::client_event(&app, event, document).await;
    }
}

/// What a subscriber of logs may ask for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogFilter {
    #[serde(rename = "operator")]
    _operator: Option<Value>,
    #[serde(rename = "level")]
    _level: Option<Value>,
    #[serde(rename = "timestamp")]
    _timestamp: Option<Value>,
    #[serde(rename = "flow_run_id")]
    _flow_run_id: Option<Value>,
    #[serde(rename = "task_run_id")]
    _task_run_id: Option<Value>,
}

/// What a subscriber asks for in its first message.
#[derive(Deserialize)]
struct Subscription<F> {
    filter: F,
    #[serde(default = "wants_backfill")]
    backfill: bool,
}

/// Clients rely on it and never say so.
fn wants_backfill() -> bool {
    true
}

impl<F: DeserializeOwned> Subscription<F> {
    /// Takes a subscription. One that asks for what there is not ends the connection, `None`, and
    /// its client is told why: from the recorded server it would have to guess.
    async fn read(socket: &mut WebSocket) -> Option<Self> {
        let first: Value = serde_json::from_str(&next_text(socket).await?).ok()?;
        if first.get("type").and_then(Value::as_str) != Some("filter") {
            close(socket, PROTOCOL_ERROR, "Expected 'filter' message").await;
            return None;
        }
        match serde_json::from_value(first) {
            Ok(subscription) => Some(subscription),
            Err(wrong) => {
                close(socket, PROTOCOL_ERROR, &format!("Invalid filter: {wrong}")).await;
                None
            }
        }
    }
}

/// Takes a subscription and holds it: logs are not kept, so there is nothing to be told.
async fn stand_by(mut socket: WebSocket) {
    if Subscription::<LogFilter>::read(&mut socket).await.is_some() {
        while next_text(&mut socket).await.is_some() {}
    }
}

/// The next text; pings are answered meanwhile, and so is a good-bye: that answer is written
/// when the socket is read again. `None` when the client is gone.
async fn next_text(socket: &mut WebSocket) -> Option<axum::extract::ws::Utf8Bytes> {
    loop {
        match socket.recv().await? {
            Ok(Message::Text(text)) => return Some(text),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_)) => {}
            Ok(Message::Binary(_)) | Err(_) => return None,
        }
    }
}

/// A client that is gone, or that reads nothing.
#[derive(Debug, PartialEq)]
struct Gone;

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), Gone> {
    in_time(socket.send(message)).await
}

async fn in_time<E>(sending: impl Future<Output = Result<(), E>>) -> Result<(), Gone> {
    match tokio::time::timeout(SEND_TIMEOUT, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Gone),
    }
}

async fn close(socket: &mut WebSocket, code: u16, reason: &str) {
    let reason = reason.get(..reason.floor_char_boundary(REASON_BYTES_MAX)).unwrap_or_default();
    // A client that is gone already needs no good-bye.
    let _ = send(socket, Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
    let _ = tokio::time::timeout(Duration::from_secs(1), next_text(socket)).await;
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_that_never_reads_is_given_up() {
        let since = tokio::time::Instant::now();
        let never_read = std::future::pending::<Result<(), Infallible>>();
        assert_eq!(in_time(never_read).await, Err(Gone));
        assert_eq!(since.elapsed(), SEND_TIMEOUT);
    }
}
