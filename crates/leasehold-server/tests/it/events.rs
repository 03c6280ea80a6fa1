//! The log of events of limits, leases and waiters, and its subscribers.

mod recipe;
mod subscribers;

use futures_util::SinkExt;
use leasehold_engine::Span;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use self::subscribers::{next_event, subscribe};
use crate::fixture::{LIMITS, PARK_SECONDS, TAGS, TestApp, lease_of, run, until};
use crate::replay::sockets::connect;

fn start() -> TestApp {
    TestApp::init().with_records().with_config(|config| config.park_seconds = PARK_SECONDS).start()
}

/// A server with the limit `db` of one slot, and a lease that holds it.
async fn held() -> (TestApp, String) {
    let app = start();
    let lease = app.full(&[]).await;
    (app, lease)
}

fn of_log(told: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
    told.iter().map(|(kind, reason)| ((*kind).to_owned(), reason.map(str::to_owned))).collect()
}

#[tokio::test]
async fn a_granted_waiter_is_logged_under_its_new_lease() {
    let (app, lease) = held().await;
    app.ask_as(1).await.expect(423);
    let held = app.retry(1).await;
    app.release(&lease).await.expect(204);
    let granted = lease_of(&held.await.expect(200));
    let told = app.told(&format!("lease={granted}"), 2).await;
    assert_eq!(told, of_log(&[("waiter.queued", None), ("lease.granted", None)]));
    let queued = &app.events("kind=waiter").await[0];
    let holder = json!({"kind": "task_run", "id": run(1)});
    assert_eq!((&queued["limit"], &queued["holder"]), (&json!("db"), &holder));
}

#[tokio::test]
async fn a_revocation_is_logged_with_its_author_and_reason() {
    let (app, lease) = held().await;
    let by_anna = json!({"reason": "the database moves", "by": "anna"});
    app.revoke(&lease, &by_anna).await.expect(204);
    let told = app.told(&format!("lease={lease}"), 2).await;
    let expected =
        [("lease.granted", None), ("lease.revoked", Some("by anna: the database moves"))];
    assert_eq!(told, of_log(&expected));
}

#[tokio::test]
async fn a_refusal_without_a_wait_is_not_logged() {
    let (app, _) = held().await;
    for client in 1..=5 {
        app.ask_as(client).await.expect(423);
    }
    app.limit("after", 1).await;
    app.told("kind=limit", 2).await;
    assert_eq!(app.events("kind=waiter").await.len(), 0);
}

#[tokio::test]
async fn a_waiter_that_leaves_is_logged_with_the_reason() {
    let (app, lease) = held().await;
    let mut expected = Vec::new();
    let mut check = async |app: &TestApp, reason| {
        expected.extend([("waiter.queued", None), ("waiter.left", Some(reason))]);
        assert_eq!(app.told("kind=waiter", expected.len()).await, of_log(&expected));
    };
    app.ask_as(1).await.expect(423);
    drop(app.retry(1).await);
    check(&app, "its client hung up").await;

    app.ask_as(2).await.expect(423);
    let held = app.retry(2).await;
    app.clock.advance(Span::from_seconds_f64(PARK_SECONDS));
    held.await.expect(423);
    app.sleep(11.0);
    check(&app, "its client did not come back to its place").await;

    app.ask_as(2).await.expect(423);
    let held = app.retry(2).await;
    app.update("db", &json!({"limit": 0})).await;
    held.await.expect(422);
    check(&app, "the limit was changed, and it can have no lease any longer").await;

    app.update("db", &json!({"limit": 1})).await;
    app.ask_as(3).await.expect(423);
    let held = app.retry(3).await;
    app.journal.fail(true);
    app.renew(&lease).await.expect(503);
    held.await.expect(503);
    app.recover().await;
    check(&app, "the journal failed").await;

    app.ask_as(4).await.expect(423);
    let held = app.retry(4).await;
    app.ledger().send_waiters_away();
    held.await.expect(423);
    check(&app, "the server stopped").await;
}

#[tokio::test]
async fn a_client_that_is_held_open_three_times_is_one_waiter() {
    let (app, lease) = held().await;
    app.ask_as(1).await.expect(423);
    let mut held = app.retry(1).await;
    let since = app.waiters("db").await[0]["since"].clone();
    for _ in 0..2 {
        app.clock.advance(Span::from_seconds_f64(PARK_SECONDS));
        held.await.expect(423);
        held = app.retry(1).await;
        let waiter = app.waiters("db").await.remove(0);
        assert_eq!(waiter["since"], since);
    }
    app.release(&lease).await.expect(204);
    let granted = lease_of(&held.await.expect(200));
    let told = app.told(&format!("lease={granted}"), 2).await;
    assert_eq!(told, of_log(&[("waiter.queued", None), ("lease.granted", None)]));
    assert_eq!(app.events("kind=waiter").await.len(), 1);
}

#[tokio::test]
async fn a_client_that_is_granted_a_slot_as_it_comes_back_is_one_waiter() {
    let (app, lease) = held().await;
    app.ask_as(1).await.expect(423);
    let held = app.retry(1).await;
    app.clock.advance(Span::from_seconds_f64(PARK_SECONDS));
    held.await.expect(423);
    app.release(&lease).await.expect(204);
    app.sleep(0.02);
    let granted = lease_of(&app.ask_as(1).await.expect(200));
    let told = app.told(&format!("lease={granted}"), 2).await;
    assert_eq!(told, of_log(&[("waiter.queued", None), ("lease.granted", None)]));
    app.sleep(20.0);
    assert_eq!(app.events("kind=waiter").await.len(), 1);
}

#[tokio::test]
async fn a_waiter_that_gets_slots_without_a_lease_is_logged_as_left_with_them() {
    let (app, lease) = held().await;
    app.increment(&["db"], 1).await.expect(423);
    let held = app.comes_back("db", || app.increment(&["db"], 1)).await;
    let release = async {
        app.told("kind=waiter.queued", 1).await;
        app.release(&lease).await.expect(204);
    };
    let (answer, ()) = tokio::join!(held, release);
    answer.expect(200);
    let left = ("waiter.left", Some("it got its slots, without a lease"));
    assert_eq!(app.told("kind=waiter", 2).await, of_log(&[("waiter.queued", None), left]));
}

#[tokio::test]
async fn what_a_lease_loses_with_its_limit_is_logged_with_the_reason() {
    let app = start();
    for tag in ["p", "q"] {
        app.tag(tag, 1).await;
    }
    for name in ["y", "z"] {
        app.limit(name, 1).await;
    }
    app.tag_increment(&["p", "q"], &run(1)).await.expect(200);
    app.lease_for(&["y", "z"], &run(1)).await;
    app.tag_reset("p", None).await.expect(200);
    app.delete(&format!("{TAGS}/tag/q")).await.expect(200);
    app.delete(&format!("{LIMITS}/y")).await.expect(204);
    app.update("z", &json!({"name": "z2"})).await;
    for (limit, kind, reason) in [
        ("tag:p", "lease.revoked", "the limit was reset"),
        ("tag:q", "lease.revoked", "the limit was deleted"),
        ("y", "lease.revoked", "the limit was deleted"),
        ("z", "lease.moved_out", "the limit is called 'z2' from now on"),
        ("z2", "lease.moved_in", "the limit was called 'z' until now"),
    ] {
        let told = app.events(&format!("kind=lease&limit={limit}")).await;
        let last = told.last().unwrap();
        assert_eq!((&last["kind"], &last["reason"]), (&json!(kind), &json!(reason)), "{limit}");
        assert_eq!(last["holder"]["id"], json!(run(1)), "{limit}");
    }
    let nameless = app.events("kind=lease").await.into_iter().find(|it| it["limit"].is_null());
    assert_eq!(nameless, None);
}

#[tokio::test]
async fn a_change_of_a_limit_says_what_changed() {
    let (app, _) = held().await;
    app.tag("p", 1).await;
    app.tag_increment(&["p"], &run(1)).await.expect(200);
    let raised = json!({"limit": 3, "active": false, "slot_decay_per_second": 0.5});
    app.update("db", &raised).await;
    app.update("db", &raised).await;
    app.update("db", &json!({"name": "db2", "slot_decay_per_second": 0, "denied_slots": 4})).await;
    app.update("db2", &json!({"active_slots": 2})).await;
    app.update("db2", &json!({"limit": 3, "active_slots": 1})).await;
    let raised = json!({"tag": "p", "concurrency_limit": 2});
    app.post(&format!("{TAGS}/"), &raised).await.expect(200);
    app.tag_reset("p", Some(&[&run(2)])).await.expect(200);
    let changed = |reason| ("limit.changed", Some(reason));
    let renamed = changed(
        "name from db to db2, slot_decay_per_second from 0.5 to 0, denied_slots from 0 to 4",
    );
    let told = app.told("limit=db&kind=limit.changed", 2).await;
    let raised =
        "limit from 1 to 3, active from true to false, slot_decay_per_second from 0 to 0.5";
    assert_eq!(told, of_log(&[changed(raised), renamed]));
    let told = app.told("limit=db2&kind=limit.changed", 3).await;
    let reset = changed("it was reset to 2 slots taken, 1 of them without a lease");
    let lowered = changed("slots taken without a lease from 1 to 0");
    assert_eq!(told, of_log(&[renamed, reset, lowered]));
    let told = app.told("limit=tag:p&kind=limit.changed", 2).await;
    let reset = changed("it was reset to 0 slots taken");
    assert_eq!(told, of_log(&[changed("limit from 1 to 2"), reset]));
}

#[tokio::test]
async fn slots_without_a_lease_are_logged_with_their_number_and_without_a_holder() {
    let app = start();
    app.limit("db", 3).await;
    app.rate_limit("rate", 9, 1.0).await;
    app.increment(&["db"], 2).await.expect(200);
    app.increment(&["db", "rate"], 1).await.expect(200);
    app.spend(&["rate"], 1).await.expect(200);
    app.lease(&["rate"], 1).await;
    app.decrement(&["db", "rate"], 1).await.expect(200);
    app.decrement(&["db"], 3).await.expect(200);
    app.decrement(&["db"], 1).await.expect(200);
    let told = app.told("kind=slots", 4).await;
    let taken = |reason| ("slots.taken", Some(reason));
    let given_back = |reason| ("slots.given_back", Some(reason));
    let expected = [
        taken("2 slots, without a lease; 2 taken so from then on"),
        taken("1 slot, without a lease; 3 taken so from then on"),
        given_back("1 slot, without a lease; 2 taken so from then on"),
        given_back("2 slots, without a lease; 0 taken so from then on"),
    ];
    assert_eq!(told, of_log(&expected));
    for event in app.events("kind=slots").await {
        assert_eq!((&event["limit"], &event["holder"]), (&json!("db"), &Value::Null));
        assert_eq!(event["lease"], Value::Null);
    }
}

#[tokio::test]
async fn the_log_survives_a_restart_and_goes_on() {
    let (app, lease) = held().await;
    let app = app.restart(Span::from_seconds(5)).await;
    app.release(&lease).await.expect(204);
    let told = app.told("limit=db", 3).await;
    let kinds: Vec<_> = told.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["limit.created", "lease.granted", "lease.released"]);
}

#[tokio::test]
async fn the_log_is_paged_through_from_either_end() {
    let app = start();
    for number in 1..=5 {
        app.limit(&format!("limit-{number}"), 1).await;
    }
    app.told("kind=limit", 5).await;
    let pages = async |order: &str| {
        let (mut pages, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/leasehold/events?kind=limit&page_size=2{order}{after}");
            let page = app.get(&path).await.expect(200).json();
            let events = page["events"].as_array().unwrap();
            let names = events.iter().map(|it| it["limit"].as_str().unwrap().to_owned());
            pages.push(names.collect::<Vec<_>>().join(" "));
            let Some(next) = page["next"].as_u64() else { return pages };
            after = format!("&after={next}");
        }
    };
    assert_eq!(pages("").await, ["limit-1 limit-2", "limit-3 limit-4", "limit-5"]);
    let newest_first = ["limit-5 limit-4", "limit-3 limit-2", "limit-1"];
    assert_eq!(pages("&newest_first=true").await, newest_first);
}

#[tokio::test]
async fn a_page_is_bounded_in_bytes_and_the_next_one_goes_on() {
    let app = start();
    let (mut client, _) = connect(app.listen().await, "/api/events/in", &[], &[]).await.unwrap();
    let text = "x".repeat(60_000);
    for number in 0..100 {
        let resource = json!({"prefect.resource.id": number.to_string()});
        let event = json!({"occurred": "2026-11-20T20:57:00Z", "event": "x.happened",
                           "resource": resource, "payload": text});
        client.send(Message::text(event.to_string())).await.unwrap();
        // Sends events as fast as they are logged: faster ones are dropped.
        if number % 10 == 9 {
            let path = format!("/api/leasehold/events?after={number}");
            until(async || app.get(&path).await.json()["events"][0].is_object()).await;
        }
    }
    let (mut after, mut pages, mut events) = (0, 0, 0);
    loop {
        let answer = app.get(&format!("/api/leasehold/events?after={after}")).await.expect(200);
        assert!(answer.text().len() < 5_000_000);
        pages += 1;
        events += answer.json()["events"].as_array().unwrap().len();
        let Some(next) = answer.json()["next"].as_u64() else { break };
        after = next;
    }
    assert_eq!((pages, events), (2, 100));
}

#[tokio::test]
async fn a_wrong_query_of_the_log_is_refused_with_what_is_wrong() {
    let app = start();
    for (query, what) in [
        ("lease=7", "lease"),
        ("page_size=many", "page_size"),
        ("page_size=0", "must be between 1 and 200"),
        ("page_size=201", "must be between 1 and 200"),
        ("after=-1", "after"),
        ("since=yesterday", "'yesterday' is no time"),
        ("limit=a&limit=b", "limit"),
        ("limit_name=a", "limit_name"),
    ] {
        let answer = app.get(&format!("/api/leasehold/events?{query}")).await.expect(422);
        assert!(answer.text().contains(what), "{query}: {}", answer.text());
    }
}

/// The events are those of a server of 3.9.1.
#[tokio::test]
async fn creating_changing_and_deleting_a_limit_makes_the_events_of_a_prefect_server() {
    let app = start();
    let filter = json!({"event": {"prefix": ["prefect.concurrency-limit."]}});
    let mut socket = subscribe(&app, &json!({"type": "filter", "filter": filter})).await;
    let id = app.limit_with(&json!({"name": "db", "limit": 3, "slot_decay_per_second": 0.5})).await;
    let mut check = async |action: &str, id: &str, name: &str, limit: u64, decay: f64| {
        let mut event = next_event(&mut socket).await;
        let own_id = event["id"].take();
        assert!(own_id.as_str().is_some_and(|id| id.len() == 36), "{own_id}");
        assert!(event["occurred"].is_string() && event["occurred"] == event["received"]);
        event["occurred"].take();
        event["received"].take();
        let resource_id = format!("prefect.concurrency-limit.{id}");
        let expected = json!({
            "occurred": null,
            "event": format!("prefect.concurrency-limit.{action}"),
            "resource": {"prefect.resource.id": resource_id, "prefect.resource.name": name},
            "related": [],
            "payload": {
                "name": name, "limit": limit, "active": true, "slot_decay_per_second": decay,
            },
            "id": null,
            "follows": null,
            "received": null,
        });
        assert_eq!(event, expected);
    };
    check("created", &id, "db", 3, 0.5).await;
    let change = async |name: &str, body: Value| {
        app.patch(&format!("{LIMITS}/{name}"), &body).await.expect(204);
    };
    change("db", json!({"limit": 4})).await;
    check("updated", &id, "db", 4, 0.5).await;
    change("db", json!({"active_slots": 1})).await;
    check("updated", &id, "db", 4, 0.5).await;
    // A rename is one event.
    change("db", json!({"name": "cache"})).await;
    check("updated", &id, "cache", 4, 0.5).await;
    app.delete(&format!("{LIMITS}/cache")).await.expect(204);
    check("deleted", &id, "cache", 4, 0.5).await;

    let tag = app.tag("gpu", 2).await;
    check("created", &tag, "tag:gpu", 2, 0.0).await;
    app.post(&format!("{TAGS}/"), &json!({"tag": "gpu", "concurrency_limit": 5})).await.expect(200);
    check("updated", &tag, "tag:gpu", 5, 0.0).await;
    // A reset of a tag's limit makes no event of a Prefect server.
    app.post(&format!("{TAGS}/tag/gpu/reset"), &json!({})).await.expect(200);
    app.delete(&format!("{TAGS}/tag/gpu")).await.expect(200);
    check("deleted", &tag, "tag:gpu", 5, 0.0).await;
    // Under the limit's name, the log has only our own event of each change.
    let told = app.told("limit=db&kind=limit", 4).await;
    assert_eq!(told.len(), app.events("limit=db").await.len());
}
