//! Requests for what a Prefect server has and this server does not: the answers say so.

use axum::body::Body;
use serde_json::json;

use super::{NOBODY, start};
use crate::fixture::{TestApp, request};

#[tokio::test]
async fn what_is_not_served_is_not_found() {
    let app = start();
    for path in [
        "/api/deployments/",
        "/api/deployments/filter",
        "/api/work_pools/filter",
        "/api/flow_runs/history",
        "/api/flow_runs/paginate",
        &format!("/api/flow_runs/{NOBODY}/input"),
        "/api/logs/filter",
        "/api/artifacts/",
        "/api/variables/filter",
        "/api/events",
        "/api/automations/",
    ] {
        let told = app.post(path, &json!({})).await.expect(404).detail();
        assert!(told.contains("Leasehold"), "{path}: {told}");
        assert!(told.ends_with("/docs/what-is-served.md"), "{path}: {told}");
    }
    for path in ["/api/work_pools/default", "/api/variables/name/x", "/api/ui-settings"] {
        let told = app.get(path).await.expect(404).detail();
        assert!(told.ends_with("/docs/what-is-served.md"), "{path}: {told}");
    }
}

/// The paths are served, but not with these methods, which a Prefect server has for them.
#[tokio::test]
async fn a_method_that_a_prefect_server_has_is_answered_with_a_sentence_too() {
    let app = start();
    for path in [format!("/api/flows/{NOBODY}"), format!("/api/task_runs/{NOBODY}")] {
        let told = app.delete(&path).await.expect(404).detail();
        assert!(told.starts_with("Leasehold records flows and task runs"), "{path}: {told}");
    }
    let told = app.post("/api/block_types/", &json!({"slug": "secret"})).await.expect(404).detail();
    assert!(told.starts_with("Leasehold keeps no blocks, and so no secrets"), "{told}");
}

#[tokio::test]
async fn a_wrong_method_or_a_missing_slash_is_answered_with_the_right_one() {
    let app = start();
    let answer = app.get("/api/flows/filter").await.expect(405);
    assert_eq!(answer.header("allow"), Some("POST"));
    let answer = app.post(&format!("/api/task_runs/{NOBODY}"), &json!({})).await.expect(405);
    assert_eq!(answer.header("allow"), Some("GET"));
    app.delete("/api/task_runs/count").await.expect(405);
    let answer = app.post("/api/flow_runs", &json!({})).await.expect(307);
    assert_eq!(answer.header("location"), Some("http://127.0.0.1:4200/api/flow_runs/"));
}

#[tokio::test]
async fn a_server_without_records_serves_no_runs() {
    let app = TestApp::start();
    for path in ["/api/flows/", "/api/flow_runs/filter", "/api/task_runs/count", "/api/logs/"] {
        let body = if path.contains("logs") { json!([]) } else { json!({"name": "etl"}) };
        assert_eq!(app.post(path, &body).await.expect(404).detail(), "Not Found", "{path}");
    }
    assert_eq!(app.get("/api/leasehold/events").await.expect(404).detail(), "Not Found");
}

/// Upon a 404, the client's commands say that the pool has to be created, and hide the server's
/// sentence.
#[tokio::test]
async fn a_prefect_client_that_reads_a_work_pool_gets_410_and_the_sentence() {
    let app = start();
    for path in ["/api/work_pools/default", "/api/deployments/name/etl/nightly"] {
        for (agent, status) in [("prefect/3.8.8 (API 0.8.4)", 410), ("curl/8.0", 404)] {
            let asked = request("GET", path).header("user-agent", agent);
            let told = app.send(asked.body(Body::empty()).unwrap()).await.expect(status).detail();
            assert!(told.ends_with("/docs/what-is-served.md"), "{path}: {told}");
        }
    }
}
