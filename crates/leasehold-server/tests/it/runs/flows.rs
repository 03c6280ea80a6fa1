//! Flows: what is recorded of them, and how they are listed.

use serde_json::json;

use super::{NOBODY, id_of, only, start, wrong_at};

#[tokio::test]
async fn a_flow_is_recorded_once_and_known_by_its_name_and_its_id() {
    let app = start();
    let body = json!({"name": "etl", "tags": ["nightly"], "labels": {"team": "data"}});
    let flow = app.post("/api/flows/", &body).await.expect(201).json();
    assert_eq!(only(&flow, &["name", "tags", "labels"]), body);
    assert_eq!(flow["created"], "2026-11-20T20:53:00.000000Z");
    app.sleep(60.0);
    let again = app.post("/api/flows/", &json!({"name": "etl"})).await.expect(200).json();
    assert_eq!(again, flow);
    let by_id = app.get(&format!("/api/flows/{}", id_of(&flow))).await.expect(200).json();
    let by_name = app.get("/api/flows/name/etl").await.expect(200).json();
    assert_eq!((by_id, by_name), (flow.clone(), flow));
}

#[tokio::test]
async fn a_flow_that_is_not_recorded_is_not_found() {
    let app = start();
    let detail = "Flow not found";
    assert_eq!(app.get(&format!("/api/flows/{NOBODY}")).await.expect(404).detail(), detail);
    assert_eq!(app.get("/api/flows/name/etl").await.expect(404).detail(), detail);
    assert_eq!(app.get("/api/flows/etl").await.expect(404).detail(), "Not Found");
}

#[tokio::test]
async fn a_wrong_flow_is_refused() {
    let app = start();
    for (body, place) in [
        (json!({}), json!(["body", "name"])),
        (json!({"name": 7}), json!(["body", "name"])),
        (json!({"name": "etl", "tags": "nightly"}), json!(["body", "tags"])),
        (json!({"name": "etl", "labels": []}), json!(["body", "labels"])),
    ] {
        let answer = app.post("/api/flows/", &body).await.expect(422);
        assert_eq!(wrong_at(&answer), [place], "{body}");
    }
    app.get("/api/flows/name/etl").await.expect(404);
}

#[tokio::test]
async fn flows_are_listed_in_the_order_asked_for_by_id_and_by_name() {
    let app = start();
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(app.flow(name).await);
        app.sleep(1.0);
    }
    let list = async |body| {
        let flows = app.post("/api/flows/filter", &body).await.expect(200).json();
        let names = flows.as_array().unwrap().iter().map(|flow| flow["name"].clone());
        serde_json::Value::from_iter(names)
    };
    assert_eq!(list(json!({})).await, json!(["a", "b", "c"]));
    for sort in ["CREATED_DESC", "UPDATED_DESC", "NAME_DESC"] {
        assert_eq!(list(json!({"sort": sort})).await, json!(["c", "b", "a"]), "{sort}");
    }
    let some = json!({"flows": {"name": {"any_": ["a", "c"]}}, "sort": "NAME_DESC", "limit": 1});
    assert_eq!(list(some).await, json!(["c"]));
    app.post("/api/flows/filter", &json!({"sort": "START_TIME_ASC"})).await.expect(422);
    assert_eq!(list(json!({"offset": 1, "limit": 1})).await, json!(["b"]));
    assert_eq!(list(json!({"flows": {"name": {"any_": ["a", "x"]}}})).await, json!(["a"]));
    assert_eq!(list(json!({"flows": {"id": {"any_": [ids[2]]}}})).await, json!(["c"]));
    app.post("/api/flows/filter", &json!({"limit": 201})).await.expect(422);
}
