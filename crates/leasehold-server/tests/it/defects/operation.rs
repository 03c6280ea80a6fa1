//! Defects that operators and busy clients meet.

use serde_json::json;

use crate::fixture::{FIRST_TOKEN, TAGS, TestApp, run};

/// On the shipped journal.
#[tokio::test]
async fn d25_64_clients_at_once_are_all_served() {
    let app = TestApp::init().on_disk().start();
    app.limit("db", 8).await;
    let client = async || {
        let mut granted = 0;
        while granted < 5 {
            let answer = app.acquire(&["db"], 1).await;
            match answer.status.as_u16() {
                200 => {
                    app.release(&crate::fixture::lease_of(&answer)).await.expect(204);
                    granted += 1;
                }
                status => assert_eq!(status, 423, "{}", answer.text()),
            }
        }
    };
    futures_util::future::join_all((0..64).map(|_| client())).await;
    assert_eq!(app.taken("db").await, 0);
}

#[tokio::test]
async fn d26_a_list_shows_the_holder_of_a_slot_since_when_and_until_when() {
    let app = TestApp::start();
    let id = app.limit("db", 3).await;
    let lease = app.lease_for(&["db"], &run(1)).await;
    app.sleep(10.0);
    app.renew(&lease).await.expect(204);
    let expected = json!({
        "id": lease,
        "limits": [{"id": id, "name": "db", "slots": 1}],
        "holder": {"kind": "task_run", "id": run(1), "labels": {}},
        "origin": null,
        "created": "2026-11-20T20:53:00.000000Z",
        "deadline": "2026-11-20T20:58:10.000000Z",
        "fencing_token": FIRST_TOKEN,
    });
    let mut on_limit = expected.clone();
    on_limit["slots"] = json!(1);
    on_limit["holder"] = json!({"type": "task_run", "id": run(1)});
    on_limit["labels"] = json!({});
    on_limit["without_lease"] = json!(null);
    assert_eq!(json!(app.leases("db").await), json!([on_limit]));
    let alone = app.get(&format!("/api/leases/{lease}")).await.expect(200);
    crate::fixture::assert_json(&alone, &expected);
}

#[tokio::test]
async fn d27_tags_are_found_behind_200_other_limits() {
    let app = TestApp::start();
    for number in 0..200 {
        app.limit(&format!("limit-{number}"), 1).await;
    }
    app.tag("db", 1).await;
    let tags = app.post(&format!("{TAGS}/filter"), &json!({})).await.expect(200).json();
    assert_eq!(tags[0]["tag"], "db");
    assert_eq!(tags.as_array().unwrap().len(), 1);
}
