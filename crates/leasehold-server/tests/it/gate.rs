//! Which requests the server admits: CSRF tokens, authentication, versions of the API.

use axum::body::Body;
use axum::http::{Request, Version};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use leasehold_server::Config;
use serde_json::{Value, json};

use crate::fixture::{Answer, LIMITS, TestApp, request};

fn basic(auth_string: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(auth_string))
}

fn app(change: impl FnOnce(&mut Config)) -> TestApp {
    TestApp::init().with_config(change).start()
}

/// A read of limits, with headers.
async fn list(app: &TestApp, headers: &[(&str, &str)]) -> Answer {
    ask(app, "POST", &format!("{LIMITS}/filter"), headers).await
}

async fn ask(app: &TestApp, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let asked = headers
        .iter()
        .fold(request(method, path), |asked, (name, value)| asked.header(*name, *value));
    app.send(asked.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_version_of_the_api_that_is_too_old_or_none_is_refused() {
    let app = TestApp::start();
    let check = async |version: &str, detail: Option<&str>| {
        let answer = list(&app, &[("x-prefect-api-version", version)]).await;
        match detail {
            None => drop(answer.expect(200)),
            Some(detail) => assert_eq!(answer.expect(400).detail(), detail),
        }
    };
    for version in ["", "0.8.0", "0.8.4", "0.9.0", "0.10.0", "1.0.0"] {
        check(version, None).await;
    }
    for version in ["0.7.9", "0.0.0", "0.7.99"] {
        let detail = format!(
            "The request specified API version {version} but this server requires version 0.8.0 \
             or higher."
        );
        check(version, Some(&detail)).await;
    }
    for version in ["abc", "0.8", "0.8.4.1", "0.8.x", "v0.8.4"] {
        let detail = format!(
            "Invalid X-PREFECT-API-VERSION header format.Expected header in format 'x.y.z' but \
             received {version}"
        );
        check(version, Some(&detail)).await;
    }
}

#[tokio::test]
async fn health_and_version_are_asked_in_any_version() {
    let app = TestApp::start();
    for path in ["/api/health", "/api/version"] {
        for version in ["0.7.9", "abc"] {
            ask(&app, "GET", path, &[("x-prefect-api-version", version)]).await.expect(200);
        }
    }
}

#[tokio::test]
async fn only_the_right_password_opens_a_server_that_has_one() {
    let app = app(|config| config.auth_string = Some("admin:päss".to_owned()));
    let right = basic("admin:päss");
    list(&app, &[("authorization", &right)]).await.expect(200);
    for scheme in ["basic", "BASIC", "Basic "] {
        let right = right.replace("Basic", scheme);
        list(&app, &[("authorization", &right)]).await.expect(200);
    }
    for wrong in [
        "",
        "Basic",
        &basic("admin:pass"),
        &basic("admin"),
        &basic(""),
        &right.replace("Basic", "Bearer"),
        &right.replace("Basic ", ""),
        &right.to_lowercase(),
        "Bearer x",
    ] {
        let answer = list(&app, &[("authorization", wrong)]).await.expect(401);
        assert_eq!(answer.json(), json!({"exception_message": "Unauthorized"}), "{wrong}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic realm="), "a browser asks its user: {challenge}");
    }
    list(&app, &[]).await.expect(401);
}

#[tokio::test]
async fn only_health_checks_need_no_password() {
    let app = app(|config| config.auth_string = Some("admin:pass".to_owned()));
    for path in ["/api/health", "/api/ready"] {
        ask(&app, "GET", path, &[]).await.expect(200);
        ask(&app, "HEAD", path, &[]).await.expect(200);
        ask(&app, "POST", path, &[]).await.expect(401);
    }
    for path in ["/api/version", "/api/nope", "/api/csrf-token?client=x", LIMITS, "/nope"] {
        ask(&app, "GET", path, &[]).await.expect(401);
    }
}

#[tokio::test]
async fn a_web_socket_request_needs_the_password_at_all_other_paths() {
    let app = app(|config| config.auth_string = Some("admin:pass".to_owned()));
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    for (method, path, status) in [
        ("GET", "/api/version", 403),
        ("GET", "/api/leases", 403),
        ("GET", "/api/leasehold/events", 403),
        ("GET", "/api/events/in/", 403),
        ("GET", "/nope", 403),
        ("POST", "/api/events/in", 401),
        ("POST", "/api/v2/concurrency_limits/", 401),
        ("POST", "/api/v2/concurrency_limits/filter", 401),
        ("DELETE", "/api/v2/concurrency_limits/db", 401),
        ("DELETE", "/api/leases/8e0299df-d5ba-4b94-9bde-7493cfbac88d", 401),
    ] {
        ask(&app, method, path, &upgrade).await.expect(status);
    }
    // These requests lack a WebSocket's key: the answer says so before authentication.
    for path in ["/api/events/in", "/api/events/out", "/api/logs/out"] {
        ask(&app, "GET", path, &upgrade).await.expect(426);
    }
}

#[tokio::test]
async fn a_password_is_ignored_without_authentication() {
    let app = TestApp::start();
    for sent in ["Bearer x", &basic("a:b"), "garbage"] {
        list(&app, &[("authorization", sent)]).await.expect(200);
    }
}

async fn token(app: &TestApp, client: &str) -> Value {
    ask(app, "GET", &format!("/api/csrf-token?client={client}"), &[]).await.expect(200).json()
}

/// A read of limits with a CSRF token. The gate takes it for a write, because it is a POST.
async fn list_as(app: &TestApp, client: &str, token: &Value) -> Answer {
    let token = token["token"].as_str().unwrap();
    list(app, &[("prefect-csrf-client", client), ("prefect-csrf-token", token)]).await
}

fn protected() -> TestApp {
    app(|config| config.is_csrf_protected = true)
}

#[tokio::test]
async fn a_csrf_token_is_valid_for_an_hour() {
    let app = protected();
    let mine = token(&app, "me").await;
    assert_eq!(mine["expiration"], "2026-11-20T21:53:00.000000Z");
    app.sleep(3_599.999);
    list_as(&app, "me", &mine).await.expect(200);
    app.sleep(0.001);
    let refused = list_as(&app, "me", &mine).await.expect(403);
    assert_eq!(refused.detail(), "Invalid CSRF token or client identifier.");
    let mine = token(&app, "me").await;
    list_as(&app, "me", &mine).await.expect(200);
}

#[tokio::test]
async fn a_new_csrf_token_voids_only_the_clients_old_one() {
    let app = protected();
    let (old, other) = (token(&app, "me").await, token(&app, "you").await);
    let new = token(&app, "me").await;
    assert_eq!((&old["id"], &old["created"]), (&new["id"], &new["created"]));
    assert_ne!(old["token"], new["token"]);
    list_as(&app, "me", &old).await.expect(403);
    list_as(&app, "me", &new).await.expect(200);
    list_as(&app, "you", &other).await.expect(200);
    list_as(&app, "you", &new).await.expect(403);
}

#[tokio::test]
async fn only_writes_need_a_csrf_token() {
    let app = protected();
    for path in ["/api/version", "/api/csrf-token?client=x"] {
        ask(&app, "GET", path, &[]).await.expect(200);
    }
    ask(&app, "GET", &format!("{LIMITS}/nope"), &[]).await.expect(404);
    for (method, path) in [("DELETE", "/nope"), ("PATCH", "/nope"), ("POST", "/filter")] {
        let refused = ask(&app, method, &format!("{LIMITS}{path}"), &[]).await.expect(403);
        assert_eq!(refused.detail(), "Missing CSRF token.");
    }
}

#[tokio::test]
async fn a_csrf_token_is_refused_without_csrf_protection() {
    let app = TestApp::start();
    let refused = ask(&app, "GET", "/api/csrf-token?client=x", &[]).await.expect(422);
    assert_eq!(refused.detail(), "CSRF protection is disabled.");
    let headers = [("prefect-csrf-token", "x"), ("prefect-csrf-client", "y")];
    list(&app, &headers).await.expect(200);
}

#[tokio::test]
async fn a_client_of_a_csrf_token_has_a_short_name() {
    let app = protected();
    let path = |chars: usize| format!("/api/csrf-token?client={}", "x".repeat(chars));
    ask(&app, "GET", &path(200), &[]).await.expect(200);
    let refused = ask(&app, "GET", &path(201), &[]).await.expect(422);
    assert_eq!(refused.detail(), "The name of a client has at most 200 characters.");
}

/// A server in front of this one might read them differently (RFC 9112, 3.2 and 6.1).
#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_is_refused() {
    let app = TestApp::start();
    let check = async |headers: &[(&str, &str)], version: Version, status: u16| {
        let asked = headers.iter().fold(
            Request::builder().method("POST").uri(format!("{LIMITS}/filter")).version(version),
            |asked, (name, value)| asked.header(*name, *value),
        );
        let answer = app.send(asked.body(Body::empty()).unwrap()).await.expect(status);
        assert_eq!(answer.header("connection"), (status != 200).then_some("close"));
    };
    let host = ("host", "localhost");
    check(&[host], Version::HTTP_11, 200).await;
    check(&[], Version::HTTP_10, 200).await;
    check(&[], Version::HTTP_11, 400).await;
    check(&[host, host], Version::HTTP_11, 400).await;
    check(&[host, ("host", "other")], Version::HTTP_10, 400).await;
    check(&[host, ("transfer-encoding", "Chunked")], Version::HTTP_11, 200).await;
    check(&[host, ("transfer-encoding", "gzip, chunked")], Version::HTTP_11, 501).await;
    let twice = [host, ("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")];
    check(&twice, Version::HTTP_11, 501).await;
}

#[tokio::test]
async fn a_client_that_names_itself_twice_is_refused_with_the_reason() {
    let app = TestApp::init().with_config(|config| config.is_csrf_protected = true).start();
    let refused = ask(&app, "GET", "/api/csrf-token?client=a&client=b", &[]).await.expect(422);
    let wrong = &refused.json()["exception_detail"][0];
    assert_eq!((&wrong["type"], &wrong["loc"][1]), (&"repeated".into(), &"client".into()));
}

/// The recorded server checks in this order.
#[tokio::test]
async fn csrf_comes_before_the_password_and_the_password_before_the_version() {
    let app = app(|config| {
        config.auth_string = Some("a:b".to_owned());
        config.is_csrf_protected = true;
    });
    let password = basic("a:b");
    let old = ("x-prefect-api-version", "0.7.9");
    list(&app, &[("authorization", &password), old]).await.expect(403);
    let path = "/api/csrf-token?client=me";
    ask(&app, "GET", path, &[old]).await.expect(401);
    let answer = ask(&app, "GET", path, &[("authorization", &password)]).await.expect(200).json();
    let token = answer["token"].as_str().unwrap();
    let csrf = [("prefect-csrf-client", "me"), ("prefect-csrf-token", token)];
    list(&app, &csrf).await.expect(401);
    let with_password = [csrf[0], csrf[1], ("authorization", &password), old];
    list(&app, &with_password).await.expect(400);
    list(&app, &with_password[..3]).await.expect(200);
}
