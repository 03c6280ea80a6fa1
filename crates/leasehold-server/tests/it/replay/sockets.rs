//! The WebSockets of events, with a real client.

use std::net::SocketAddr;

use axum::body::Body;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue, Response, header};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::Replay;
use super::recording::{Line, lines};
use crate::fixture::{TestApp, request};

pub(crate) type Socket = WebSocketStream<TcpStream>;

pub(crate) async fn connect(
    address: SocketAddr,
    path: &str,
    offered: &[String],
    headers: &[(String, String)],
) -> Result<(Socket, Response<Option<Vec<u8>>>), Error> {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    let fields = request.headers_mut();
    if !offered.is_empty() {
        let offered = HeaderValue::try_from(offered.join(", ")).unwrap();
        fields.insert(header::SEC_WEBSOCKET_PROTOCOL, offered);
    }
    for (name, value) in headers {
        let name = HeaderName::try_from(name.as_str()).unwrap();
        fields.insert(name, HeaderValue::try_from(value).unwrap());
    }
    client_async(request, TcpStream::connect(address).await.unwrap()).await
}

/// Fails if the server has closed the socket or sent a message. It may only answer a ping.
async fn is_open(socket: &mut Socket) {
    socket.send(Message::Ping("still there?".into())).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    assert_eq!(answer, Message::Pong("still there?".into()));
}

/// The subprotocol that the server chose.
fn selected<T>(response: &Response<T>) -> Option<&str> {
    let value = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL)?;
    Some(value.to_str().unwrap())
}

fn text(message: &Value) -> Message {
    match message {
        Value::String(text) => Message::text(text.clone()),
        json => Message::text(json.to_string()),
    }
}

/// The requests of the same capture, and its WebSocket cases: 15 with authentication, and the
/// same 15 without.
#[tokio::test]
async fn authentication_csrf_and_sockets_are_answered_as_recorded() {
    let secured = TestApp::init().with_config(|config| {
        config.auth_string = Some("admin:pass".to_owned());
        config.is_csrf_protected = true;
    });
    let mut replay = Replay::of("auth_csrf_ws", secured.start()).with_prefix("/api");
    let open = TestApp::start();
    let addresses = [open.listen().await, replay.app.listen().await];
    let mut cases = 0;
    for (number, line) in lines("auth_csrf_ws") {
        if line.is_http() {
            if line.case == "token without client" {
                third_token(&mut replay).await;
            }
            replay.step(number, &line).await;
        } else {
            println!("auth_csrf_ws:{number} {}", line.case);
            case(addresses[usize::from(line.auth)], &line).await;
            cases += 1;
        }
    }
    assert_eq!(cases, 30);
    replay.done();
}

/// The client fetched one more token than its capture shows.
async fn third_token(replay: &mut Replay) {
    let authorization = format!("Basic {}", BASE64_STANDARD.encode("admin:pass"));
    let request = request("GET", "/api/csrf-token?client=me")
        .header(header::AUTHORIZATION, authorization)
        .body(Body::empty())
        .unwrap();
    let answer = replay.app.send(request).await.expect(200).json();
    let recorded = "1caa42c7656ecedbc570e1b1fad6eeb9aaae85eebb7e6fda260f22680c208ab7";
    replay.ids.learn(recorded, answer["token"].as_str().unwrap());
}

async fn case(address: SocketAddr, line: &Line) {
    let path = format!("/api{}", line.ws.as_deref().unwrap());
    let headers: Vec<_> = line.headers.clone().into_iter().flatten().collect();
    let offered = line.subprotocols.clone().unwrap_or_default();
    let connected = connect(address, &path, &offered, &headers).await;
    let mut socket = match (connected, &line.events[0]["exc"]) {
        (Err(Error::Http(response)), Value::String(recorded)) => {
            assert!(recorded.contains("status_code=403"));
            assert_eq!(response.status(), 403);
            assert_eq!(line.events.len(), 1);
            return;
        }
        (Ok((socket, response)), Value::Null) => {
            let recorded = &line.events[0];
            assert_eq!(recorded["open"], true);
            assert_eq!(selected(&response), recorded["selected"].as_str());
            socket
        }
        // This client gives up if the answer has none of its offers. The recording's client,
        // `websockets`, accepts that.
        (Err(Error::Protocol(_)), Value::Null) => {
            assert_eq!(line.case, "other subprotocol");
            return;
        }
        (connected, recorded) => panic!("{recorded} was recorded, ours is {connected:?}"),
    };
    for event in &line.events[1..] {
        if let Some(message) = event.get("send") {
            // The server may have closed the socket by now, as in the recording.
            let _ = socket.send(text(message)).await;
        } else if let Some(message) = event.get("recv") {
            let message = message.as_str().unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(message));
        } else if let Some(how) = event.get("closed") {
            closed(&mut socket, deviating(&line.case).as_ref().unwrap_or(how)).await;
        } else {
            assert_eq!(event, "timeout (still open)");
            is_open(&mut socket).await;
        }
    }
}

/// How we close a socket where the recorded server gives no reason.
fn deviating(case: &str) -> Option<Value> {
    let reason = "Invalid filter: unknown field `bogus`, expected one of `occurred`, `event`, \
                  `resource`, `related`, `any_resource`, `id`, `t";
    (case == "out: bad filter").then(|| json!([1002, reason]))
}

/// Checks the end of a socket: a close frame with a code and a reason, or no frame.
async fn closed(socket: &mut Socket, recorded: &Value) {
    let end = socket.next().await;
    match recorded[0].as_u64() {
        Some(code) => match end {
            Some(Ok(Message::Close(Some(frame)))) => {
                assert_eq!(u64::from(u16::from(frame.code)), code);
                assert_eq!(frame.reason.as_str(), recorded[1].as_str().unwrap());
            }
            end => panic!("{recorded} was recorded, ours is {end:?}"),
        },
        None => assert!(
            matches!(end, None | Some(Err(_) | Ok(Message::Close(None)))),
            "closed without a word was recorded, ours is {end:?}"
        ),
    }
}

/// The sockets within sessions of real clients.
async fn replay(capture: &str) {
    let app = TestApp::start();
    let address = app.listen().await;
    let mut socket = None;
    let mut closed = 0;
    for (number, line) in lines(capture) {
        let Some(event) = line.socket_event() else { continue };
        println!("{capture}:{number} {event} {}", line.dir);
        if event == "ws_open" {
            let offered = line.offered.clone().unwrap_or_default();
            let headers: Vec<_> = line.req_headers.clone().into_iter().collect();
            let (opened, response) =
                connect(address, &line.path, &offered, &headers).await.unwrap();
            assert_eq!(selected(&response), line.selected.as_deref());
            socket = Some(opened);
            continue;
        }
        let ours = socket.as_mut().unwrap();
        match (event, line.dir.as_str()) {
            ("ws_ping", "c->s") => ours.send(Message::Ping("".into())).await.unwrap(),
            ("ws_pong", "s->c") => {
                assert_eq!(ours.next().await.unwrap().unwrap(), Message::Pong("".into()));
            }
            // The recorded server's library pings by itself, too. Ours does not.
            ("ws_ping", "s->c") | ("ws_pong", "c->s") => {}
            ("ws_msg", "c->s") => ours.send(text(&line.msg.unwrap())).await.unwrap(),
            ("ws_msg", "s->c") => {
                let message = ours.next().await.unwrap().unwrap().into_text().unwrap();
                let message: Value = serde_json::from_str(&message).unwrap();
                assert_eq!(message.to_string(), line.msg.unwrap().to_string());
            }
            ("ws_close", "c->s") => {
                assert_eq!(line.code, Some(1000));
                is_open(ours).await;
                ours.close(None).await.unwrap();
            }
            ("ws_close", "s->c") => {
                while let Some(message) = ours.next().await {
                    assert!(matches!(message, Ok(Message::Close(_))), "{message:?}");
                }
                closed += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(closed > 0, "no socket was closed");
}

#[tokio::test]
async fn sockets_of_3_8_8_are_served_as_recorded() {
    for capture in ["concurrency_sync", "rate_limit", "flow_tagged_3.8.8", "flow_global_3.8.8"] {
        replay(capture).await;
    }
}

#[tokio::test]
async fn sockets_of_3_4_10_and_3_1_15_are_served_as_recorded() {
    for capture in ["flow_tagged_3.4.10", "flow_tagged_3.1.15"] {
        replay(capture).await;
    }
}

#[tokio::test]
async fn a_basic_header_opens_no_socket_without_the_subprotocol() {
    let app = TestApp::init().with_config(|config| config.auth_string = Some("a:b".to_owned()));
    let address = app.start().listen().await;
    let headers =
        [("Authorization".to_owned(), format!("Basic {}", BASE64_STANDARD.encode("a:b")))];
    let refused = connect(address, "/api/events/in", &[], &headers).await;
    assert!(matches!(refused, Err(Error::Http(response)) if response.status() == 403));
}
