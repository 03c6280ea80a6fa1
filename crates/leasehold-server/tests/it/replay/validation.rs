//! 177 single requests with bad and odd input. The recording lacks every second request of the run.
//! The test does what those requests had done, as the recorded answers show it.

use serde_json::json;

use super::Replay;
use super::recording::{Line, requests};
use crate::fixture::{LIMITS, TAGS, TestApp, run};

#[tokio::test]
async fn odd_input_is_answered_as_recorded() {
    let app = TestApp::start();
    app.limit("lim-a", 2).await;
    app.limit("lim-b", 2).await;
    app.tag("db", 1).await;
    let mut replay = Replay::of("validation", app).with_prefix("/api");
    let all = requests("validation");
    assert_eq!(all.len(), 177);
    for (number, line) in &all {
        before(&mut replay, line).await;
        replay.step(*number, line).await;
    }
    replay.done();
}

/// Does what the missing requests before this one had done.
async fn before(replay: &mut Replay, line: &Line) {
    let app = &replay.app;
    let reset = json!({"active_slots": 0});
    match line.case.as_str() {
        "filter {}" => {
            let all = line.answer();
            for limit in all.as_array().unwrap() {
                let name = limit["name"].as_str().unwrap();
                if !is_there(&replay.app, name).await {
                    replay.given(limit).await;
                }
            }
        }
        "update name 'a%b'" => {
            app.limit("vup", 1).await;
        }
        "update then get" => {
            app.update("vup", &json!({"limit": 0, "active": false})).await;
            app.update("vup", &json!({"active_slots": 99})).await;
        }
        r#"increment {"names": ["vi"], "slots": -1}"# => {
            app.limit("vi", 3).await;
            app.rate_limit("virl", 3, 0.1).await;
            app.limit_with(&json!({"name": "vioff", "limit": 1, "active": false})).await;
            app.limit_with(&json!({"name": "vioff0", "limit": 0, "active": false})).await;
            let vi0 = app.limit("vi0", 0).await;
            replay.ids.learn("0a7a551a-b932-4bbe-881b-beef69c83d5e", &vi0);
        }
        "increment locked" => {
            app.increment(&["vi"], 2).await.expect(200);
            app.update("virl", &reset).await;
        }
        r#"increment-with-lease {"names": ["vi"], "slots": -1}"# => {
            app.update("vi", &reset).await;
        }
        "increment-with-lease locked" => {
            app.lease(&["vi"], 2).await;
            app.update("virl", &reset).await;
        }
        r#"lease {"lease_duration": 60}"# => app.update("vi", &reset).await,
        r#"lease {"holder": {}}"# => app.update("vi", &reset).await,
        r#"renew known {"lease_duration": 60}"# => {
            let lease = app.lease(&["lim-a"], 1).await;
            replay.ids.learn("73aba413-4ff8-4a0a-8474-6efa1cd50093", &lease);
        }
        "v1 create" => {
            app.update("lim-a", &reset).await;
            app.update("vi", &reset).await;
        }
        "v1 read by tag" => {
            let body = json!({"tag": "v1t", "concurrency_limit": 3});
            app.post(&format!("{TAGS}/"), &body).await.expect(200);
        }
        "v1 filter {}" => {
            app.tag("", 1).await;
        }
        "v1 increment full" => {
            for holder in 1..=3 {
                app.tag_increment(&["v1t"], &run(holder)).await.expect(200);
            }
        }
        // The request before, which we refuse, had deleted it.
        "misc /health" => {
            app.delete(&format!("{LIMITS}/vi0")).await.expect(204);
        }
        _ => {}
    }
}

async fn is_there(app: &TestApp, name: &str) -> bool {
    let all = app.post(&format!("{LIMITS}/filter"), &json!({})).await.expect(200).json();
    all.as_array().unwrap().iter().any(|limit| limit["name"] == name)
}
