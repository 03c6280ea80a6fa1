//! This server serves each route of a Prefect server, or answers it with the sentence of its
//! family. The documentation lists both kinds.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt;

use super::families::{FAMILIES, Family, Paths};
use super::{PAGE, sentence};
use crate::doors::native::openapi;
use crate::router::HttpService;

/// Every route of a Prefect server 3.8.8: a method (`WS` for a WebSocket) and a path on each line.
const ROUTES: &str = include_str!("prefect-3.8.8.txt");
const DOCUMENTATION: &str = "../../docs/what-is-served.md";

fn routes() -> impl Iterator<Item = (&'static str, String)> {
    ROUTES.lines().map(|line| {
        let (method, path) = line.split_once(' ').unwrap();
        (method, without_names(path))
    })
}

/// A path whose parameters are all `{}`.
fn without_names(path: &str) -> String {
    let segments = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    segments.collect::<Vec<_>>().join("/")
}

/// The operations in the OpenAPI document.
fn served() -> BTreeSet<(String, String)> {
    let document = openapi::tests::default_document();
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| {
            let is_socket = !operation["responses"]["101"].is_null();
            let method = if is_socket { "WS".to_owned() } else { method.to_uppercase() };
            (method, without_names(path))
        })
    });
    operations.chain([("GET".to_owned(), "/docs".to_owned())]).collect()
}

fn family(method: &str, path: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.has(method, path))
}

async fn ask(service: &HttpService, method: &str, path: &str) -> (StatusCode, Value) {
    let path = path.replace("{}", "00000000-0000-4000-8000-000000000000");
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost:4200")
        .body(Body::empty())
        .unwrap();
    let response = service.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn each_route_of_a_prefect_server_is_served_or_answered_with_its_sentence() {
    let (service, served) = (HttpService::new(openapi::tests::app()), served());
    let mut wrong = String::new();
    for (method, path) in routes() {
        // The answer to `HEAD` has no body.
        let as_get = if matches!(method, "WS" | "HEAD") { "GET" } else { method };
        let is_served = served.contains(&(method.to_owned(), path.clone()))
            || method == "HEAD" && served.contains(&("GET".to_owned(), path.clone()));
        let expected = if is_served { None } else { family(as_get, &path) };
        if is_served == expected.is_some() {
            writeln!(wrong, "{method} {path}: in no family").unwrap();
            continue;
        }
        let Some(family) = expected else { continue };
        let (status, body) = ask(&service, as_get, &path).await;
        if status != StatusCode::NOT_FOUND || body["detail"] != sentence(family) {
            writeln!(wrong, "{method} {path}: {status} {body}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A path that a family lists must not be served: a stale line would mislead.
#[test]
fn no_family_names_what_is_served_or_what_no_prefect_server_has() {
    let (served, theirs) = (served(), routes().collect::<BTreeSet<_>>());
    for family in FAMILIES {
        let Paths::These(paths) = family.paths else { continue };
        for (method, path) in paths {
            assert!(
                !served.contains(&((*method).to_owned(), (*path).to_owned())),
                "{method} {path}"
            );
            assert!(theirs.contains(&(*method, (*path).to_owned())), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_path_without_api_in_front_is_answered_with_the_right_url() {
    let service = HttpService::new(openapi::tests::app());
    for path in ["/flows/", "/v2/concurrency_limits/db", "/csrf-token", "/variables/name/x"] {
        let (status, body) = ask(&service, "GET", path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(
            body["detail"], "The API is below /api. Set PREFECT_API_URL=http://localhost:4200/api",
            "{path}"
        );
    }
    assert_eq!(ask(&service, "GET", "/nope").await.1["detail"], "Not Found");
}

/// Compares the part of the page between two marks with `expected`. With `LEASEHOLD_UPDATE_DOCS=1`
/// it writes that part instead.
fn check_page(mark: &str, expected: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCUMENTATION);
    let text = std::fs::read_to_string(&page).unwrap();
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->"));
    let (before, rest) = text.split_once(&begin).expect("no such mark");
    let (shown, after) = rest.split_once(&end).expect("no end");
    if std::env::var_os("LEASEHOLD_UPDATE_DOCS").is_some() {
        std::fs::write(&page, format!("{before}{begin}{expected}{end}{after}")).unwrap();
        return;
    }
    assert_eq!(shown, expected, "docs/what-is-served.md; see `check_page`");
}

#[test]
fn the_page_shows_each_family_and_its_sentence() {
    let mut table = "\n| what | paths | the answer |\n| --- | --- | --- |\n".to_owned();
    for family in FAMILIES {
        let paths: Vec<_> = match family.paths {
            Paths::Below(bases) => bases.iter().map(|base| format!("`{base}…`")).collect(),
            Paths::These(paths) => {
                paths.iter().map(|(method, path)| format!("`{method} {path}`")).collect()
            }
        };
        let (name, sentence) = (family.name, family.sentence);
        writeln!(table, "| {name} | {} | {sentence} |", paths.join("<br>")).unwrap();
    }
    table.push('\n');
    check_page("what is not served", &table);
    assert!(PAGE.ends_with(DOCUMENTATION.trim_start_matches("../")));
}

#[test]
fn the_page_shows_each_operation_and_whether_a_prefect_server_has_it() {
    let theirs: BTreeSet<_> = routes().collect();
    let document = openapi::tests::default_document();
    let mut table = String::new();
    for tag in document["tags"].as_array().unwrap() {
        let name = tag["name"].as_str().unwrap();
        writeln!(table, "\n**{name}.** {}\n", tag["description"].as_str().unwrap()).unwrap();
        table.push_str("| | | of Prefect's API |\n| --- | --- | --- |\n");
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                if operation["tags"][0] != name {
                    continue;
                }
                let is_socket = !operation["responses"]["101"].is_null();
                let method = if is_socket { "WS".to_owned() } else { method.to_uppercase() };
                let is_theirs = theirs.contains(&(method.as_str(), without_names(path)));
                let summary = operation["summary"].as_str().unwrap();
                let whose = if is_theirs { "yes" } else { "ours" };
                writeln!(table, "| `{method} {path}` | {summary} | {whose} |").unwrap();
            }
        }
    }
    table.push('\n');
    check_page("what is served", &table);
}
