//! What goes on while the upstream is down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use super::{before, nowhere, serve};
use crate::fixture::{TestApp, until};

/// An upstream that breaks off each connection while it is down.
async fn breakable(is_csrf_protected: bool) -> (Arc<AtomicBool>, TestApp) {
    let is_down = Arc::new(AtomicBool::new(false));
    let answer = |said: &'static str, status: u16| {
        let is_down = is_down.clone();
        get(async move || -> Response {
            assert!(!is_down.load(Ordering::Relaxed), "down: the connection ends here");
            Response::builder()
                .status(status)
                .body(said.into())
                .unwrap_or_else(|_| ().into_response())
        })
    };
    let token = match is_csrf_protected {
        true => answer(r#"{"client": "me", "token": "issued upstream"}"#, 200),
        false => answer(r#"{"detail": "CSRF protection is disabled."}"#, 422),
    };
    let router = Router::new()
        .route("/api/admin/version", answer(r#""3.9.1""#, 200))
        .route("/api/csrf-token", token)
        .fallback(answer("{}", 200));
    let gateway = before(serve(router).await, |_| {});
    (is_down, gateway)
}

#[tokio::test]
async fn what_needs_the_upstream_is_answered_502_and_ours_goes_on() {
    let gateway = before(nowhere().await, |_| {});
    let answer = gateway.post("/api/flows/", &json!({"name": "etl"})).await.expect(502);
    assert_eq!(answer.header("retry-after"), Some("2"));
    let said = answer.json()["exception_message"].as_str().unwrap().to_owned();
    assert!(said.contains("cannot be reached"), "{said}");
    gateway.get("/api/leasehold/events").await.expect(200);
    gateway.get("/docs").await.expect(200);
}

#[tokio::test]
async fn ready_says_which_half_is_ill() {
    let (is_down, gateway) = breakable(false).await;
    // On a busy machine an answer may come too late.
    let well = json!({"leasehold": "ok", "upstream": "ok"});
    until(async || gateway.get("/ready").await.expect(200).json() == well).await;
    is_down.store(true, Ordering::Relaxed);
    // One that breaks off late could be slow.
    let said = async || gateway.get("/ready").await.expect(200).json();
    until(async || said().await["upstream"].as_str().unwrap().starts_with("the Prefect")).await;
    assert_eq!(said().await["leasehold"], "ok");
    let alone = TestApp::start().get("/ready").await.expect(200).json();
    assert_eq!(alone, json!({"leasehold": "ok"}));
}

#[tokio::test]
async fn what_clients_ask_before_any_limit_is_answered_from_memory() {
    let (is_down, gateway) = breakable(true).await;
    assert_eq!(gateway.get("/api/admin/version").await.expect(200).json(), "3.9.1");
    gateway.get("/api/csrf-token?client=me").await.expect(200);
    is_down.store(true, Ordering::Relaxed);
    assert_eq!(gateway.get("/api/admin/version").await.expect(200).json(), "3.9.1");
    let token = gateway.get("/api/csrf-token?client=me").await.expect(200).json();
    assert_eq!(token["client"], "me");
    gateway.get("/api/flows/").await.expect(502);
}

#[tokio::test]
async fn without_csrf_protection_upstream_there_is_none_in_an_outage() {
    let (is_down, gateway) = breakable(false).await;
    gateway.get("/api/csrf-token?client=me").await.expect(422);
    is_down.store(true, Ordering::Relaxed);
    gateway.get("/api/csrf-token?client=me").await.expect(422);
}
