//! Every list and event that shows a holder shows where its request came from.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::fixture::{Answer, LIMITS, PARK_SECONDS, TestApp, lease_of, with_json};

/// A request of a flow that a worker started.
fn from_a_flow(path: &str, body: &Value) -> Request<Body> {
    let mut request = with_json("POST", path, body);
    let headers = [
        ("user-agent", "prefect/3.8.8 (API 0.8.4)"),
        ("x-prefect-flow-id", "44456699-f189-4f65-a82a-fb32a2226c66"),
        ("x-prefect-flow-name", "nightly"),
        ("x-prefect-deployment-id", "d958a7dc-c1e5-4559-93bd-9370d3e5639b"),
        ("x-prefect-worker-name", "worker-3"),
    ];
    for (name, value) in headers {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

fn origin() -> Value {
    json!({
        "address": null,
        "client": "prefect/3.8.8",
        "flow": {"id": "44456699-f189-4f65-a82a-fb32a2226c66", "name": "nightly"},
        "deployment": {"id": "d958a7dc-c1e5-4559-93bd-9370d3e5639b", "name": null},
        "worker": {"id": null, "name": "worker-3"},
        "identified": null,
    })
}

async fn acquire(app: &TestApp) -> Answer {
    let body = json!({"names": ["db"], "slots": 1});
    app.send(from_a_flow(&format!("{LIMITS}/increment-with-lease"), &body)).await
}

#[tokio::test]
async fn a_lease_without_a_holder_shows_where_it_comes_from() {
    let app = TestApp::init().with_records().start();
    app.limit("db", 1).await;
    let lease = lease_of(&acquire(&app).await.expect(200));
    let alone = app.get(&format!("/api/leases/{lease}")).await.expect(200).json();
    assert_eq!((&alone["holder"], &alone["origin"]), (&Value::Null, &origin()));
    assert_eq!(app.get("/api/leases").await.expect(200).json()[0]["origin"], origin());
    assert_eq!(app.leases("db").await[0]["origin"], origin());
    app.told("kind=lease.granted", 1).await;
    assert_eq!(app.events("kind=lease.granted").await[0]["origin"], origin());
    assert_eq!(app.events("kind=limit.created").await[0]["origin"], Value::Null);
}

#[tokio::test]
async fn a_waiter_shows_where_it_comes_from() {
    let app = TestApp::init()
        .with_records()
        .with_config(|config| config.park_seconds = PARK_SECONDS)
        .start();
    app.full(&[]).await;
    let body = json!({"limits": [{"name": "db"}], "wait_seconds": 30});
    let _waiting = app.held_open("db", app.send(from_a_flow("/api/leases", &body))).await;
    assert_eq!(app.waiters("db").await[0]["origin"], origin());
    app.told("kind=waiter.queued", 1).await;
    assert_eq!(app.events("kind=waiter.queued").await[0]["origin"], origin());
}

#[tokio::test]
async fn leases_of_tags_and_of_the_native_api_show_where_they_come_from() {
    let app = TestApp::start();
    app.tag("db", 1).await;
    let run = "01a1facb-2c22-7a1c-8d82-46b8d148ac60";
    let body = json!({"names": ["db"], "task_run_id": run});
    app.send(from_a_flow("/api/concurrency_limits/increment", &body)).await.expect(200);
    app.limit("gpu", 1).await;
    let body = json!({"limits": [{"name": "gpu"}]});
    let granted = app.send(from_a_flow("/api/leases", &body)).await.expect(201);
    assert_eq!(granted.json()["origin"], origin());
    for lease in app.get("/api/leases").await.expect(200).json().as_array().unwrap() {
        assert_eq!(lease["origin"], origin());
    }
}

#[tokio::test]
async fn the_address_of_a_client_is_shown_and_survives_a_restart() {
    let app = TestApp::init().on_disk().start();
    app.limit("db", 1).await;
    let address = app.listen().await;
    let body = r#"{"names":["db"],"slots":1}"#;
    let request = format!(
        "POST {LIMITS}/increment-with-lease HTTP/1.1\r\nhost: x\r\nuser-agent: curl/8.5.0\r\n\
         connection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let shown = async |app: &TestApp| {
        let origin = app.leases("db").await[0]["origin"].clone();
        (origin["address"].clone(), origin["client"].clone())
    };
    let expected = (json!("127.0.0.1"), json!("curl/8.5.0"));
    assert_eq!(shown(&app).await, expected);
    let app = app.restart(leasehold_engine::Span::from_seconds(1)).await;
    assert_eq!(shown(&app).await, expected);
}

#[tokio::test]
async fn a_missing_limit_with_a_near_name_is_logged_once_and_its_answer_stays() {
    let app = TestApp::init().with_records().start();
    app.limit("ocr", 1).await;
    app.tag("db", 1).await;
    for (name, told) in [("tag:ocr", 1), ("db", 2), ("tag:ocr", 2), ("nothing", 2)] {
        let answer = app.acquire(&[name], 1).await.expect(200).json();
        assert_eq!(answer["limits"], json!([]));
        // The search for near names runs after the answer, in no fixed order.
        app.told("kind=limit.missing", told).await;
        app.sleep(61.0);
    }
    let body = json!({"names": ["ocr"], "task_run_id": "01a1facb-2c22-7a1c-8d82-46b8d148ac60"});
    app.post("/api/concurrency_limits/increment", &body).await.expect(200);
    let skips = json!({"limits": [{"name": "OCR"}], "if_missing": "skip"});
    app.post("/api/leases", &skips).await.expect(201);
    let told = app.told("kind=limit.missing", 3).await;
    let reason = |near: &str| {
        let what = "it was asked for and does not exist, so nothing is limited";
        ("limit.missing".to_owned(), Some(format!("{what}; '{near}' exists")))
    };
    assert_eq!(told, [reason("ocr"), reason("tag:db"), reason("ocr")]);
    let names: Vec<_> =
        app.events("kind=limit.missing").await.iter().map(|it| it["limit"].clone()).collect();
    assert_eq!(names, ["tag:ocr", "db", "OCR"]);
}
