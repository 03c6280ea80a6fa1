//! Every error at the paths of the native API has one shape.

use axum::body::Body;
use serde_json::{Value, json};

use super::DOOR;
use crate::fixture::{TestApp, request, run};

#[tokio::test]
async fn every_error_has_a_sentence() {
    let app = TestApp::init().with_records().start();
    app.limit("db", 1).await;
    let gone = format!("{DOOR}/{}", run(1));
    let events = "/api/leasehold/events";
    for (answer, status, told) in [
        (app.post(DOOR, &json!({})).await, 422, "body.limits: Field required"),
        (
            app.post(DOOR, &json!({"limits": [{"slots": 1}], "ttl_seconds": 0, "a": 1, "b": 2}))
                .await,
            422,
            "body.limits.0.name: Field required; body.ttl_seconds: Input should be greater than or \
             equal to 1; body.a: Extra inputs are not permitted; and 1 more",
        ),
        (app.get(&format!("{DOOR}/x")).await, 422, "path.lease_id: Input should be a valid UUID, "),
        (app.get(&format!("{DOOR}?x=1")).await, 422, "query.x: Extra inputs are not permitted"),
        (app.get(&format!("{events}?x=1")).await, 422, "query.x: Extra inputs are not permitted"),
        (app.get(&format!("{events}?page_size=0")).await, 422, "Invalid page_size: "),
        (app.get(&gone).await, 404, "Lease not found"),
        (app.delete(&gone).await, 404, "There is no lease with the id "),
        (app.patch(DOOR, &json!({})).await, 405, "Method Not Allowed"),
        (app.get(&format!("{gone}/nope")).await, 404, "Not Found"),
    ] {
        let answer = answer.expect(status);
        assert!(answer.detail().starts_with(told), "{}", answer.text());
        assert_eq!(answer.json().as_object().unwrap().keys().next().unwrap(), "detail");
    }
    app.journal.fail(true);
    let answer = app.post(DOOR, &json!({"limits": [{"name": "db"}]})).await.expect(503);
    assert_eq!(answer.detail(), "Service Unavailable");
}

#[tokio::test]
async fn a_number_of_any_size_is_named_and_shown_as_it_was_sent() {
    let app = TestApp::start();
    let digits = "9".repeat(400);
    let body = format!(r#"{{"limits":[{{"name":"db"}}],"ttl_seconds":{digits}}}"#);
    let sent = request("POST", DOOR).header("content-type", "application/json");
    let answer = app.send(sent.body(Body::from(body)).unwrap()).await.expect(422);
    assert!(answer.text().starts_with(r#"{"detail":"body.ttl_seconds: "#), "{}", answer.text());
    assert!(answer.text().contains(&digits));
}

#[tokio::test]
async fn a_request_without_the_password_is_refused_in_the_same_shape() {
    let app = TestApp::init().with_config(|config| config.auth_string = Some("a:b".into())).start();
    let answer = app.get(DOOR).await.expect(401);
    assert!(answer.detail().starts_with("The server wants its auth string"), "{}", answer.text());
    assert_eq!(answer.json()["exception_message"], "Unauthorized");
}

/// The contract's own paths keep their shapes.
#[tokio::test]
async fn errors_at_the_paths_of_the_contract_keep_their_shape() {
    let app = TestApp::start();
    let answer = app.post("/api/v2/concurrency_limits/", &json!({})).await.expect(422);
    assert_eq!(answer.json()["detail"], Value::Null);
}

/// `curl -d` sends forms. Read without its body, a renewal would set another deadline.
#[tokio::test]
async fn a_body_of_another_content_type_is_refused_by_its_name() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let form = "application/x-www-form-urlencoded";
    let send = async |method: &str, path: &str, body: &'static str| {
        let request = request(method, path).header("content-type", form);
        app.send(request.body(Body::from(body)).unwrap()).await
    };
    for (method, path) in [
        ("POST", DOOR.to_owned()),
        ("POST", format!("{DOOR}/renew")),
        ("POST", format!("{DOOR}/{}/renew", run(1))),
        ("DELETE", format!("{DOOR}/{}", run(1))),
    ] {
        let told =
            send(method, &path, r#"{"limits": [{"name": "db"}]}"#).await.expect(415).detail();
        assert!(told.contains(form) && told.contains("application/json"), "{told}");
    }
    // Without a body, the type does not matter.
    send("GET", DOOR, "").await.expect(200);
    // A body without a type is read as JSON, as everywhere.
    let request = request("POST", DOOR).body(Body::from(r#"{"limits": [{"name": "db"}]}"#));
    app.send(request.unwrap()).await.expect(201);
}
