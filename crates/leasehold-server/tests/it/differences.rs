//! The differences from the recorded server that the contract lists, one test each.

use leasehold_engine::Span;
use serde_json::{Value, json};

use crate::fixture::{LIMITS, TAGS, TestApp, run, with_json};

#[tokio::test]
async fn c01_leases_survive_a_restart_with_the_time_they_had_left() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    app.sleep(100.0);
    app.get("/api/health").await.expect(200);
    let app = app.restart(Span::from_seconds(5_000)).await;
    assert_eq!(app.taken("db").await, 1);
    app.sleep(199.999_999);
    app.acquire(&["db"], 1).await.expect(423);
    app.renew(&lease).await.expect(204);
    app.release(&lease).await.expect(204);
    assert_eq!(app.taken("db").await, 0);
}

#[tokio::test]
async fn c02_a_reset_frees_the_tag_and_its_override_names_the_only_holders() {
    let app = TestApp::start();
    app.tag("db", 2).await;
    for holder in 1..=2 {
        app.tag_increment(&["db"], &run(holder)).await.expect(200);
    }
    app.tag_reset("db", None).await.expect(200);
    assert_eq!((app.holders("db").await, app.taken("tag:db").await), (json!([]), 0));

    app.tag_increment(&["db"], &run(3)).await.expect(200);
    app.tag_reset("db", Some(&[&run(4)])).await.expect(200);
    assert_eq!((app.holders("db").await, app.taken("tag:db").await), (json!([run(4)]), 1));
    app.tag_increment(&["db"], &run(5)).await.expect(200);
}

/// An operator may name more holders than the limit has slots. They hold, and the server grants no
/// other request until enough of them have released.
#[tokio::test]
async fn c02_an_override_beyond_the_limit_is_drained_before_another_holder_is_granted() {
    let app = TestApp::start();
    app.tag("db", 1).await;
    app.tag_reset("db", Some(&[&run(1), &run(2)])).await.expect(200);
    assert_eq!((app.holders("db").await, app.taken("tag:db").await), (json!([run(1), run(2)]), 2));
    app.tag_decrement(&["db"], &run(1)).await.expect(200);
    app.tag_increment(&["db"], &run(3)).await.expect(423);
    app.tag_decrement(&["db"], &run(2)).await.expect(200);
    app.tag_increment(&["db"], &run(3)).await.expect(200);
}

#[tokio::test]
async fn c03_a_page_of_tags_is_cut_from_the_tags() {
    let app = TestApp::start();
    for name in ["a", "b", "tag", "z"] {
        app.limit(name, 1).await;
    }
    for tag in ["x", "y"] {
        app.tag(tag, 1).await;
    }
    let tags = async |body: Value| {
        let page = app.post(&format!("{TAGS}/filter"), &body).await.expect(200).json();
        page.as_array().unwrap().iter().map(|limit| limit["tag"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(tags(json!({"limit": 1})).await, ["x"]);
    assert_eq!(tags(json!({"limit": 1, "offset": 1})).await, ["y"]);
    assert_eq!(tags(json!({"offset": 2})).await, [""; 0]);
}

#[tokio::test]
async fn c04_input_on_which_the_recorded_server_failed_is_refused_as_invalid() {
    let app = TestApp::start();
    let check = async |path: &str, body: Value, kind: &str, place: &str| {
        let answer = app.post(path, &body).await.expect(422).json();
        assert_eq!(answer["exception_message"], "Invalid request received.");
        assert_eq!(answer["exception_detail"][0]["type"], kind, "{answer}");
        assert_eq!(answer["exception_detail"][0]["loc"], json!(["body", place]));
        assert_eq!(answer["request_body"], body);
    };
    let (tags, limits) = (format!("{TAGS}/"), format!("{LIMITS}/"));
    let field = "concurrency_limit";
    check(&tags, json!({"tag": "x", field: -3}), "greater_than_equal", field).await;
    check(&tags, json!({"tag": "a/b", field: 3}), "string_pattern_mismatch", "tag").await;
    check(&tags, json!({"tag": "x", field: 1_u64 << 63}), "less_than_equal", field).await;
    check(&limits, json!({"name": "x", "limit": 1_u64 << 63}), "less_than_equal", "limit").await;
    let largest = i64::MAX as u64;
    let made = app.post(&tags, &json!({"tag": "x", field: largest})).await.expect(201).json();
    assert_eq!(made[field], largest);
}

#[tokio::test]
async fn c05_a_task_run_holds_a_tag_once_however_often_it_asks() {
    let app = TestApp::start();
    app.tag("db", 2).await;
    let first = app.tag_increment(&["db"], &run(1)).await.expect(200);
    let second = app.tag_increment(&["db"], &run(1)).await.expect(200);
    assert_eq!(first.text(), second.text());
    assert_eq!((app.holders("db").await, app.taken("tag:db").await), (json!([run(1)]), 1));
    app.tag_increment(&["db"], &run(2)).await.expect(200);
    // Also when the tag is full for others.
    app.tag_increment(&["db"], &run(1)).await.expect(200);
    app.tag_increment(&["db"], &run(3)).await.expect(423);
    app.tag_decrement(&["db"], &run(1)).await.expect(200);
    assert_eq!(app.holders("db").await, json!([run(2)]));
}

#[tokio::test]
async fn c06_a_decrement_releases_the_tags_that_it_names_alone() {
    let app = TestApp::start();
    app.tag("a", 1).await;
    app.tag("b", 1).await;
    app.tag_increment(&["a", "b"], &run(1)).await.expect(200);
    app.tag_decrement(&["a"], &run(1)).await.expect(200);
    assert_eq!((app.holders("a").await, app.holders("b").await), (json!([]), json!([run(1)])));
    app.tag_increment(&["a"], &run(2)).await.expect(200);
    app.tag_increment(&["b"], &run(2)).await.expect(423);
}

#[tokio::test]
async fn c07_deleting_or_resetting_a_tag_takes_that_tag_alone_from_a_lease() {
    let app = TestApp::start();
    for tag in ["a", "b", "c"] {
        app.tag(tag, 1).await;
    }
    let lease = app.lease_for(&["tag:a", "tag:b", "tag:c"], &run(1)).await;
    app.delete(&format!("{TAGS}/tag/a")).await.expect(200);
    app.tag_reset("b", None).await.expect(200);
    app.renew(&lease).await.expect(204);
    let held = [app.holders("b").await, app.holders("c").await];
    assert_eq!(held, [json!([]), json!([run(1)])]);
    app.release(&lease).await.expect(204);
    assert_eq!((app.taken("tag:b").await, app.taken("tag:c").await), (0, 0));
    app.lease_for(&["tag:b", "tag:c"], &run(2)).await;
}

#[tokio::test]
async fn c08_a_global_limit_is_not_deleted_as_a_tag() {
    let app = TestApp::start();
    let id = app.limit("db", 1).await;
    let answer = app.delete(&format!("{TAGS}/{id}")).await.expect(404);
    assert_eq!(answer.detail(), "Concurrency limit not found");
    assert_eq!(app.taken("db").await, 0);
    app.get(&format!("{TAGS}/{id}")).await.expect(404);
}

#[tokio::test]
async fn c09_a_lease_gives_back_exactly_what_was_active_when_it_was_made() {
    let app = TestApp::start();
    app.limit("held", 2).await;
    app.limit_with(&json!({"name": "off", "limit": 2, "active": false})).await;
    let lease = app.lease(&["held", "off"], 1).await;
    app.update("held", &json!({"active": false})).await;
    app.update("off", &json!({"active": true})).await;
    let other = app.lease(&["held", "off"], 1).await;
    assert_eq!((app.taken("held").await, app.taken("off").await), (1, 1));

    app.release(&lease).await.expect(204);
    app.update("held", &json!({"active": true})).await;
    assert_eq!((app.taken("held").await, app.taken("off").await), (0, 1));
    app.release(&other).await.expect(204);
    assert_eq!((app.taken("held").await, app.taken("off").await), (0, 0));
}

#[tokio::test]
async fn c10_a_lease_on_nothing_is_answered_and_not_kept() {
    let app = TestApp::start();
    let commits = app.journal.commits_begun();
    let first = app.lease(&["nope"], 1).await;
    let second = app.lease(&["nowhere"], 10_000).await;
    assert_ne!(first, second);
    assert_eq!((app.journal.commits_begun(), app.journal.leases()), (commits, vec![]));
    app.get(&format!("/api/leases/{first}")).await.expect(404);
    // Its holder does not notice: it renews and releases.
    app.renew(&first).await.expect(204);
    app.release(&first).await.expect(204);
}

#[tokio::test]
async fn c11_four_releases_of_one_lease_at_once_free_one_slot() {
    let app = TestApp::start();
    app.limit("db", 5).await;
    let lease = app.lease(&["db"], 1).await;
    app.lease(&["db"], 4).await;
    let release = || app.release(&lease);
    let (a, b, c, d) = tokio::join!(release(), release(), release(), release());
    for answer in [a, b, c, d] {
        answer.expect(204);
    }
    assert_eq!(app.taken("db").await, 4);
}

/// Asks every ten milliseconds for 15 s. Returns how many slots were granted after the burst.
async fn granted_after_the_burst(slots: u64, decay: f64) -> f64 {
    let app = TestApp::start();
    app.rate_limit("api", slots, decay).await;
    app.spend(&["api"], slots).await.expect(200);
    let mut granted = 0;
    for _ in 0..1_500 {
        app.sleep(0.01);
        match app.spend(&["api"], 1).await.status.as_u16() {
            200 => granted += 1,
            status => assert_eq!(status, 423),
        }
    }
    f64::from(granted)
}

#[tokio::test]
async fn c12_a_rate_limit_grants_the_configured_rate() {
    let granted = granted_after_the_burst(5, 5.0).await;
    assert!((granted - 75.0).abs() <= 0.75, "{granted} in 15 s");
}

#[tokio::test]
async fn c13_a_patch_without_changes_changes_nothing() {
    let app = TestApp::start();
    app.rate_limit("api", 10, 1.0).await;
    app.spend(&["api"], 10).await.expect(200);
    app.sleep(4.0);
    app.update("api", &json!({})).await;
    app.update("api", &json!({"limit": 10})).await;
    assert_eq!(app.taken("api").await, 6);
    app.spend(&["api"], 4).await.expect(200);
}

#[tokio::test]
async fn c14_retry_after_speaks_of_the_limit_that_is_full() {
    let app = TestApp::start();
    app.rate_limit("large", 1_000, 1_000.0).await;
    app.limit("full", 2).await;
    app.lease(&["full"], 2).await;
    let answer = app.acquire(&["large", "full"], 1).await.expect(423);
    // The average occupancy is two seconds, and one of two slots is enough: one second, plus or
    // minus the jitter.
    assert!((0.7..=1.3).contains(&answer.retry_after()), "{}", answer.retry_after());
}

#[tokio::test]
async fn c15_occupancy_given_back_on_a_limit_of_0_is_accepted() {
    let app = TestApp::start();
    let id = app.limit("none", 0).await;
    let body = json!({"names": ["none"], "slots": 1, "occupancy_seconds": 2.5});
    let answer = app.post(&format!("{LIMITS}/decrement"), &body).await.expect(200);
    assert_eq!(answer.json(), json!([{"id": id, "name": "none", "limit": 0}]));
}

#[tokio::test]
async fn c16_active_slots_alone_revoke_the_oldest_leases_with_a_reason() {
    let app = TestApp::start();
    app.limit("db", 4).await;
    let old = app.lease(&["db"], 1).await;
    app.increment(&["db"], 1).await.expect(200);
    let young = app.lease(&["db"], 1).await;
    app.sleep(1.0);
    app.update("db", &json!({"active_slots": 1})).await;
    assert_eq!(app.taken("db").await, 1);
    app.renew(&young).await.expect(204);
    assert_eq!(
        app.renew(&old).await.expect(410).detail(),
        "Lease not found - it was revoked by an operator at 2026-11-20T20:53:01.000000Z: \
         active_slots of 'db' was set to 1"
    );
    app.update("db", &json!({"active_slots": 3})).await;
    assert_eq!(app.taken("db").await, 3);
    app.renew(&young).await.expect(204);
}

#[tokio::test]
async fn c17_many_clients_at_once_are_no_overload() {
    let app = TestApp::start();
    app.limit("db", 200).await;
    let asking = (0..200).map(|_| app.acquire(&["db"], 1));
    for answer in futures_util::future::join_all(asking).await {
        answer.expect(200);
    }
    assert_eq!(app.taken("db").await, 200);
}

#[tokio::test]
async fn only_a_client_before_3_9_takes_slots_of_no_limit_at_all() {
    let app = TestApp::start();
    let ask = |path: &str, agent: &str| {
        let body = json!({"names": [], "slots": 1});
        let mut request = with_json("POST", &format!("{LIMITS}/{path}"), &body);
        request.headers_mut().insert("user-agent", agent.parse().unwrap());
        app.send(request)
    };
    for path in ["increment", "increment-with-lease", "decrement"] {
        for older in ["prefect/3.8.8 (API 0.8.4)", "prefect/2.20.26 (API 0.8.4)"] {
            ask(path, older).await.expect(200);
        }
        for newer in ["prefect/3.9.0rc1 (API 0.8.4)", "prefect/3.9.1 (API 0.8.4)", "curl/8.5.0"] {
            let details = ask(path, newer).await.expect(422).json();
            assert_eq!(details["exception_detail"][0]["type"], "too_short", "{path} {newer}");
            assert_eq!(details["exception_detail"][0]["loc"], json!(["body", "names"]));
        }
    }
}
