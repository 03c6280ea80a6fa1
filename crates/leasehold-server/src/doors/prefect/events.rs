//! The WebSockets of events and logs: the server accepts and authenticates them, and reads each to
//! its end.
//!
//! Acquiring works without them, but every client process logs that it cannot connect.

mod event_stream;
mod socket;
mod wanted;

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, Utf8Bytes, WebSocketUpgrade};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::socket::{
    GOING_AWAY, GOODBYE_TIMEOUT, POLICY_VIOLATION, PROTOCOL_ERROR, SERVICE_RESTART, Socket,
};
use crate::access::origin::Origin;
use crate::app::App;
use crate::doors::groups::EVENTS;
use crate::doors::operation::Operation;
use crate::doors::prefect::error::Error;
use crate::doors::prefect::unserved::Unserved;
use crate::doors::routes::Routes;
use crate::http;
use crate::http::UPGRADE_REQUIRED;

/// The subprotocol in which clients authenticate.
const SUBPROTOCOL: &str = "prefect";
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// How long the server waits for a client's token, and for its filter.
const FIRST_MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// The paths of all WebSockets.
pub(crate) const SOCKETS: [&str; 3] = [EVENTS_IN, EVENTS_OUT, LOGS_OUT];
const EVENTS_IN: &str = "/api/events/in";
const EVENTS_OUT: &str = "/api/events/out";
const LOGS_OUT: &str = "/api/logs/out";

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .tagged(EVENTS)
        .add_socket(socket(EVENTS_IN, any(events_in)).named("send_events", "Send events"))
        .add_socket(socket(EVENTS_OUT, any(events_out)).named("receive_events", "Receive events").about(
            "The token is in the first message, as for `/api/events/in`; the next is \
             `{\"type\": \"filter\", \"filter\": {…}}` with any part of the clients' `EventFilter`. \
             The events of the last quarter of an hour come first, unless it says \
             `\"backfill\": false`.",
        ))
        .add_socket(socket(LOGS_OUT, any(logs_out)).named("receive_logs", "Receive logs"))
}

fn socket(path: &str, methods: MethodRouter<App>) -> Operation {
    Operation::new("get", path, methods)
        .about("The token is in the first message: `{\"type\": \"auth\", \"token\": …}`.")
        .open()
        .done(101, "The connection is a WebSocket.")
        .done(
            403,
            "Authentication is required, and the client does not offer the subprotocol `prefect`, \
             which has it.",
        )
        .refuses(426, "The request lacks the headers of a WebSocket.")
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

async fn events_in(
    State(app): State<App>,
    origin: Origin,
    asked: Unserved,
    upgrade: Upgrade,
) -> Response {
    let address = origin.said.and_then(|origin| origin.address);
    accept(app.clone(), &asked, upgrade, GOING_AWAY, move |socket| drain(app, socket, address))
}

async fn events_out(State(app): State<App>, asked: Unserved, upgrade: Upgrade) -> Response {
    let served = app.clone();
    let serve = |socket| event_stream::serve(served, socket);
    accept(app, &asked, upgrade, SERVICE_RESTART, serve)
}

async fn logs_out(State(app): State<App>, asked: Unserved, upgrade: Upgrade) -> Response {
    accept(app, &asked, upgrade, SERVICE_RESTART, stand_by)
}

/// Accepts a socket. A client that offers the subprotocol authenticates first. Old clients do not
/// offer it; the server accepts them only if it needs no authentication. `goodbye` is the close
/// code that the server sends when it stops.
fn accept<F>(
    app: App,
    asked: &Unserved,
    upgrade: Upgrade,
    goodbye: u16,
    serve: impl FnOnce(Socket) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send,
{
    let Ok(upgrade) = upgrade else {
        asked.tell(&app, "WebSockets", UPGRADE_REQUIRED);
        return http::Error::UpgradeRequired.into_response();
    };
    let offers = |offer: &str| offer.split(',').any(|offered| offered.trim() == SUBPROTOCOL);
    let speaks = asked
        .headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .any(|offer| offer.to_str().is_ok_and(offers));
    if !speaks && app.gate().needs_authentication() {
        return StatusCode::FORBIDDEN.into_response();
    }
    let Some(member) = app.sockets().open(asked.counted()) else {
        return Error::OVERLOADED.into_response();
    };
    let (address, path) = (asked.address(), asked.path().to_owned());
    let mut stopping = app.sockets().stopping();
    // The library reads a frame whole before it checks the size of the message.
    let upgrade = upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    upgrade.protocols([SUBPROTOCOL]).on_upgrade(async move |socket| {
        let _member = member;
        let mut socket = Socket::new(socket, stopping.clone(), goodbye);
        let session = async {
            let failed =
                || app.gate().note_failed_login(address, &path, app.ledger().clock().now());
            if !speaks || authenticate(&app, &mut socket, failed).await {
                serve(socket).await;
            }
        };
        let out_of_time = async {
            stopping.heard().await;
            tokio::time::sleep(GOODBYE_TIMEOUT).await;
        };
        tokio::select! {
            () = session => {}
            () = out_of_time => {}
        }
    })
}

#[derive(Deserialize)]
struct Auth {
    r#type: Option<String>,
    token: Option<String>,
}

async fn first_text(socket: &mut Socket) -> Option<Utf8Bytes> {
    tokio::time::timeout(FIRST_MESSAGE_TIMEOUT, socket.next_text()).await.ok()?
}

/// Reads the first message and answers it. Calls `failed` if the token is wrong.
async fn authenticate(app: &App, socket: &mut Socket, failed: impl FnOnce()) -> bool {
    let Some(first) = first_text(socket).await else { return false };
    // The recorded server, too, ends the connection without a reason if the text is not JSON.
    let Ok(auth) = serde_json::from_str::<Auth>(&first) else { return false };
    let refusal = if auth.r#type.as_deref() != Some("auth") {
        Some("Expected 'auth' message")
    } else if !app.gate().needs_authentication() {
        None
    } else {
        match auth.token {
            None => Some("Auth required but no token provided"),
            Some(token) if !app.gate().accepts_token(&token) => {
                failed();
                Some("Invalid token")
            }
            Some(_) => None,
        }
    };
    match refusal {
        Some(reason) => {
            socket.close(POLICY_VIOLATION, reason).await;
            false
        }
        None => socket.send(Message::Text(r#"{"type":"auth_success"}"#.into())).await.is_ok(),
    }
}

/// Reads events until the client closes the socket. A text that is no event ends the connection.
async fn drain(app: App, mut socket: Socket, address: Option<IpAddr>) {
    while let Some(text) = socket.next_text().await {
        if !app.hear(&text, address).await {
            return;
        }
    }
}

/// The filter of a subscriber to logs.
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

/// The message with which a client subscribes.
#[derive(Deserialize)]
struct Subscription<F> {
    filter: F,
    #[serde(default = "wants_backfill")]
    backfill: bool,
}

/// Clients rely on the backfill without asking for it.
fn wants_backfill() -> bool {
    true
}

impl<F: DeserializeOwned> Subscription<F> {
    /// Reads a subscription. `None` if there is none. If the filter is invalid, the close frame
    /// carries the reason; the recorded server gives none.
    async fn read(socket: &mut Socket) -> Option<Self> {
        let first: Value = serde_json::from_str(&first_text(socket).await?).ok()?;
        if first.get("type").and_then(Value::as_str) != Some("filter") {
            socket.close(PROTOCOL_ERROR, "Expected 'filter' message").await;
            return None;
        }
        match serde_json::from_value(first) {
            Ok(subscription) => Some(subscription),
            Err(wrong) => {
                socket.close(PROTOCOL_ERROR, &format!("Invalid filter: {wrong}")).await;
                None
            }
        }
    }
}

/// Reads a subscription to logs and holds the socket open. The server keeps no logs, so it sends
/// nothing.
async fn stand_by(mut socket: Socket) {
    if Subscription::<LogFilter>::read(&mut socket).await.is_some() {
        while socket.next_text().await.is_some() {}
    }
}
