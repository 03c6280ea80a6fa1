//! Leases renewed, released and revoked: each answer says exactly what happened.

use leasehold_engine::Span;
use serde_json::{Value, json};

use super::{DOOR, id};
use crate::fixture::{Answer, TestApp, assert_json, request, run};

const START: &str = "2026-11-20T20:53:00.000000Z";

#[tokio::test]
async fn a_renewal_counts_from_now_and_may_shorten() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.hold(&["db"], json!({})).await;
    app.sleep(10.0);
    let renewed = app.renew_at_door(id(&lease), 100.0).await.expect(200);
    let expected = json!({
        "id": id(&lease), "status": "renewed", "deadline": "2026-11-20T20:54:50.000000Z",
    });
    assert_json(&renewed, &expected);
    let shorter = app.renew_at_door(id(&lease), 1.0).await.expect(200).json();
    assert_eq!(shorter["deadline"], "2026-11-20T20:53:11.000000Z");
    app.sleep(1.0);
    app.renew_at_door(id(&lease), 1.0).await.expect(410);
}

#[tokio::test]
async fn a_renewal_must_name_its_ttl() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.hold(&["db"], json!({})).await;
    let path = format!("{DOOR}/{}/renew", id(&lease));
    for body in
        [json!({}), json!({"ttl_seconds": 0.9}), json!({"ttl_seconds": 86_401}), json!(null)]
    {
        app.post(&path, &body).await.expect(422);
    }
    let both = app.post(&format!("{DOOR}/nope/renew"), &json!({})).await.expect(422).json();
    let places: Vec<_> = both["exception_detail"].as_array().unwrap().iter().collect();
    assert_eq!(places[0]["loc"], json!(["path", "lease_id"]));
    assert_eq!(places[1]["loc"], json!(["body", "ttl_seconds"]));
}

/// The answers to a renewal and to a release of a lease, for each way in which it can end.
#[tokio::test]
async fn the_answer_for_an_ended_lease_has_how_when_why_and_by_whom() {
    let app = TestApp::start();
    app.limit("db", 9).await;
    let lease = async || id(&app.hold(&["db"], json!({})).await).to_owned();
    let (expired, revoked, nameless) = (lease().await, lease().await, lease().await);
    let by = json!({"reason": "the database moves", "by": "anna"});
    app.revoke(&revoked, &by).await.expect(204);
    app.revoke(&nameless, &json!({})).await.expect(204);
    app.sleep(60.0);
    let later = "2026-11-20T20:54:00.000000Z";
    let check = async |lease: &str, status: &str, at: &str, why: Value, by: Value, said: String| {
        let expected = json!({
            "detail": said, "id": lease, "status": status, "at": at, "reason": why, "by": by,
        });
        assert_json(&app.renew_at_door(lease, 5.0).await.expect(410), &expected);
        assert_json(&app.give_back(lease).await.expect(410), &expected);
    };
    let null = || json!(null);
    let said = format!("The lease expired at {later}: it was not renewed.");
    check(&expired, "expired", later, null(), null(), said).await;
    let said = format!("The lease was revoked by anna at {START}: the database moves");
    check(&revoked, "revoked", START, by["reason"].clone(), by["by"].clone(), said).await;
    let said = format!("The lease was revoked by an operator at {START}: no reason was given");
    check(&nameless, "revoked", START, json!("no reason was given"), null(), said).await;
    // A client of Prefect's reads that, too.
    let told = app.renew(&revoked).await.expect(410).detail();
    assert!(told.contains("revoked by anna at"), "{told}");
}

#[tokio::test]
async fn a_repeated_release_has_the_same_answer_and_frees_nothing() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.hold(&["db"], json!({})).await;
    app.sleep(2.0);
    let first = app.give_back(id(&lease)).await.expect(200);
    let at = "2026-11-20T20:53:02.000000Z";
    assert_json(&first, &json!({"id": id(&lease), "status": "released", "at": at}));
    let next = app.hold(&["db"], json!({})).await;
    app.sleep(2.0);
    assert_eq!(app.give_back(id(&lease)).await.expect(200).json(), first.json());
    assert_eq!(app.taken("db").await, 1, "another holder has the slot");
    let told = app.renew_at_door(id(&lease), 5.0).await.expect(410).json();
    assert_eq!((&told["status"], &told["at"]), (&json!("released"), &json!(at)));
    let sentence = format!("Lease not found - it was released at {at}");
    assert_eq!(app.get(&format!("{DOOR}/{}", id(&lease))).await.expect(404).detail(), sentence);
    app.give_back(id(&next)).await.expect(200);
}

#[tokio::test]
async fn an_id_without_a_lease_is_unknown() {
    let app = TestApp::start();
    let check = |answer: Answer| {
        let told = answer.expect(404).json();
        assert_eq!((&told["status"], &told["at"]), (&json!("unknown"), &json!(null)));
        assert_eq!(told["id"], run(1));
    };
    check(app.renew_at_door(&run(1), 5.0).await);
    check(app.give_back(&run(1)).await);
    app.delete(&format!("{DOOR}/nope")).await.expect(422);
}

/// For speed, the engine does not remember releases of leases that Prefect's clients acquired: a
/// second release at this door finds nothing.
#[tokio::test]
async fn leases_of_the_other_door_can_be_used_at_this_one() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.lease_for(&["db"], &run(1)).await;
    let read = app.get(&format!("{DOOR}/{lease}")).await.expect(200).json();
    assert_eq!(read["holder"], json!({"kind": "task_run", "id": run(1), "labels": {}}));
    app.renew_at_door(&lease, 2.0).await.expect(200);
    app.give_back(&lease).await.expect(200);
    app.give_back(&lease).await.expect(404);
    let ours = app.hold(&["db"], json!({})).await;
    app.renew(id(&ours)).await.expect(204);
    app.release(id(&ours)).await.expect(204);
    app.release(id(&ours)).await.expect(204);
}

#[tokio::test]
async fn many_leases_are_renewed_in_one_request_each_with_its_own_answer() {
    let app = TestApp::start();
    app.limit("db", 9).await;
    app.limit_with(&json!({"name": "off", "limit": 1, "active": false})).await;
    let lease = async |name: &str| id(&app.hold(&[name], json!({})).await).to_owned();
    let (one, two, revoked) = (lease("db").await, lease("db").await, lease("db").await);
    let empty = lease("off").await;
    app.revoke(&revoked, &json!({"reason": "why not"})).await.expect(204);
    let leases = json!([two, run(7), empty, revoked, one, two]);
    let body = json!({"leases": leases, "ttl_seconds": 100});
    let commits = app.journal.commits_begun();
    let answer = app.post(&format!("{DOOR}/renew"), &body).await.expect(200).json();
    assert_eq!(app.journal.commits_begun(), commits + 1);
    let results = answer["leases"].as_array().unwrap();
    let ids: Vec<_> = results.iter().map(|result| result["id"].clone()).collect();
    assert_eq!(json!(ids), leases);
    let status: Vec<_> = results.iter().map(|result| result["status"].clone()).collect();
    let expected = ["renewed", "unknown", "renewed", "revoked", "renewed", "renewed"];
    assert_eq!(status, expected);
    let deadline = json!("2026-11-20T20:54:40.000000Z");
    assert_eq!((&results[0]["deadline"], &results[5]["deadline"]), (&deadline, &deadline));
    assert_eq!(results[2]["deadline"], json!(null));
    assert_eq!(results[3]["reason"], "why not");
    let none = json!({"leases": [], "ttl_seconds": 100});
    let nothing = app.post(&format!("{DOOR}/renew"), &none).await.expect(200).json();
    assert_eq!(nothing, json!({"leases": []}));
}

/// The server remembers a release until it restarts, and other ends for longer.
#[tokio::test]
async fn after_a_restart_a_release_is_forgotten_and_other_ends_are_not() {
    let app = TestApp::start();
    app.limit("db", 2).await;
    let (released, revoked) =
        (app.hold(&["db"], json!({})).await, app.hold(&["db"], json!({})).await);
    app.give_back(id(&released)).await.expect(200);
    app.revoke(id(&revoked), &json!({})).await.expect(204);
    let app = app.restart(Span::from_seconds(1)).await;
    app.give_back(id(&released)).await.expect(404);
    app.give_back(id(&revoked)).await.expect(410);
}

#[tokio::test]
async fn an_invalid_revocation_takes_nothing() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.hold(&["db"], json!({})).await;
    let path = format!("{DOOR}/{}", id(&lease));
    for body in ["the database moves", "null", "7", r#"{"reson": "the database moves"}"#] {
        let request = request("DELETE", &path)
            .header("content-type", "application/json")
            .body(body.into())
            .unwrap();
        app.send(request).await.expect(422);
        assert_eq!(app.taken("db").await, 1, "{body}");
    }
}
