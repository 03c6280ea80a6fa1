//! Unusual names of limits: ids, and dots, which clients remove from paths.

use serde_json::json;

use crate::fixture::{LIMITS, TestApp};

/// A name that reads as an id, but is the id of no limit.
const TENANT: &str = "e132a953-0824-4c81-b5d7-61c3ef6c3bb0";

#[tokio::test]
async fn a_limit_whose_name_reads_as_an_id_is_read_changed_and_deleted_by_name() {
    let app = TestApp::start();
    for name in
        [TENANT, "E132A95308244C81B5D761C3EF6C3BB0", "{e132a953-0824-4c81-b5d7-61c3ef6c3bb0}"]
    {
        let path = format!("{LIMITS}/{}", name.replace('{', "%7B").replace('}', "%7D"));
        app.get(&path).await.expect(404);
        let id = app.limit(name, 1).await;
        let read = app.get(&path).await.expect(200).json();
        assert_eq!((&read["id"], &read["name"]), (&json!(id), &json!(name)));
        app.patch(&path, &json!({"limit": 2})).await.expect(204);
        let lease = app.lease(&[name], 2).await;
        assert_eq!(app.get(&format!("{path}/leases")).await.expect(200).json()[0]["id"], lease);
        assert_eq!(app.get(&format!("{path}/waiters")).await.expect(200).json(), json!([]));
        app.patch(&path, &json!({"active_slots": 0})).await.expect(204);
        assert_eq!(app.get(&path).await.expect(200).json()["active_slots"], 0);
        app.delete(&path).await.expect(204);
        app.get(&format!("{LIMITS}/{id}")).await.expect(404);
    }
}

/// A `DELETE` by name must not delete the limit with this id, nor a `DELETE` by id the limit with
/// this name.
#[tokio::test]
async fn a_text_that_is_one_limits_id_and_anothers_name_means_neither() {
    let app = TestApp::start();
    let victim = app.limit("database", 1).await;
    let named_like_it = app.limit(&victim, 2).await;
    let path = format!("{LIMITS}/{victim}");
    let told = format!(
        "'{victim}' is the id of the limit 'database' and the name of another limit, whose id is \
         {named_like_it}. Say which one: the first has its name, the second its id."
    );
    assert_eq!(app.delete(&path).await.expect(409).detail(), told);
    assert_eq!(app.get(&path).await.expect(409).detail(), told);
    assert_eq!(app.patch(&path, &json!({"limit": 9})).await.expect(409).detail(), told);
    for list in ["leases", "waiters"] {
        assert_eq!(app.get(&format!("{path}/{list}")).await.expect(409).detail(), told);
    }

    // A client reaches each one as the sentence says. After that, the path is not ambiguous.
    assert_eq!(app.get(&format!("{LIMITS}/database")).await.expect(200).json()["limit"], 1);
    app.patch(&format!("{LIMITS}/{named_like_it}"), &json!({"name": "other"})).await.expect(204);
    app.delete(&path).await.expect(204);
    assert_eq!(app.get(&format!("{LIMITS}/other")).await.expect(200).json()["limit"], 2);
}

#[tokio::test]
async fn a_limit_that_is_named_by_its_own_id_is_one_limit() {
    let app = TestApp::start();
    let id = app.limit("database", 1).await;
    let path = format!("{LIMITS}/{id}");
    app.patch(&path, &json!({"name": id})).await.expect(204);
    assert_eq!(app.get(&path).await.expect(200).json()["name"], json!(id));
    app.delete(&path).await.expect(204);
}

/// Clients remove dots from a path before they send it: `DELETE …/..` arrives as `DELETE /api/v2`.
#[tokio::test]
async fn a_limit_named_by_dots_is_reached_by_its_id_and_by_escaped_dots() {
    let app = TestApp::start();
    for (name, escaped) in [(".", "%2E"), ("..", "%2e%2e")] {
        let id = app.limit(name, 1).await;
        for path in [escaped, name, &id] {
            let path = format!("{LIMITS}/{path}");
            assert_eq!(app.get(&path).await.expect(200).json()["name"], name, "{path}");
            app.patch(&path, &json!({"limit": 2})).await.expect(204);
        }
        app.delete(&format!("{LIMITS}/{escaped}")).await.expect(204);
    }
    for arrives_as in ["/api/v2", "/api/v2/"] {
        let told = app.delete(arrives_as).await.expect(404).detail();
        assert!(told.contains("reach a limit that is named '.' or '..' by its id"), "{told}");
    }
}
