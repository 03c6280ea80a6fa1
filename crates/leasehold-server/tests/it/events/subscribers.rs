//! Subscribers of events, at `/api/events/out`.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::start;
use crate::fixture::TestApp;
use crate::replay::sockets::{Socket, connect};

/// A subscriber that has sent its subscription.
pub(super) async fn subscribe(app: &TestApp, subscription: &Value) -> Socket {
    let address = app.listen().await;
    let (mut socket, _) = connect(address, "/api/events/out", &[], &[]).await.unwrap();
    socket.send(Message::text(subscription.to_string())).await.unwrap();
    socket
}

/// The next event that a subscriber receives.
pub(super) async fn next_event(socket: &mut Socket) -> Value {
    let message = socket.next().await.unwrap().unwrap();
    let told: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
    told["event"].clone()
}

/// The kind of the next event that a subscriber receives, and the name of its resource. Skips the
/// events of a Prefect server: our own event of the same change comes before each.
async fn next(socket: &mut Socket) -> (String, String) {
    loop {
        let event = next_event(socket).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let kind = text(&event["event"]);
        if !kind.starts_with("prefect.concurrency-limit.") {
            return (kind, text(&event["resource"]["prefect.resource.name"]));
        }
    }
}

fn created(name: &str) -> (String, String) {
    ("leasehold.limit.created".to_owned(), name.to_owned())
}

#[tokio::test]
async fn a_subscriber_receives_recent_events_and_then_new_ones() {
    let app = start();
    app.limit("long-ago", 1).await;
    app.sleep(16.0 * 60.0);
    app.limit("before", 1).await;
    app.told("kind=limit", 2).await;
    let mut socket = subscribe(&app, &json!({"type": "filter", "filter": {}})).await;
    assert_eq!(next(&mut socket).await, created("before"));
    app.limit("after", 1).await;
    assert_eq!(next(&mut socket).await, created("after"));
}

#[tokio::test]
async fn a_subscriber_receives_the_events_that_pass_its_filter_and_no_others() {
    let app = start();
    let since = "2026-11-20T20:53:10Z";
    let filter = json!({
        "occurred": {"since": since, "until": "2026-11-20T20:53:20Z"},
        "event": {"prefix": ["leasehold.limit."]},
        "resource": {"labels": {"prefect.resource.name": ["in*", "late"]}},
        "related": null,
        "any_resource": null,
        "id": {"id": []},
        "text": {"query": "-nothing"},
        "order": "DESC",
    });
    app.limit("in-vain", 1).await;
    app.sleep(10.0);
    app.limit("in-time", 1).await;
    app.limit("another", 1).await;
    app.lease(&["in-time"], 1).await;
    app.sleep(10.0);
    app.limit("in-time-too", 1).await;
    app.told("kind=limit", 4).await;
    let mut socket = subscribe(&app, &json!({"type": "filter", "filter": filter})).await;
    assert_eq!(next(&mut socket).await, created("in-time"));
    assert_eq!(next(&mut socket).await, created("in-time-too"));
    app.sleep(1.0);
    app.limit("late", 1).await;
    app.told("limit=late", 1).await;
    // A second subscriber has received the event, so the first would have received it, too.
    let mut unbounded = filter;
    unbounded["occurred"] = json!({"since": "2026-11-20T20:53:21Z"});
    let mut second = subscribe(&app, &json!({"type": "filter", "filter": unbounded})).await;
    assert_eq!(next(&mut second).await, created("late"));
    let nothing = futures_util::FutureExt::now_or_never(socket.next());
    assert!(nothing.is_none(), "{nothing:?}");
}

/// Sends a client's event about a resource of this name.
async fn send(socket: &mut Socket, name: &str, occurred: &str) {
    let resource = json!({"prefect.resource.id": "x", "prefect.resource.name": name});
    let event = json!({"occurred": occurred, "event": "x.happened", "resource": resource});
    socket.send(Message::text(event.to_string())).await.unwrap();
}

fn happened(name: &str) -> (String, String) {
    ("x.happened".to_owned(), name.to_owned())
}

#[tokio::test]
async fn a_subscriber_receives_events_that_arrive_late() {
    let app = start();
    app.limit("before", 1).await;
    let mut socket = subscribe(&app, &json!({"type": "filter", "filter": {}})).await;
    assert_eq!(next(&mut socket).await, created("before"));
    let (mut client, _) = connect(app.listen().await, "/api/events/in", &[], &[]).await.unwrap();
    send(&mut client, "late", "2026-11-20T19:53:00Z").await;
    app.told("kind=x", 1).await;
    app.limit("after", 1).await;
    assert_eq!(next(&mut socket).await, happened("late"));
    assert_eq!(next(&mut socket).await, created("after"));
}

#[tokio::test]
async fn the_times_of_a_subscription_select_events_of_clients_by_the_clients_clock() {
    let app = start();
    let (mut client, _) = connect(app.listen().await, "/api/events/in", &[], &[]).await.unwrap();
    send(&mut client, "earlier", "2026-11-20T20:57:00Z").await;
    send(&mut client, "ahead", "2026-11-20T20:58:00Z").await;
    send(&mut client, "later", "2026-11-20T20:59:00Z").await;
    app.told("kind=x", 3).await;
    let occurred = json!({"since": "2026-11-20T20:58:00Z", "until": "2026-11-20T20:58:00Z"});
    let filter = json!({"occurred": occurred});
    let mut socket = subscribe(&app, &json!({"type": "filter", "filter": filter})).await;
    assert_eq!(next(&mut socket).await, happened("ahead"));
    send(&mut client, "again", "2026-11-20T20:58:00Z").await;
    assert_eq!(next(&mut socket).await, happened("again"));
}

#[tokio::test]
async fn a_subscriber_without_backfill_receives_only_new_events() {
    let app = start();
    app.limit("before", 1).await;
    app.told("kind=limit", 1).await;
    let subscription = json!({"type": "filter", "filter": {}, "backfill": false});
    let mut socket = subscribe(&app, &subscription).await;
    // Once it receives one of these events, it is subscribed.
    let mut number = 0;
    let told = loop {
        tokio::select! {
            told = next(&mut socket) => break told,
            () = async {
                number += 1;
                app.limit(&format!("after-{number}"), 1).await;
                app.told("kind=limit", number + 1).await;
            } => {}
        }
    };
    assert!(told.1.starts_with("after-"), "{told:?}");
}

#[tokio::test]
async fn a_wrong_subscription_ends_the_connection_and_the_close_says_why() {
    let app = start();
    let long = "é".repeat(99);
    for (subscription, what) in [
        (json!({"type": "filter"}), "missing field `filter`"),
        (json!({"type": "filter", "filter": {"bogus": 1}}), "unknown field `bogus`"),
        (json!({"type": "filter", "filter": {"event": {"name": "x"}}}), "invalid type: string"),
        (json!({"type": "filter", "filter": {"occurred": {"since": "yesterday"}}}), "no point in"),
        (json!({"type": "filter", "filter": {}, "backfill": "maybe"}), "expected a boolean"),
        (json!({"type": "filter", "filter": {long: 1}}), "éé"),
    ] {
        let mut socket = subscribe(&app, &subscription).await;
        let said = socket.next().await;
        let Some(Ok(Message::Close(Some(frame)))) = said else {
            panic!("{subscription}: {said:?}");
        };
        assert_eq!(u16::from(frame.code), 1002);
        assert!(frame.reason.contains(what), "{subscription}: {}", frame.reason);
    }
}
