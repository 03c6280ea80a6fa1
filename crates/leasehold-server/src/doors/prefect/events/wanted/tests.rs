use serde_json::json;

use super::*;

const LEASE: &str = "leasehold.lease.1";

fn event() -> Value {
    json!({
        "event": "leasehold.lease.granted",
        "id": "00000000-0000-4000-8000-000000000001",
        "resource": {"prefect.resource.id": LEASE, "prefect.resource.name": "db"},
        "related": [
            {"prefect.resource.id": "prefect.task-run.2", "prefect.resource.role": "task-run"},
            {"prefect.resource.id": "prefect.flow.3", "prefect.resource.role": "flow", "tag": "a"},
        ],
        "payload": {},
    })
}

fn check(filter: &Value, passes: bool) {
    let wanted: Wanted = serde_json::from_value(filter.clone()).unwrap();
    assert_eq!(wanted.passes(&event()), passes, "{filter}");
}

#[test]
fn an_event_is_wanted_by_its_kind() {
    check(&json!({}), true);
    check(&json!({"event": null}), true);
    check(&json!({"event": {"prefix": ["leasehold.lease.", "x"]}}), true);
    check(&json!({"event": {"prefix": ["leasehold.limit."]}}), false);
    check(&json!({"event": {"name": ["leasehold.lease.granted"]}}), true);
    check(&json!({"event": {"name": ["leasehold.lease"]}}), false);
    check(&json!({"event": {"exclude_prefix": ["leasehold."]}}), false);
    check(&json!({"event": {"exclude_name": ["leasehold.lease.granted"]}}), false);
    check(&json!({"event": {"prefix": [], "name": [], "exclude_name": []}}), true);
}

#[test]
fn an_event_is_wanted_by_its_resource() {
    check(&json!({"resource": {"id": [LEASE], "distinct": true}}), true);
    check(&json!({"resource": {"id": ["prefect.task-run.2"]}}), false);
    check(&json!({"resource": {"id_prefix": ["leasehold.lease."]}}), true);
    check(&json!({"resource": {"id_prefix": ["prefect."]}}), false);
    check(&json!({"resource": {"labels": {"prefect.resource.name": "db"}}}), true);
    check(&json!({"resource": {"labels": {"prefect.resource.name": ["x", "d*"]}}}), true);
    check(&json!({"resource": {"labels": {"prefect.resource.name": []}}}), false);
    check(&json!({"resource": {"labels": {"unknown": "*"}}}), false);
}

#[test]
fn an_event_is_wanted_by_one_resource_that_it_is_related_to() {
    check(&json!({"related": {"id": ["prefect.flow.3"]}}), true);
    check(&json!({"related": {"id": [LEASE]}}), false);
    check(&json!({"related": {"role": ["flow"], "id": ["prefect.flow.3"]}}), true);
    check(&json!({"related": {"role": ["task-run"], "id": ["prefect.flow.3"]}}), false);
    check(&json!({"related": {"resources_in_roles": [["prefect.flow.3", "flow"]]}}), true);
    check(&json!({"related": {"resources_in_roles": [["prefect.flow.3", "task-run"]]}}), false);
    check(&json!({"related": {"labels": {"tag": "a"}}}), true);
    check(&json!({"related": [{"role": ["flow"]}, {"role": ["task-run"]}]}), true);
    check(&json!({"related": [{"role": ["flow"]}, {"role": ["work-pool"]}]}), false);
    check(&json!({"related": {"id": []}}), true);
}

#[test]
fn an_event_is_wanted_by_any_of_its_resources() {
    check(&json!({"any_resource": {"id": [LEASE]}}), true);
    check(&json!({"any_resource": {"id_prefix": ["prefect.flow."]}}), true);
    check(&json!({"any_resource": {"id_prefix": ["prefect.deployment."]}}), false);
    check(&json!({"any_resource": {"id": [LEASE], "labels": {"tag": "a"}}}), false);
    check(&json!({"any_resource": [{"id": [LEASE]}, {"labels": {"tag": "a"}}]}), true);
}

#[test]
fn an_event_is_wanted_by_its_id_and_by_its_words() {
    check(&json!({"id": {"id": []}}), true);
    check(&json!({"id": {"id": ["00000000-0000-4000-8000-000000000001"]}}), true);
    check(&json!({"id": {"id": ["00000000-0000-4000-8000-000000000002"]}}), false);
    check(&json!({"text": {"query": "granted"}, "order": "ASC"}), true);
    check(&json!({"text": {"query": "expired"}, "order": "DESC"}), false);
}

#[test]
fn a_label_is_matched_by_a_pattern() {
    for (pattern, value, is_match) in [
        ("db", "db", true),
        ("db", "db2", false),
        ("*", "", true),
        ("d*b*", "d--b", true),
        ("*.run.*", "task.run.7", true),
        ("*.run.*", "task.runs.7", false),
        ("d?", "dé", true),
        ("d?", "d", false),
        ("!db", "db", false),
        ("!d*", "api", true),
        ("a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
    ] {
        assert_eq!(matches(pattern, value), is_match, "{pattern} {value}");
    }
}

#[test]
fn what_is_no_filter_is_not_taken_for_one() {
    for filter in [
        json!({"bogus": 1}),
        json!({"event": {"names": []}}),
        json!({"event": {"prefix": "prefect."}}),
        json!({"occurred": {"since": "yesterday"}}),
        json!({"occurred": {"since": null}}),
        json!({"id": {"id": ["7"]}}),
        json!({"order": "RANDOM"}),
        json!({"text": {}}),
        json!({"text": {"query": "x".repeat(201)}}),
        json!({"resource": {"labels": {"a": 1}}}),
        json!({"related": {"resources_in_roles": [["a"]]}}),
    ] {
        assert!(serde_json::from_value::<Wanted>(filter.clone()).is_err(), "{filter}");
    }
    let occurred = json!({"occurred": {"since": "2026-01-31T03:12:00+01:00"}});
    let wanted: Wanted = serde_json::from_value(occurred).unwrap();
    assert_eq!(wanted.occurred.since, micros_from_text("2026-01-31T02:12:00Z"));
}
