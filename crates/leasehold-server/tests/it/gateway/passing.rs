//! What passes is what was sent.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::put;
use futures_util::{SinkExt, StreamExt, stream};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;
use tower::ServiceExt;

use super::{before, pair, serve};
use crate::fixture::{Answer, request};
use crate::replay::sockets::connect;

/// Answers with what it was asked.
async fn mirror(request: Request) -> Response {
    let mut said = format!("{} {}\n", request.method(), request.uri());
    let (head, body) = request.into_parts();
    let mut lines: Vec<_> = head
        .headers
        .iter()
        .filter(|(name, _)| *name != "via")
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
        .collect();
    lines.sort();
    said.extend(lines);
    let body = body.collect().await.unwrap().to_bytes();
    said.push_str(std::str::from_utf8(&body).unwrap());
    let answer = Response::builder().status(418).header("x-mirror", "a").header("x-mirror", "b");
    let answer = answer.header("connection", "x-mine").header("x-mine", "of this connection");
    answer.body(said.into()).unwrap()
}

#[tokio::test]
async fn a_request_and_its_answer_pass_as_they_are() {
    let gateway = before(serve(Router::new().fallback(mirror)).await, |_| {});
    let asked = request("PATCH", "/api/x%2Fy/?q=1&q=%20")
        .header("authorization", "Basic eDp5")
        .header("connection", "close, x-hop")
        .header("content-type", "text/plain")
        .header("x-hop", "1")
        .header("x-kept", "2")
        .body(Body::from("the body"));
    let answer = gateway.send(asked.unwrap()).await.expect(418);
    assert_eq!(
        answer.text(),
        "PATCH /api/x%2Fy/?q=1&q=%20\nauthorization: Basic eDp5\ncontent-length: 8\n\
         content-type: text/plain\nhost: 127.0.0.1:4200\nx-forwarded-proto: http\nx-kept: 2\n\
         the body"
    );
    assert_eq!(answer.headers.get_all("x-mirror").iter().count(), 2);
    assert!(answer.header("x-mine").is_none() && answer.header("connection").is_none());
}

#[tokio::test]
async fn each_part_of_a_body_passes_before_the_next_one_is_there() {
    let (heard, mut hearing) = mpsc::unbounded_channel::<Bytes>();
    let (go_on, goes_on) = oneshot::channel::<()>();
    let goes_on = Arc::new(Mutex::new(Some(goes_on)));
    let upstream = move |request: Request| {
        let (heard, goes_on) = (heard.clone(), goes_on.lock().unwrap().take().unwrap());
        async move {
            tokio::spawn(async move {
                let mut body = request.into_body();
                while let Some(frame) = body.frame().await {
                    heard.send(frame.unwrap().into_data().unwrap()).unwrap();
                }
            });
            let first = stream::once(async { Ok::<_, std::io::Error>("one ") });
            let second = stream::once(async move {
                goes_on.await.unwrap();
                Ok("two")
            });
            Body::from_stream(first.chain(second))
        }
    };
    // The gateway has requests of its own, for other paths.
    let upstream = Router::new().route("/upload", put(upstream));
    let gateway = before(serve(upstream).await, |_| {});
    let (say, saying) = mpsc::channel::<Bytes>(1);
    let saying = stream::unfold(saying, async |mut saying| {
        saying.recv().await.map(|part| (Ok::<_, std::io::Error>(part), saying))
    });
    let asked = request("PUT", "/upload").body(Body::from_stream(saying)).unwrap();
    let response = tokio::spawn(gateway.router().oneshot(asked));
    for part in ["a", "b"] {
        say.send(part.into()).await.unwrap();
        assert_eq!(hearing.recv().await.unwrap(), part);
    }
    let mut body = response.await.unwrap().unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one ");
    go_on.send(()).unwrap();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "two");
    drop(say);
}

#[tokio::test]
async fn our_own_paths_stay_ours() {
    let gateway = before(serve(Router::new().fallback(mirror)).await, |_| {});
    for path in ["/api/leases", "/api/leasehold/events", "/docs", "/api/openapi.json", "/ready"] {
        assert_ne!(gateway.get(path).await.status, 418, "{path}");
    }
    for path in ["/", "/api/flows/", "/api/health", "/api/v2/concurrency_limits/x", "/x/y"] {
        gateway.get(path).await.expect(418);
    }
}

#[tokio::test]
async fn a_redirect_of_the_upstream_names_us() {
    let (_upstream, gateway) = pair().await;
    let moved = gateway.post("/api/flows", &json!({"name": "etl"})).await.expect(307);
    assert_eq!(moved.header("location"), Some("http://127.0.0.1:4200/api/flows/"));
}

#[tokio::test]
async fn a_socket_keeps_its_subprotocol_and_its_close_code() {
    let (upstream, gateway) = pair().await;
    let address = gateway.listen().await;
    let offered = ["prefect".to_owned()];
    let (mut socket, response) = connect(address, "/api/events/out", &offered, &[]).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "prefect");
    socket.send(Message::text(json!({"type": "auth"}).to_string())).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    assert_eq!(answer, Message::text(r#"{"type":"auth_success"}"#));
    socket.send(Message::text(json!({"type": "no filter"}).to_string())).await.unwrap();
    let Message::Close(Some(close)) = socket.next().await.unwrap().unwrap() else { panic!() };
    assert_eq!((u16::from(close.code), close.reason.as_str()), (1002, "Expected 'filter' message"));
    assert!(socket.next().await.is_none());
    drop(upstream);
}

#[tokio::test]
async fn a_socket_that_the_upstream_refuses_is_refused_with_its_answer() {
    let gateway = before(serve(Router::new().fallback(mirror)).await, |_| {});
    let refused = connect(gateway.listen().await, "/api/events/in", &[], &[]).await.unwrap_err();
    let tokio_tungstenite::tungstenite::Error::Http(answer) = refused else { panic!("{refused}") };
    assert_eq!(answer.status().as_u16(), 418);
}

#[tokio::test]
async fn a_page_of_a_stranger_cannot_write_through_us() {
    let gateway = before(serve(Router::new().fallback(mirror)).await, |_| {});
    let asked = request("POST", "/api/flows/").header("origin", "https://evil.example");
    let answer = gateway.send(asked.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let own = request("POST", "/api/flows/").header("origin", "http://127.0.0.1:4200");
    let answer: Answer = gateway.send(own.body(Body::empty()).unwrap()).await;
    answer.expect(418);
}
