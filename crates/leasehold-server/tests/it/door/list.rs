//! Lists of leases.

use serde_json::{Value, json};

use super::{DOOR, id};
use crate::fixture::{FIRST_TOKEN, LIMITS, TestApp, run};

/// The numbers of the listed leases, counted by their fencing tokens from the first lease on.
async fn listed(app: &TestApp, query: &str) -> Vec<u64> {
    let leases = app.get(&format!("{DOOR}{query}")).await.expect(200).json();
    let tokens = leases.as_array().unwrap().iter().map(|it| it["fencing_token"].as_u64().unwrap());
    tokens.map(|token| token - FIRST_TOKEN + 1).collect()
}

fn holder(kind: &str, id: &str) -> Value {
    json!({"holder": {"kind": kind, "id": id}})
}

#[tokio::test]
async fn leases_are_listed_oldest_first_and_by_what_is_asked_for() {
    let app = TestApp::init().with_config(|config| config.bodies.page_size = 4).start();
    app.limit("db", 9).await;
    let cpu = "cpu  2";
    app.limit(cpu, 9).await;
    app.hold(&["db"], holder("pod", "a")).await;
    app.hold(&["db", cpu], holder("process", "a")).await;
    app.hold(&[cpu], json!({})).await;
    app.lease_for(&["db"], &run(1)).await;
    let fifth = app.hold(&["db"], holder("pod", "b")).await;

    assert_eq!(listed(&app, "").await, [1, 2, 3, 4], "a page");
    assert_eq!(listed(&app, "?offset=4").await, [5]);
    assert_eq!(listed(&app, "?offset=1&limit=2").await, [2, 3]);
    assert_eq!(listed(&app, "?limit=1000").await, [1, 2, 3, 4]);
    assert_eq!(listed(&app, "?limit_name=db").await, [1, 2, 4, 5]);
    assert_eq!(listed(&app, "?limit_name=cpu%20%202").await, [2, 3]);
    assert_eq!(listed(&app, "?holder_kind=pod").await, [1, 5]);
    assert_eq!(listed(&app, "?holder_id=a").await, [1, 2]);
    assert_eq!(listed(&app, "?holder_kind=process&holder_id=a&limit_name=db").await, [2]);
    assert_eq!(listed(&app, "?holder_kind=pod&limit_name=cpu++2").await, [0; 0]);
    assert_eq!(listed(&app, "?holder_kind=nobody").await, [0; 0]);
    app.get(&format!("{DOOR}?limit_name=nope")).await.expect(404);
    app.give_back(id(&fifth)).await.expect(200);
    assert_eq!(listed(&app, "?holder_kind=pod").await, [1]);
}

#[tokio::test]
async fn an_invalid_query_is_answered_in_the_shape_of_all_errors() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let wrong = async |path: String| {
        let answer = app.get(&path).await.expect(422).json();
        assert_eq!(answer["exception_message"], "Invalid request received.");
        let detail = &answer["exception_detail"][0];
        (detail["type"].as_str().unwrap().to_owned(), detail["loc"].clone())
    };
    for list in [DOOR, &format!("{LIMITS}/db/leases"), &format!("{LIMITS}/db/waiters")] {
        let cases = [
            ("offset=-1", "greater_than_equal", "offset"),
            ("limit=ten", "int_parsing", "limit"),
            ("limit=1.5", "int_parsing", "limit"),
            ("limit=", "int_parsing", "limit"),
            ("offset=9223372036854775808", "less_than_equal", "offset"),
            ("limit=1&limit=2", "repeated", "limit"),
        ];
        for (query, kind, name) in cases {
            let expected = (kind.to_owned(), json!(["query", name]));
            assert_eq!(wrong(format!("{list}?{query}")).await, expected, "{list}?{query}");
        }
    }
    let unknown = wrong(format!("{DOOR}?holder=a")).await;
    assert_eq!(unknown, ("extra_forbidden".to_owned(), json!(["query", "holder"])));
}
