//! A client reads each answer as the server wrote it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use leasehold_api::events::EventPage;
use leasehold_api::leases::{Lease, NoRoom, Renewals};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const ID: &str = "e132a953-0824-4c81-b5d7-61c3ef6c3bb0";
const TIME: &str = "2026-11-20T21:02:56.121815Z";

#[track_caller]
fn check<T: Serialize + DeserializeOwned>(answer: &Value) {
    let read: T = serde_json::from_str(&answer.to_string()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), *answer);
}

fn origin() -> Value {
    json!({
        "address": "10.0.0.7",
        "client": "prefect/3.8.8",
        "flow": {"id": null, "name": "etl"},
        "deployment": null,
        "worker": null,
        "identified": {"flow_run": {"id": ID, "name": "brave-fox"}, "task_run": null, "certainty": "likely"},
    })
}

#[test]
fn a_lease_reads_as_it_was_written() {
    check::<Lease>(&json!({
        "id": ID,
        "limits": [{"id": ID, "name": "db", "slots": 2}],
        "holder": {"kind": "process", "id": "host-1:77", "labels": {"team": "data"}},
        "origin": origin(),
        "created": TIME,
        "deadline": null,
        "fencing_token": 7,
    }));
}

#[test]
fn renewed_and_ended_leases_are_told_apart() {
    check::<Renewals>(&json!({"leases": [
        {"id": ID, "status": "renewed", "deadline": TIME},
        {"id": ID, "status": "renewed", "deadline": null},
        {"detail": "It expired.", "id": ID, "status": "expired", "at": TIME, "reason": null, "by": null},
    ]}));
}

#[test]
fn a_refusal_reads_as_it_was_written() {
    let holder = json!({"type": "process", "id": "host-1:77"});
    check::<NoRoom>(&json!({
        "detail": "There is no room on 'db'.",
        "position": 3,
        "retry_after_seconds": 0.25,
        "waiting_for": [{
            "id": ID, "name": "db", "limit": 2, "slots": 1, "why": "draining",
            "drained_after_seconds": 1.5,
            "slots_without_lease": [{
                "limit": "db", "slots": 1, "taken_by": "rate_limit", "since": null,
                "detail": "It drains.", "free_with": "POST /decrement",
            }],
        }],
        "stuck": [{
            "limit": "db", "lease": ID, "holder": holder, "origin": null, "is_own": true,
            "waits_for": ["gpu"],
        }],
    }));
}

#[test]
fn a_sent_event_keeps_its_bytes() {
    let sent = r#"{"b": 1.0,  "a":[ ]}"#;
    let event = format!(
        r#"{{"number":1,"id":"{ID}","occurred":"{TIME}","kind":"lease.granted","limit":"db","holder":{{"kind":"process","id":"1"}},"lease":null,"origin":{},"reason":null,"sent":{sent}}}"#,
        origin()
    );
    let page = format!(r#"{{"events":[{event}],"next":null}}"#);
    let read: EventPage = serde_json::from_str(&page).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), page);
}
