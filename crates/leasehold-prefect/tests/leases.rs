//! Requests of the native API: what they may say, and how a bad one is refused.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use leasehold_api::leases::{FindLeases, IfMissing, LeaseRenewals, ListPage, NewLease};
use leasehold_prefect::{Body, Invalid, Settings};
use serde_json::{Value, json};

fn read(body: &Value) -> Result<NewLease, Invalid> {
    NewLease::from_bytes(None, body.to_string().as_bytes(), &Settings::default())
}

/// Kind and place of everything that is wrong.
fn wrong(invalid: &Invalid) -> Vec<(String, Value)> {
    let body = serde_json::to_value(invalid).unwrap();
    let details = body["exception_detail"].as_array().unwrap();
    details.iter().map(|it| (it["type"].as_str().unwrap().to_owned(), it["loc"].clone())).collect()
}

#[track_caller]
fn check(change: Value, kind: &str, place: Value) {
    let (Value::Object(change), Value::Array(place)) = (change, place) else {
        panic!("an object and a list are needed");
    };
    let mut body = json!({"limits": [{"name": "db"}]});
    body.as_object_mut().unwrap().extend(change);
    let whole = std::iter::once(json!("body")).chain(place).collect();
    let invalid = read(&body).unwrap_err();
    assert_eq!(wrong(&invalid), [(kind.to_owned(), Value::Array(whole))]);
}

#[test]
fn names_are_enough() {
    let lease = read(&json!({"limits": [{"name": "db"}, {"name": "cpu", "slots": 4}]})).unwrap();
    let slots: Vec<_> = lease.limits.iter().map(|it| (it.name.as_str(), it.slots)).collect();
    assert_eq!(slots, [("db", 1), ("cpu", 4)]);
    assert_eq!((lease.ttl_seconds, lease.wait_seconds, lease.priority), (60.0, 0.0, 0));
    assert_eq!((lease.holder, lease.idempotency_key), (None, None));
    assert_eq!(lease.if_missing, IfMissing::Error);
}

#[test]
fn a_request_may_use_every_field() {
    let labels = json!({"team": "data", "empty": ""});
    let lease = read(&json!({
        "limits": [{"name": "db"}],
        "holder": {"kind": "process", "id": "host-1:77", "labels": labels},
        "ttl_seconds": 1,
        "wait_seconds": 3600,
        "priority": i32::MIN,
        "mode": "rate_limit",
        "idempotency_key": "k".repeat(255),
        "if_missing": "skip",
    }))
    .unwrap();
    let holder = lease.holder.unwrap();
    assert_eq!((holder.kind.as_str(), holder.labels.len()), ("process", 2));
    assert_eq!(lease.priority, i32::MIN);
}

#[test]
fn a_value_out_of_bounds_is_reported_at_its_place() {
    let many: Vec<_> = (0..101).map(|n| json!({"name": n.to_string()})).collect();
    check(json!({"limits": []}), "too_short", json!(["limits"]));
    check(json!({"limits": many}), "too_long", json!(["limits"]));
    check(json!({"limits": ["db"]}), "model_attributes_type", json!(["limits", 0]));
    check(json!({"limits": null}), "list_type", json!(["limits"]));
    check(
        json!({"limits": [{"name": "a", "slots": 0}]}),
        "greater_than",
        json!(["limits", 0, "slots"]),
    );
    check(json!({"limits": [{"slots": 1}]}), "missing", json!(["limits", 0, "name"]));
    check(
        json!({"limits": [{"name": "a"}, {"name": "b"}, {"name": "a"}]}),
        "duplicate",
        json!(["limits", 2]),
    );
    check(json!({"ttl_seconds": 0.5}), "greater_than_equal", json!(["ttl_seconds"]));
    check(json!({"ttl_seconds": 86_401}), "less_than_equal", json!(["ttl_seconds"]));
    check(json!({"wait_seconds": -1}), "greater_than_equal", json!(["wait_seconds"]));
    check(json!({"wait_seconds": 3_601}), "less_than_equal", json!(["wait_seconds"]));
    check(json!({"priority": 1_u64 << 31}), "less_than_equal", json!(["priority"]));
    check(json!({"priority": -(1_i64 << 31) - 1}), "greater_than_equal", json!(["priority"]));
    check(json!({"priority": 0.5}), "int_from_float", json!(["priority"]));
    check(json!({"mode": "lock"}), "literal_error", json!(["mode"]));
    check(json!({"if_missing": "ignore"}), "literal_error", json!(["if_missing"]));
    check(json!({"idempotency_key": ""}), "string_too_short", json!(["idempotency_key"]));
    check(
        json!({"idempotency_key": "k".repeat(256)}),
        "string_too_long",
        json!(["idempotency_key"]),
    );
    check(json!({"ttl": 5}), "extra_forbidden", json!(["ttl"]));
}

#[test]
fn a_holder_has_a_kind_and_an_id_and_labels_are_words() {
    let labels = |labels: Value| json!({"holder": {"kind": "k", "id": "i", "labels": labels}});
    check(
        json!({"holder": {"kind": "", "id": "i"}}),
        "string_too_short",
        json!(["holder", "kind"]),
    );
    check(json!({"holder": {"kind": "k"}}), "missing", json!(["holder", "id"]));
    check(
        json!({"holder": {"type": "k", "id": "i", "kind": "k"}}),
        "extra_forbidden",
        json!(["holder", "type"]),
    );
    check(labels(json!(["a"])), "dict_type", json!(["holder", "labels"]));
    check(labels(json!({"a": 1})), "string_type", json!(["holder", "labels", "a"]));
    check(labels(json!({"": "x"})), "string_too_short", json!(["holder", "labels", ""]));
    check(
        labels(json!({"a": "x".repeat(1_001)})),
        "string_too_long",
        json!(["holder", "labels", "a"]),
    );
    let many: serde_json::Map<_, _> = (0..65).map(|n| (n.to_string(), json!(""))).collect();
    check(labels(json!(many)), "too_long", json!(["holder", "labels"]));
}

#[test]
fn a_thousand_leases_are_renewed_at_once_and_no_more() {
    let body = |count| {
        let ids = vec!["00000000-0000-4000-8000-000000000000"; count];
        let body = json!({"leases": ids, "ttl_seconds": 5}).to_string();
        LeaseRenewals::from_bytes(None, body.as_bytes(), &Settings::default())
    };
    assert_eq!(body(1_000).unwrap().leases.len(), 1_000);
    let expected = ("too_long".to_owned(), json!(["body", "leases"]));
    assert_eq!(wrong(&body(1_001).unwrap_err()), [expected]);
}

#[test]
fn a_query_string_is_refused_as_a_body_is() {
    let settings = Settings::default();
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let page = ListPage::from_query(pairs(&[("offset", "7")]), &settings).unwrap();
    assert_eq!((page.offset, page.limit), (7, None));
    let invalid = ListPage::from_query(pairs(&[("offset", "-1"), ("limit", "x")]), &settings);
    let expected = [
        ("greater_than_equal".to_owned(), json!(["query", "offset"])),
        ("int_parsing".to_owned(), json!(["query", "limit"])),
    ];
    assert_eq!(wrong(&invalid.unwrap_err()), expected);
    let twice = ListPage::from_query(pairs(&[("limit", "1"), ("limit", "1")]), &settings);
    let expected = [("repeated".to_owned(), json!(["query", "limit"]))];
    assert_eq!(wrong(&twice.unwrap_err()), expected);
    let unknown = FindLeases::from_query(pairs(&[("holder", "x")]), &settings);
    let expected = [("extra_forbidden".to_owned(), json!(["query", "holder"]))];
    assert_eq!(wrong(&unknown.unwrap_err()), expected);
    let unknown = ListPage::from_query(pairs(&[("holder", "x")]), &settings);
    assert_eq!(wrong(&unknown.unwrap_err()), expected);
}
