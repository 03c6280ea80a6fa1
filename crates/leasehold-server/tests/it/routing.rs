//! Paths and methods: which ones exist, and the answers to the others. They are those of the
//! recorded server (FastAPI 0.139).

use axum::body::Body;
use axum::http::{HeaderName, Version};
use serde_json::json;

use crate::fixture::{Answer, LIMITS, TAGS, TestApp, request, run};

const ID: &str = "e132a953-0824-4c81-b5d7-61c3ef6c3bb0";
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

async fn ask(app: &TestApp, method: &str, path: &str) -> Answer {
    app.send(request(method, path).body(Body::empty()).unwrap()).await
}

/// The server refuses all methods except the path's own. The refusal names the methods of the first
/// route that the recorded server has for the path.
#[tokio::test]
async fn a_method_that_a_path_does_not_have_is_refused_with_those_that_it_has() {
    let app = TestApp::start();
    let check = async |path: String, methods: &[&str], allow: &str| {
        for method in METHODS {
            let answer = ask(&app, method, &path).await;
            let is_head = method == "HEAD" && methods.contains(&"GET");
            if methods.contains(&method) || is_head {
                assert_ne!(answer.status, 405, "{method} {path}");
                continue;
            }
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some(allow), "{method} {path}");
            assert_eq!(answer.header("content-type"), Some("application/json"));
            let body = if method == "HEAD" { "" } else { r#"{"detail":"Method Not Allowed"}"# };
            assert_eq!(answer.text(), body, "{method} {path}");
        }
    };
    let named: &[&str] = &["GET", "POST", "PATCH", "DELETE"];
    let single: &[&str] = &["GET", "PATCH", "DELETE"];
    check(format!("{LIMITS}/"), &["POST"], "POST").await;
    for path in ["filter", "increment", "increment-with-lease", "decrement", "decrement-with-lease"]
    {
        check(format!("{LIMITS}/{path}"), named, "GET").await;
    }
    for path in ["abc", "%20", "leases", ID] {
        check(format!("{LIMITS}/{path}"), single, "GET").await;
    }
    check(format!("{LIMITS}/leases/x/renew"), &["POST"], "POST").await;
    check(format!("{LIMITS}/abc/leases"), &["GET"], "GET").await;

    for path in ["", "filter", "increment", "decrement", "tag/x/reset"] {
        check(format!("{TAGS}/{path}"), &["POST"], "POST").await;
    }
    for path in ["tag/x", ID] {
        check(format!("{TAGS}/{path}"), &["GET", "DELETE"], "GET").await;
    }
    // For paths of the native API, the refusal names all methods.
    check(format!("/api/leases/{ID}"), &["GET", "DELETE"], "GET, DELETE").await;
    check("/api/leases".to_owned(), &["GET", "POST"], "GET, POST").await;
    for path in ["renew", &format!("{ID}/renew")] {
        check(format!("/api/leases/{path}"), &["POST"], "POST").await;
    }
    for path in ["health", "ready", "hello", "version", "admin/version", "csrf-token"] {
        check(format!("/api/{path}"), &["GET"], "GET").await;
    }
}

#[tokio::test]
async fn head_is_answered_as_get_without_a_body() {
    let app = TestApp::start();
    let paths =
        ["/api/health", "/api/leases", "/api/openapi.json", "/docs", &format!("{LIMITS}/abc")];
    for path in paths {
        let (get, head) = (ask(&app, "GET", path).await, ask(&app, "HEAD", path).await);
        assert_eq!((head.status, head.text().as_str()), (get.status, ""), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
}

#[tokio::test]
async fn a_slash_too_many_or_too_few_is_redirected_with_every_method() {
    let app = TestApp::start();
    let check = async |path: &str, location: &str| {
        for method in METHODS {
            let answer = ask(&app, method, path).await;
            assert_eq!(answer.status, 307, "{method} {path}");
            let location = format!("http://127.0.0.1:4200{location}");
            assert_eq!(answer.header("location"), Some(location.as_str()), "{method} {path}");
            assert_eq!(answer.text(), "");
        }
    };
    check(LIMITS, &format!("{LIMITS}/")).await;
    check(TAGS, &format!("{TAGS}/")).await;
    for path in ["abc", "sp%20ace", "tag:%E2%98%83", "filter", "leases/x/renew"] {
        check(&format!("{LIMITS}/{path}/"), &format!("{LIMITS}/{path}")).await;
    }
    for path in [ID, "filter", "tag/x", "tag/x/reset"] {
        check(&format!("{TAGS}/{path}/"), &format!("{TAGS}/{path}")).await;
    }
    check("/api/health/", "/api/health").await;
    check("/api/csrf-token/?client=a%20b", "/api/csrf-token?client=a%20b").await;
}

#[tokio::test]
async fn a_redirect_leads_back_through_the_proxy_that_the_client_came_through() {
    let app = TestApp::start();
    let check = async |host: Option<&str>, proto: Option<&str>, location: &str| {
        // A request of HTTP/1.1 must name a host.
        let version = if host.is_some() { Version::HTTP_11 } else { Version::HTTP_10 };
        let mut request = axum::http::Request::builder().uri(LIMITS).version(version);
        let headers = [("host", host), ("x-forwarded-proto", proto)];
        for (name, value) in headers.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
            request = request.header(HeaderName::from_static(name), value);
        }
        let answer = app.send(request.body(Body::empty()).unwrap()).await.expect(307);
        assert_eq!(answer.header("location"), Some(format!("{location}{LIMITS}/").as_str()));
    };
    check(Some("limits.example"), Some("https"), "https://limits.example").await;
    check(Some("limits.example:8443"), Some("https"), "https://limits.example:8443").await;
    check(Some("limits.example"), Some("http"), "http://limits.example").await;
    check(Some("limits.example"), None, "http://limits.example").await;
    // An invented scheme does not get into the address.
    check(Some("limits.example"), Some("javascript"), "http://limits.example").await;
    check(None, None, "").await;
}

#[tokio::test]
async fn unknown_paths_are_not_found_whatever_the_method() {
    let app = TestApp::start();
    for path in [
        "/nope",
        "/api",
        "/api/",
        "/api/nope",
        "/api/leases/a/b",
        &format!("{LIMITS}//"),
        &format!("{LIMITS}/a/b"),
        &format!("{LIMITS}/a%2Fb"),
        &format!("{LIMITS}/a%2fb/"),
        &format!("{LIMITS}/leases/x"),
        &format!("{LIMITS}/leases/renew/"),
        &format!("{TAGS}/nope"),
        &format!("{TAGS}/nope/"),
        &format!("{TAGS}/tag"),
        &format!("{TAGS}/tag/"),
        &format!("{TAGS}/tag/a/b"),
        &format!("{TAGS}/tag/a%2Fb"),
        &format!("{TAGS}/tag/a%2Fb/reset"),
        &format!("{TAGS}/{ID}/x"),
    ] {
        for method in METHODS {
            let answer = ask(&app, method, path).await;
            assert_eq!(answer.status, 404, "{method} {path}");
            let body = if method == "HEAD" { "" } else { r#"{"detail":"Not Found"}"# };
            assert_eq!(answer.text(), body, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_web_socket_without_its_headers_is_refused_with_their_names_and_the_cause() {
    let app = TestApp::init().with_config(|config| config.auth_string = Some("a:b".into())).start();
    for path in ["/api/events/in", "/api/events/out", "/api/logs/out"] {
        // A proxy may drop one of the headers, or both. The client would send its password later.
        for headers in [&[][..], &[("connection", "upgrade")], &[("upgrade", "websocket")]] {
            let mut request = request("GET", path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answer = app.send(request.body(Body::empty()).unwrap()).await.expect(426);
            assert_eq!(answer.header("upgrade"), Some("websocket"), "{path}");
            let told = answer.detail();
            assert!(told.contains("a proxy in between drops these headers"), "{told}");
        }
    }
}

#[tokio::test]
async fn a_limit_may_have_any_name_that_its_path_can_say() {
    let app = TestApp::start();
    for (name, path) in [
        ("ünïcode ☃", "%C3%BCn%C3%AFcode%20%E2%98%83"),
        ("a?b#c", "a%3Fb%23c"),
        ("a\nb", "a%0Ab"),
        ("a+b", "a+b"),
        ("a;b=c,d", "a;b=c,d"),
        ("\"quoted\"", "%22quoted%22"),
        ("'; DROP TABLE limits; --", "'%3B%20DROP%20TABLE%20limits%3B%20--"),
        ("..", "%2E%2E"),
        (" ", "%20"),
    ] {
        let id = app.limit(name, 2).await;
        let read = app.get(&format!("{LIMITS}/{path}")).await.expect(200).json();
        assert_eq!((&read["id"], &read["name"]), (&json!(id), &json!(name)));
        app.update(path, &json!({"limit": 3})).await;
        let lease = app.lease(&[name], 3).await;
        assert_eq!(app.leases(path).await[0]["id"], lease);
        app.delete(&format!("{LIMITS}/{path}")).await.expect(204);
        app.get(&format!("{LIMITS}/{id}")).await.expect(404);
    }
}

#[tokio::test]
async fn a_tag_may_have_any_name_that_its_path_can_say() {
    let app = TestApp::start();
    for (tag, path) in [("sp ace", "sp%20ace"), ("ß", "%C3%9F"), ("a:b", "a:b"), ("tag:x", "tag:x")]
    {
        app.tag(tag, 1).await;
        app.tag_increment(&[tag], &run(1)).await.expect(200);
        assert_eq!(app.holders(path).await, json!([run(1)]));
        app.tag_reset(path, None).await.expect(200);
        app.delete(&format!("{TAGS}/tag/{path}")).await.expect(200);
        app.delete(&format!("{TAGS}/tag/{path}")).await.expect(404);
    }
}

/// `/filter` is a path of its own for POST. For other methods it is the name of a limit.
#[tokio::test]
async fn a_limit_may_have_the_name_of_a_neighbouring_path() {
    let app = TestApp::start();
    for name in ["filter", "increment", "increment-with-lease", "decrement", "decrement-with-lease"]
    {
        app.get(&format!("{LIMITS}/{name}")).await.expect(404);
        app.limit(name, 1).await;
        app.lease(&[name], 1).await;
        app.update(name, &json!({"limit": 2})).await;
        assert_eq!(app.get(&format!("{LIMITS}/{name}")).await.expect(200).json()["limit"], 2);
        assert_eq!(app.leases(name).await.len(), 1);
        app.delete(&format!("{LIMITS}/{name}")).await.expect(204);
    }
    app.limit("leases", 1).await;
    assert_eq!(app.taken("leases").await, 0);
}

#[tokio::test]
async fn ids_are_read_in_upper_case_and_without_dashes() {
    let app = TestApp::start();
    let id = app.limit("db", 1).await;
    let tag = app.tag("db", 1).await;
    for form in [str::to_uppercase, |id: &str| id.replace('-', "")] {
        app.get(&format!("{LIMITS}/{}", form(&id))).await.expect(200);
        app.get(&format!("{TAGS}/{}", form(&tag))).await.expect(200);
    }
    let lease = app.lease(&["db"], 1).await;
    app.renew(&lease.to_uppercase()).await.expect(204);
    app.release(&lease.replace('-', "")).await.expect(204);
    assert_eq!(app.taken("db").await, 0);
}

#[tokio::test]
async fn the_server_describes_itself_as_clients_expect() {
    let app = TestApp::start();
    let check = async |path: &str, expected: &str| {
        let answer = app.get(path).await.expect(200);
        assert_eq!(answer.text(), expected, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    };
    check("/api/health", "true").await;
    check("/api/ready", r#"{"message":"OK"}"#).await;
    check("/api/version", r#""0.8.4""#).await;
    check("/api/hello", "\"👋\"").await;
    check("/api/admin/version", r#""3.999.0""#).await;
    check("/api/admin/storage", r#"{"default_result_storage_block_id":null}"#).await;
}

/// A client that is newer than its server logs a warning. A client of another major version exits.
#[tokio::test]
async fn no_client_of_version_3_is_newer_than_this_server_claims_to_be() {
    let app = TestApp::start();
    for (agent, version) in [
        ("prefect/3.9.12 (API 0.8.4)", "3.9.12"),
        ("prefect/3.99.0 (API 0.9.0)", "3.99.0"),
        ("prefect/3.1.15 (API 0.8.4)", "3.9.1"),
        ("prefect/2.20.26 (API 0.8.4)", "3.9.1"),
        ("prefect/3.9.1.post1 (API 0.8.4)", "3.999.0"),
        ("prefect/3.10.0rc1 (API 0.8.4)", "3.999.0"),
        // The probe of a client from 3.9 on, before it opens a WebSocket.
        ("python-httpx/0.28.1", "3.999.0"),
    ] {
        let asked = request("GET", "/api/admin/version").header("user-agent", agent);
        let answer = app.send(asked.body(Body::empty()).unwrap()).await.expect(200);
        assert_eq!(answer.json(), version, "{agent}");
    }
}

/// A path that is no UTF-8 names no limit.
#[tokio::test]
async fn a_path_that_is_no_text_is_not_found() {
    let app = TestApp::start();
    for path in ["%FF", "a%C3", "%FF/leases"] {
        app.get(&format!("{LIMITS}/{path}")).await.expect(404).detail();
    }
    app.delete(&format!("{LIMITS}/%FF")).await.expect(404).detail();
    app.patch(&format!("{LIMITS}/%FF"), &json!({})).await.expect(404).detail();
    app.get(&format!("{TAGS}/tag/%FF")).await.expect(404).detail();
    app.post(&format!("{TAGS}/tag/%FF/reset"), &json!({})).await.expect(404).detail();
    ask(&app, "GET", "/api/leases/%FF").await.expect(404).detail();
}

#[tokio::test]
async fn the_links_to_flow_runs_that_clients_print_lead_to_their_records() {
    let app = TestApp::start();
    for printed in ["runs/flow-run", "flow-runs/flow-run"] {
        let answer = ask(&app, "GET", &format!("/{printed}/{ID}")).await;
        assert_eq!(answer.status, 307);
        assert_eq!(answer.header("location"), Some(&*format!("/api/flow_runs/{ID}")));
        let answer = ask(&app, "GET", &format!("/{printed}/%2F%2Felsewhere.example")).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.header("location"), None);
    }
}
