//! Wrong rates and wrong waits.

use serde_json::json;

use crate::fixture::TestApp;

/// Four clients that wait as long as `Retry-After` says, as the Python client does.
#[tokio::test]
async fn d19_four_clients_get_the_configured_rate_however_often_they_ask() {
    for (slots, decay) in [(5, 5.0), (20, 20.0)] {
        let app = TestApp::start();
        app.rate_limit("api", slots, decay).await;
        app.spend(&["api"], slots).await.expect(200);
        let mut granted = 0.0;
        // 15 s in steps of about 7 ms, each client every 28 ms.
        for _ in 0..2_143 {
            app.sleep(0.007);
            if app.spend(&["api"], 1).await.status == 200 {
                granted += 1.0;
            }
        }
        let configured = decay * 15.001;
        let off: f64 = (granted - configured) / configured;
        assert!(off.abs() < 0.01, "{granted} were granted at {decay} per second");
    }
}

#[tokio::test]
async fn d19_a_refused_attempt_changes_nothing_of_the_rate() {
    let app = TestApp::start();
    app.rate_limit("api", 1, 1.0).await;
    app.spend(&["api"], 1).await.expect(200);
    for _ in 0..99 {
        app.sleep(0.01);
        app.spend(&["api"], 1).await.expect(423);
        app.taken("api").await;
    }
    app.sleep(0.01);
    app.spend(&["api"], 1).await.expect(200);
}

#[tokio::test]
async fn d20_a_patch_brings_no_drained_slots_back() {
    let app = TestApp::start();
    app.rate_limit("api", 10, 2.0).await;
    app.spend(&["api"], 10).await.expect(200);
    for _ in 0..10 {
        app.sleep(0.25);
        app.update("api", &json!({"active": true})).await;
    }
    assert_eq!(app.taken("api").await, 5);
    app.spend(&["api"], 5).await.expect(200);
    app.spend(&["api"], 1).await.expect(423);
}

#[tokio::test]
async fn d21_retry_after_is_when_the_full_limit_has_drained() {
    let app = TestApp::start();
    app.limit("wide", 1_000).await;
    app.rate_limit("slow", 1, 0.1).await;
    app.spend(&["slow"], 1).await.expect(200);
    app.sleep(3.0);
    let answer = app.acquire(&["slow", "wide"], 1).await.expect(423);
    assert!((4.9..=9.1).contains(&answer.retry_after()), "{}", answer.retry_after());
}
