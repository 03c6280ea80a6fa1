//! The figures for machines: what they count, and that no name breaks them.

use leasehold_server::Config;
use serde_json::json;

use crate::fixture::{LIMITS, TestApp, until};

/// The value of a series, if there is one.
async fn value(app: &TestApp, series: &str) -> Option<f64> {
    let text = app.get("/metrics").await.expect(200).text();
    let line = text
        .lines()
        .find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
}

#[tokio::test]
async fn leases_are_counted_by_what_became_of_them() {
    let app = TestApp::start();
    app.post(&format!("{LIMITS}/"), &json!({"name": "db", "limit": 2})).await.expect(201);
    let body = json!({"limits": [{"name": "db"}], "ttl_seconds": 60});
    let first = app.post("/api/leases", &body).await.expect(201).json();
    app.post("/api/leases", &body).await.expect(201);
    app.post("/api/leases", &body).await.expect(423);
    let lease = format!("/api/leases/{}", first["id"].as_str().unwrap());
    app.sleep(5.0);
    app.delete(&lease).await.expect(200);
    app.sleep(60.0);
    let series = |name: &str| format!("leasehold_limit_{name}{{limit=\"db\"}}");
    let is = async |name: &str, expected| value(&app, &series(name)).await == Some(expected);
    until(async || is("released_total", 1.0).await && is("expired_total", 1.0).await).await;
    assert!(is("granted_total", 2.0).await && is("refused_total", 1.0).await);
    assert!(is("taken_slots", 0.0).await && is("slots", 2.0).await);
    assert!(is("hold_seconds_count", 2.0).await && is("hold_seconds_sum", 65.0).await);
    assert!(is("wait_seconds_count", 2.0).await && is("wait_seconds_sum", 0.0).await);
    assert!(value(&app, "leasehold_journal_commit_seconds_count").await > Some(3.0));
    let route = "leasehold_http_requests_total{route=\"/api/leases\",method=\"POST\",status=";
    assert_eq!(value(&app, &format!("{route}\"201\"}}")).await, Some(2.0));
    assert_eq!(value(&app, &format!("{route}\"423\"}}")).await, Some(1.0));
}

#[tokio::test]
async fn a_rate_limit_counts_its_grants() {
    let app = TestApp::start();
    let limit = json!({"name": "api", "limit": 2, "slot_decay_per_second": 1.0});
    app.post(&format!("{LIMITS}/"), &limit).await.expect(201);
    let spend = json!({"names": ["api"], "slots": 1, "mode": "rate_limit"});
    for status in [200, 200, 423] {
        app.post(&format!("{LIMITS}/increment"), &spend).await.expect(status);
    }
    let series = "leasehold_limit_granted_total{limit=\"api\"}";
    assert_eq!(value(&app, series).await, Some(2.0));
}

#[tokio::test]
async fn names_break_no_line_of_the_figures() {
    let app = TestApp::start();
    let name = "a\u{202e}\"\\ # {x=\"y\"} 1\n2";
    app.post(&format!("{LIMITS}/"), &json!({"name": name, "limit": 1})).await.expect(201);
    let text = app.get("/metrics").await.expect(200).text();
    let escaped = "{limit=\"a\u{202e}\\\"\\\\ # {x=\\\"y\\\"} 1\\n2\"} 1.0";
    assert!(text.contains(&format!("leasehold_limit_slots{escaped}")), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn with_a_password_figures_need_it() {
    let password = |config: &mut Config| config.auth_string = Some("ops:secret".to_owned());
    let app = TestApp::init().with_config(password).start();
    app.get("/metrics").await.expect(401);
}

#[tokio::test]
async fn what_was_refused_before_any_route_is_counted() {
    let app = TestApp::start();
    app.get("/api/nothing").await.expect(404);
    let series = "leasehold_http_requests_total{route=\"\",method=\"GET\",status=\"404\"}";
    assert_eq!(value(&app, series).await, Some(1.0));
}
