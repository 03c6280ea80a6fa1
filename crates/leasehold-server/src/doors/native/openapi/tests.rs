//! The document describes exactly the operations that the server serves.

use std::collections::BTreeSet;
use std::fmt::Write;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use leasehold_engine::Timestamp;
use leasehold_journal::MemoryJournal;
use leasehold_prefect::Settings;
use serde_json::Value;
use tower::ServiceExt;

use super::document;
use crate::Config;
use crate::app::App;
use crate::doors::all;
use crate::router::HttpService;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

pub(crate) fn app() -> App {
    let clock = leasehold_node::Clock::manual(Timestamp::from_micros(0));
    let (ledger, _) = leasehold_node::start(MemoryJournal::default(), clock).unwrap();
    App::new(ledger, Config::default(), None)
}

/// The document of a server with the default settings.
pub(crate) fn default_document() -> Value {
    document(&all(&app()), &Settings::default())
}

fn documented() -> BTreeSet<(String, String)> {
    let document = default_document();
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().keys();
        methods.map(move |method| (path.clone(), method.clone()))
    });
    operations.collect()
}

async fn is_served(service: &HttpService, path: &str, method: &str) -> bool {
    let some = |name: &str| match name {
        "{id_or_name}" | "{tag}" => "some".to_owned(),
        "{slug}" => "local-file-system".to_owned(),
        name if name.starts_with('{') => "00000000-0000-4000-8000-000000000000".to_owned(),
        name => name.to_owned(),
    };
    let path = path.split('/').map(some).collect::<Vec<_>>().join("/");
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    let request = Request::builder()
        .method(method)
        .uri(&path)
        .header("host", "localhost")
        .body(Body::empty())
        .unwrap();
    let response = service.clone().oneshot(request).await.unwrap();
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        return false;
    }
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    !String::from_utf8_lossy(&body).contains("docs/what-is-served.md")
}

#[tokio::test]
async fn an_operation_is_served_if_and_only_if_it_is_documented() {
    let service = HttpService::new(app());
    let documented = documented();
    let served: BTreeSet<_> = documented.iter().map(|(path, _)| path.clone()).collect();

    let document = default_document();
    // The path of a WebSocket is no operation for a request without the headers of one.
    let is_socket = |path: &String| !document["paths"][path]["get"]["responses"]["101"].is_null();
    for path in served.into_iter().filter(|path| !is_socket(path)) {
        for method in METHODS {
            let is_served = is_served(&service, &path, method).await;
            // Such a path is also the path of a limit that has the last segment as its name.
            let beside = path.rsplit_once('/').filter(|(_, last)| !last.is_empty());
            let beside = beside.map(|(parent, _)| format!("{parent}/{{id_or_name}}"));
            let is_documented = [Some(path.clone()), beside]
                .into_iter()
                .flatten()
                .any(|path| documented.contains(&(path, method.to_owned())));
            assert_eq!(is_served, is_documented, "{method} {path}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_id_is_unique() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = default_document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 100);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|methods| methods.as_object().unwrap().values());
    let ids: Vec<_> = operations.map(|operation| operation["operationId"].as_str()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}

/// One line for each operation: its body and its statuses.
#[test]
fn the_operations_are_these() {
    let document = default_document();
    let mut lines = String::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let statuses: Vec<_> =
                operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let body = schema["$ref"].as_str().map_or("-", |r| r.rsplit('/').next().unwrap());
            let method = method.to_uppercase();
            writeln!(lines, "{method} {path} {body} {}", statuses.join(" ")).unwrap();
        }
    }
    insta::assert_snapshot!(lines);
}
