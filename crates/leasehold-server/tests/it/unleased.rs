//! Slots that no lease holds are listed wherever holders are, with what took them and how to free
//! them.

use serde_json::{Value, json};

use crate::fixture::{LIMITS, TAGS, TestApp, assert_json, run};

const START: &str = "2026-11-20T20:53:00.000000Z";

/// Sends the request that `free_with` shows.
async fn free(app: &TestApp, with: &Value) {
    let (request, body) = with.as_str().unwrap().split_once(" {").unwrap();
    let path = request.strip_prefix("POST ").unwrap();
    let body = serde_json::from_str(&format!("{{{body}")).unwrap();
    app.post(path, &body).await.expect(200);
}

#[tokio::test]
async fn slots_without_a_lease_are_listed_after_the_leases_of_a_limit() {
    let app = TestApp::start();
    let id = app.limit("db", 5).await;
    let lease = app.lease(&["db"], 1).await;
    app.sleep(1.0);
    app.increment(&["db"], 2).await.expect(200);
    let listed = app.leases("db").await;
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0]["id"], &listed[0]["without_lease"]), (&json!(lease), &json!(null)));
    let since = "2026-11-20T20:53:01.000000Z";
    let expected = json!({
        "id": null,
        "slots": 2,
        "holder": null,
        "labels": {},
        "origin": null,
        "created": since,
        "deadline": null,
        "fencing_token": null,
        "limits": [{"id": id, "name": "db", "slots": 2}],
        "without_lease": {
            "limit": "db",
            "slots": 2,
            "taken_by": "increment",
            "since": since,
            "detail": "No lease holds 2 slots: a client took them with POST /increment, and must \
                       give them back with /decrement. Nothing else gives them back: if no client \
                       uses them, free them.",
            "free_with": "POST /api/v2/concurrency_limits/decrement {\"names\":[\"db\"],\"slots\":2}",
        },
    });
    assert_eq!(listed[1], expected);
    let sum: u64 = listed.iter().map(|it| it["slots"].as_u64().unwrap()).sum();
    assert_eq!(app.taken("db").await, sum, "the list accounts for all that is taken");
}

#[tokio::test]
async fn each_way_of_taking_slots_without_a_lease_is_named() {
    let app = TestApp::start();
    app.limit_with(&json!({"name": "made", "limit": 5, "active_slots": 1})).await;
    app.limit("reset", 5).await;
    app.update("reset", &json!({"active_slots": 1})).await;
    app.limit("counted", 5).await;
    app.increment(&["counted"], 1).await.expect(200);
    app.rate_limit("rate", 5, 1.0).await;
    app.spend(&["rate"], 1).await.expect(200);
    for (name, by) in
        [("made", "create"), ("reset", "reset"), ("counted", "increment"), ("rate", "rate_limit")]
    {
        let listed = app.leases(name).await;
        let slots = &listed[0]["without_lease"];
        assert_eq!((&slots["taken_by"], &slots["since"]), (&json!(by), &json!(START)));
        let drains = slots["detail"].as_str().unwrap().contains("by itself");
        assert_eq!(drains, name == "rate", "{slots}");
    }
}

#[tokio::test]
async fn the_request_that_is_shown_frees_these_slots_and_leaves_leases() {
    let app = TestApp::start();
    let name = "a \"limit\" ☃";
    let id = app.limit_with(&json!({"name": name, "limit": 9, "active_slots": 2})).await;
    let lease = app.lease(&[name], 3).await;
    app.increment(&[name], 1).await.expect(200);
    for listed in app.leases(&id).await.into_iter().skip(1) {
        free(&app, &listed["without_lease"]["free_with"]).await;
    }
    assert_eq!(app.taken(&id).await, 3);
    assert_eq!(app.leases(&id).await.len(), 1);
    app.renew(&lease).await.expect(204);
}

#[tokio::test]
async fn a_rate_limit_that_has_drained_lists_nothing() {
    let app = TestApp::start();
    app.rate_limit("api", 5, 1.0).await;
    app.spend(&["api"], 3).await.expect(200);
    app.sleep(1.5);
    assert_eq!(app.leases("api").await[0]["slots"], 2);
    app.sleep(1.5);
    assert_eq!(app.leases("api").await, [Value::Null; 0]);
}

#[tokio::test]
async fn the_pages_of_a_list_end_with_the_slots_that_no_lease_holds() {
    let app = TestApp::init().with_config(|config| config.bodies.page_size = 2).start();
    app.limit_with(&json!({"name": "db", "limit": 9, "active_slots": 1})).await;
    for _ in 0..2 {
        app.lease(&["db"], 1).await;
    }
    let path = format!("{LIMITS}/db/leases");
    let page = async |query: &str| {
        let page = app.get(&format!("{path}{query}")).await.expect(200).json();
        let ids = page.as_array().unwrap().iter().map(|it| it["id"].is_null());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(page("").await, [false, false]);
    assert_eq!(page("?offset=1").await, [false, true]);
    assert_eq!(page("?offset=2").await, [true]);
    assert_eq!(page("?offset=3").await, [false; 0]);
}

#[tokio::test]
async fn a_tag_says_how_many_slots_no_task_run_holds_and_only_then() {
    let app = TestApp::start();
    let id = app.tag("x", 3).await;
    app.tag_increment(&["x"], &run(1)).await.expect(200);
    let recorded = app.get(&format!("{TAGS}/{id}")).await.expect(200).json();
    assert!(recorded.get("slots_without_lease").is_none(), "{recorded}");
    app.increment(&["tag:x"], 1).await.expect(200);
    let mut expected = recorded;
    let shown = app.get(&format!("{TAGS}/tag/x")).await.expect(200);
    expected["updated"] = shown.json()["updated"].clone();
    expected["slots_without_lease"] = json!([app.leases("tag:x").await[1]["without_lease"]]);
    assert_eq!(expected["slots_without_lease"][0]["slots"], 1);
    assert_json(&shown, &expected);
    let listed = app.post(&format!("{TAGS}/filter"), &json!({})).await.expect(200).json();
    assert_eq!(listed, json!([expected]));
    app.tag_reset("x", None).await.expect(200);
    let free = app.get(&format!("{TAGS}/{id}")).await.expect(200).json();
    assert!(free.get("slots_without_lease").is_none(), "{free}");
}

#[tokio::test]
async fn refusals_and_waiters_show_the_slots_that_no_lease_holds() {
    let app = TestApp::start();
    app.limit_with(&json!({"name": "db", "limit": 1, "active_slots": 1})).await;
    app.limit("free", 1).await;
    let want = json!({"limits": [{"name": "db"}, {"name": "free"}]});
    let refused = app.post("/api/leases", &want).await.expect(423).json();
    let slots = &refused["waiting_for"][0]["slots_without_lease"];
    assert_eq!((&slots[0]["limit"], &slots[0]["taken_by"]), (&json!("db"), &json!("create")));

    let waits = json!({"limits": [{"name": "db"}], "wait_seconds": 60});
    let asked = async { app.post("/api/leases", &waits).await };
    let waiter = app.held_open("db", asked).await;
    let shown = app.waiters("db").await;
    assert_eq!(&shown[0]["slots_without_lease"], slots);
    free(&app, &slots[0]["free_with"]).await;
    waiter.await.expect(201);
}

#[tokio::test]
async fn what_took_slots_without_a_lease_is_known_after_a_restart() {
    let app = TestApp::init().on_disk().start();
    app.limit_with(&json!({"name": "db", "limit": 9, "active_slots": 2})).await;
    app.sleep(1.0);
    app.increment(&["db"], 1).await.expect(200);
    let before = app.leases("db").await;
    let app = app.restart(leasehold_engine::Span::from_seconds(60)).await;
    assert_eq!(app.leases("db").await, before);
}
