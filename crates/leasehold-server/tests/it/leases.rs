//! Leases as people and clients see them: lists, revocations, and the lengths that the operator
//! allows.

use serde_json::{Value, json};

use crate::fixture::{LIMITS, TAGS, TestApp, run};

fn ids(leases: &Value) -> Vec<&str> {
    leases.as_array().unwrap().iter().map(|lease| lease["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_grant_says_its_fencing_token_and_its_deadline() {
    let app = TestApp::start();
    let id = app.limit("db", 2).await;
    let mut last = 0;
    for _ in 0..2 {
        let grant = app.acquire(&["db"], 1).await.expect(200).json();
        let fields: Vec<_> = grant.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["lease_id", "limits", "fencing_token", "deadline"]);
        assert_eq!(grant["limits"], json!([{"id": id, "name": "db", "limit": 2}]));
        assert_eq!(grant["deadline"], "2026-11-20T20:58:00.000000Z");
        let fence = grant["fencing_token"].as_u64().unwrap();
        assert!(fence > last);
        last = fence;
    }
    let app = app.restart(leasehold_engine::Span::ZERO).await;
    app.update("db", &json!({"active_slots": 0})).await;
    let grant = app.acquire(&["db"], 1).await.expect(200).json();
    assert!(grant["fencing_token"].as_u64().unwrap() > last);
}

#[tokio::test]
async fn leases_are_listed_oldest_first_and_in_pages() {
    let app = TestApp::init().with_config(|config| config.bodies.page_size = 3).start();
    let id = app.limit("db", 5).await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(app.lease(&["db"], 1).await);
    }
    let page = async |query: &str| {
        let path = format!("{LIMITS}/{id}/leases{query}");
        let leases = app.get(&path).await.expect(200).json();
        ids(&leases).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(page("").await, made[..3]);
    assert_eq!(page("?offset=3").await, made[3..]);
    assert_eq!(page("?offset=1&limit=2").await, made[1..3]);
    assert_eq!(page("?limit=100").await, made[..3]);
    assert_eq!(page("?offset=9").await, [""; 0]);
    app.get(&format!("{LIMITS}/nope/leases")).await.expect(404);
}

#[tokio::test]
async fn the_operators_page_size_is_the_default_and_the_most() {
    let app = TestApp::init().with_config(|config| config.bodies.page_size = 2).start();
    for name in ["a", "b", "c"] {
        app.limit(name, 1).await;
        app.tag(name, 1).await;
    }
    for path in [LIMITS, TAGS] {
        let path = format!("{path}/filter");
        let page = app.post(&path, &json!({})).await.expect(200).json();
        assert_eq!(page.as_array().unwrap().len(), 2);
        let answer = app.post(&path, &json!({"limit": 3})).await.expect(422);
        assert_eq!(answer.detail(), "Invalid limit: must be less than or equal to 2.");
        let page = app.post(&path, &json!({"limit": 0})).await.expect(200).json();
        assert_eq!(page, json!([]));
    }
}

#[tokio::test]
async fn a_renewal_of_a_revoked_lease_answers_when_and_why() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    app.sleep(12.5);
    let path = format!("/api/leases/{lease}");
    let body = json!({"reason": "the database is being moved"});
    app.revoke(&lease, &body).await.expect(204);
    assert_eq!(app.taken("db").await, 0);
    app.sleep(60.0);
    let told = "Lease not found - it was revoked by an operator at \
                2026-11-20T20:53:12.500000Z: the database is being moved";
    assert_eq!(app.renew(&lease).await.expect(410).detail(), told);
    assert_eq!(app.get(&path).await.expect(404).detail(), told);
    assert_eq!(app.revoke(&lease, &body).await.expect(404).detail(), told);
    app.release(&lease).await.expect(204);

    let app = app.restart(leasehold_engine::Span::from_seconds(9)).await;
    assert_eq!(app.renew(&lease).await.expect(410).detail(), told, "after a restart, too");
}

#[tokio::test]
async fn a_revocation_needs_no_reason() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    app.revoke(&lease, &json!({})).await.expect(204);
    assert_eq!(
        app.renew(&lease).await.expect(410).detail(),
        "Lease not found - it was revoked by an operator at 2026-11-20T20:53:00.000000Z: \
         no reason was given"
    );
}

#[tokio::test]
async fn a_lease_that_ended_with_its_tag_is_refused_in_the_contracts_words() {
    let app = TestApp::start();
    app.tag("a", 1).await;
    app.tag("b", 1).await;
    let reset = app.lease_for(&["tag:a"], &run(1)).await;
    let deleted = app.lease_for(&["tag:b"], &run(1)).await;
    app.tag_reset("a", None).await.expect(200);
    app.delete(&format!("{TAGS}/tag/b")).await.expect(200);
    for lease in [reset, deleted] {
        assert_eq!(
            app.renew(&lease).await.expect(410).detail(),
            "Lease not found - it may have expired or been revoked"
        );
        assert_eq!(
            app.get(&format!("/api/leases/{lease}")).await.expect(404).detail(),
            "Lease not found - its tag was reset or deleted at 2026-11-20T20:53:00.000000Z"
        );
    }
}

#[tokio::test]
async fn an_id_without_a_lease_is_not_found() {
    let app = TestApp::start();
    let path = format!("/api/leases/{}", run(1));
    assert_eq!(app.get(&path).await.expect(404).detail(), "Lease not found");
    assert_eq!(app.revoke(&run(1), &json!({})).await.expect(404).detail(), "Lease not found");
    let refused = app.get("/api/leases/nope").await.expect(422).json();
    assert_eq!(refused["exception_detail"][0]["loc"], json!(["path", "lease_id"]));
    let too_long = json!({"reason": "x".repeat(501)});
    app.revoke(&run(1), &too_long).await.expect(422);
}

/// Old clients renew and release every lease that they got, also one that holds nothing.
#[tokio::test]
async fn a_lease_on_missing_limits_can_be_renewed_for_ever() {
    let app = TestApp::start();
    app.limit_with(&json!({"name": "off", "limit": 1, "active": false})).await;
    for names in [["nope"], ["off"]] {
        let grant = app.acquire(&names, 1).await.expect(200).json();
        assert_eq!((&grant["fencing_token"], &grant["deadline"]), (&Value::Null, &Value::Null));
        let lease = grant["lease_id"].as_str().unwrap();
        app.sleep(100_000.0);
        app.renew(lease).await.expect(204);
        app.release(lease).await.expect(204);
        app.renew(lease).await.expect(204);
    }
}

/// A lease outlives its limit, so that its holder is not disturbed.
#[tokio::test]
async fn deleting_a_global_limit_disturbs_no_holder() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    app.delete(&format!("{LIMITS}/db")).await.expect(204);
    app.renew(&lease).await.expect(204);
    app.limit("db", 1).await;
    app.renew(&lease).await.expect(204);
    assert_eq!(app.taken("db").await, 0);
    app.release(&lease).await.expect(204);
    app.renew(&lease).await.expect(410);
}

#[tokio::test]
async fn a_lease_follows_its_limit_when_that_is_renamed() {
    let app = TestApp::start();
    app.limit("old", 1).await;
    let lease = app.lease(&["old"], 1).await;
    app.update("old", &json!({"name": "new"})).await;
    assert_eq!(app.leases("new").await[0]["limits"][0]["name"], "new");
    app.acquire(&["new"], 1).await.expect(423);
    app.release(&lease).await.expect(204);
    app.lease(&["new"], 1).await;
}

#[tokio::test]
async fn leases_are_as_short_and_as_long_as_the_operator_allows() {
    let app = TestApp::init()
        .with_config(|config| {
            config.bodies.lease_seconds_min = 0.5;
            config.bodies.lease_seconds_default = 2.0;
            config.bodies.lease_seconds_max = 10.0;
        })
        .start();
    app.limit("db", 1).await;
    let ask = async |seconds: Value| {
        app.acquire_with(&json!({"names": ["db"], "slots": 1, "lease_duration": seconds})).await
    };
    for (seconds, kind, bound) in [
        (0.4, "greater_than_equal", json!({"ge": 0.5})),
        (10.5, "less_than_equal", json!({"le": 10.0})),
    ] {
        let refused = ask(json!(seconds)).await.expect(422).json();
        let detail = &refused["exception_detail"][0];
        assert_eq!((&detail["type"], &detail["ctx"]), (&json!(kind), &bound));
    }
    let lease = crate::fixture::lease_of(&ask(json!(0.5)).await.expect(200));
    app.sleep(0.4);
    // Without a body, for the default.
    app.renew(&lease).await.expect(204);
    app.sleep(1.999_999);
    ask(Value::Null).await.expect(423);
    app.sleep(0.000_001);
    ask(Value::Null).await.expect(200);
    app.sleep(1.999_999);
    ask(Value::Null).await.expect(423);
}

#[tokio::test]
async fn the_slot_of_a_dead_holder_is_freed_without_any_request() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    app.lease(&["db"], 1).await;
    app.sleep(300.0);
    crate::fixture::until(async || app.journal.leases().is_empty()).await;
}

#[tokio::test]
async fn slots_without_a_lease_are_given_back_apart_from_those_on_leases() {
    let app = TestApp::start();
    let id = app.limit("db", 3).await;
    let lease = app.lease(&["db"], 1).await;
    app.increment(&["db"], 2).await.expect(200);
    let answer = app.decrement(&["db", "nope"], 100).await.expect(200);
    assert_eq!(answer.json(), json!([{"id": id, "name": "db", "limit": 3}]));
    assert_eq!(app.taken("db").await, 1);
    app.renew(&lease).await.expect(204);
    app.release(&lease).await.expect(204);
    app.lease(&["db"], 3).await;
}
