//! The same password and the same tokens on both sides.

use axum::body::Body;
use leasehold_server::UpstreamRefused;
use serde_json::json;

use super::{before, nowhere, serve};
use crate::fixture::{Answer, TestApp, request};

const PASSWORD: &str = "admin:pass";

/// What the start says before an upstream with this password.
async fn greeted(upstream: Option<&str>, ours: Option<&str>) -> Result<(), UpstreamRefused> {
    let upstream = TestApp::init()
        .with_config(|config| config.auth_string = upstream.map(str::to_owned))
        .start();
    let gateway =
        before(upstream.listen().await, |config| config.auth_string = ours.map(str::to_owned));
    gateway.server().greet_upstream().await
}

#[tokio::test]
async fn another_password_than_the_upstreams_is_refused_at_the_start() {
    greeted(None, None).await.unwrap();
    greeted(Some(PASSWORD), Some(PASSWORD)).await.unwrap();
    greeted(None, Some(PASSWORD)).await.unwrap();
    let refused = greeted(Some(PASSWORD), None).await.unwrap_err();
    assert!(matches!(refused, UpstreamRefused::NeedsPassword(_)), "{refused}");
    let refused = greeted(Some(PASSWORD), Some("admin:other")).await.unwrap_err();
    assert!(matches!(refused, UpstreamRefused::OtherPassword(_)), "{refused}");
}

#[tokio::test]
async fn what_is_no_prefect_server_is_refused_and_what_is_down_is_awaited() {
    let gateway = before(nowhere().await, |_| {});
    gateway.server().greet_upstream().await.unwrap();
    let gateway = before(serve(axum::Router::new()).await, |_| {});
    let refused = gateway.server().greet_upstream().await.unwrap_err();
    assert!(matches!(refused, UpstreamRefused::NoPrefect { status: 404, .. }), "{refused}");
}

#[tokio::test]
async fn a_server_in_front_of_itself_goes_round_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = before(listener.local_addr().unwrap(), |_| {});
    tokio::spawn(gateway.server().serve(listener, std::future::pending()));
    gateway.get("/api/flows/").await.expect(508);
    let refused = gateway.server().greet_upstream().await.unwrap_err();
    assert!(matches!(refused, UpstreamRefused::Ourselves(_)), "{refused}");
}

#[tokio::test]
async fn a_token_that_the_upstream_issued_is_good_for_our_paths() {
    let upstream = TestApp::init().with_config(|config| config.is_csrf_protected = true).start();
    let gateway = before(upstream.listen().await, |_| {});
    gateway.server().greet_upstream().await.unwrap();
    let write = async |token: &str| -> Answer {
        let asked = request("POST", "/api/leases")
            .header("content-type", "application/json")
            .header("prefect-csrf-client", "me")
            .header("prefect-csrf-token", token);
        gateway.send(asked.body(Body::from(json!({"limits": {}}).to_string())).unwrap()).await
    };
    write("none").await.expect(403);
    let issued = gateway.get("/api/csrf-token?client=me").await.expect(200).json();
    assert_ne!(write(issued["token"].as_str().unwrap()).await.status, 403);
}

#[tokio::test]
async fn the_upstream_checks_the_password_of_what_is_passed_on() {
    let secured = |config: &mut leasehold_server::Config| {
        config.auth_string = Some(PASSWORD.to_owned());
    };
    let upstream = TestApp::init().with_config(secured).start();
    let gateway = before(upstream.listen().await, secured);
    gateway.get("/api/admin/version").await.expect(401);
    gateway.get("/api/leases").await.expect(401);
    gateway.get("/api/health").await.expect(200);
}
