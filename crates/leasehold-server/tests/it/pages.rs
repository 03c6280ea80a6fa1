//! Foreign pages in a user's browser: what the server refuses them, and which clients the rules do
//! not concern.

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use leasehold_server::Config;
use serde_json::json;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::fixture::{Answer, LIMITS, TAGS, TestApp};

const HOST: (&str, &str) = ("host", "localhost:4200");
const EVIL: (&str, &str) = ("origin", "http://evil.example");
const LIMIT: &str = r#"{"name":"db","limit":1}"#;

fn app(change: impl FnOnce(&mut Config)) -> TestApp {
    TestApp::init().with_config(change).start()
}

/// Sends a request with only these headers.
async fn ask(
    app: &TestApp,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> Answer {
    let asked =
        headers.iter().fold(Request::builder().method(method).uri(path), |asked, (name, value)| {
            asked.header(*name, *value)
        });
    app.send(asked.body(Body::from(body)).unwrap()).await
}

async fn limits(app: &TestApp) -> usize {
    let all = app.post(&format!("{LIMITS}/filter"), &json!({})).await.expect(200).json();
    all.as_array().unwrap().len()
}

#[tokio::test]
async fn a_foreign_page_cannot_create_a_limit_without_a_content_type() {
    let app = TestApp::start();
    for site in ["cross-site", "same-site"] {
        let headers = [HOST, EVIL, ("sec-fetch-site", site), ("sec-fetch-mode", "no-cors")];
        let refused = ask(&app, "POST", &format!("{LIMITS}/"), &headers, LIMIT).await.expect(403);
        let detail = refused.detail();
        assert!(detail.contains("--cors-origins http://evil.example"), "{detail}");
    }
    // Over plain HTTP to another machine, browsers send only the origin.
    ask(&app, "POST", &format!("{LIMITS}/"), &[HOST, EVIL], LIMIT).await.expect(403);
    ask(&app, "POST", &format!("{LIMITS}/"), &[HOST, ("origin", "null")], LIMIT).await.expect(403);
    // Another server of the same machine is another origin.
    let neighbour = ("origin", "http://localhost:3000");
    ask(&app, "POST", &format!("{LIMITS}/"), &[HOST, neighbour], LIMIT).await.expect(403);
    assert_eq!(limits(&app).await, 0);
}

#[tokio::test]
async fn a_foreign_page_cannot_reset_a_tag_with_a_post_of_plain_text() {
    let app = TestApp::start();
    let tag = json!({"tag": "db", "concurrency_limit": 1});
    app.post(&format!("{TAGS}/"), &tag).await.expect(201);
    let run = "00000000-0000-4000-8000-000000000001";
    let taken = json!({"names": ["db"], "task_run_id": run});
    app.post(&format!("{TAGS}/increment"), &taken).await.expect(200);
    let headers = [HOST, EVIL, ("content-type", "text/plain"), ("sec-fetch-site", "cross-site")];
    ask(&app, "POST", &format!("{TAGS}/tag/db/reset"), &headers, "").await.expect(403);
    let tag = app.get(&format!("{TAGS}/tag/db")).await.expect(200).json();
    assert_eq!(tag["active_slots"], json!([run]));
}

#[tokio::test]
async fn no_method_that_writes_is_open_to_a_foreign_page() {
    let app = TestApp::start();
    let lease = "/api/leases/8e0299df-d5ba-4b94-9bde-7493cfbac88d";
    for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"] {
        ask(&app, method, lease, &[HOST, EVIL], "").await.expect(403);
    }
}

#[tokio::test]
async fn a_foreign_page_opens_no_web_socket() {
    let app = TestApp::start();
    let address = app.listen().await;
    for path in ["/api/events/in", "/api/events/out", "/api/logs/out"] {
        let connect = async |origin: Option<String>| {
            let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
            if let Some(origin) = origin {
                request.headers_mut().insert(header::ORIGIN, origin.parse().unwrap());
            }
            tokio_tungstenite::client_async(
                request,
                tokio::net::TcpStream::connect(address).await.unwrap(),
            )
            .await
            .map(drop)
        };
        for evil in ["http://evil.example", "null"] {
            match connect(Some(evil.to_owned())).await {
                Err(Error::Http(answer)) => assert_eq!(answer.status(), StatusCode::FORBIDDEN),
                other => panic!("{path}: {other:?}"),
            }
        }
        connect(None).await.expect("a program opens it");
        connect(Some(format!("http://{address}"))).await.expect("a page of ours opens it");
    }
}

/// The page's own name resolves to this server, so for the browser both have the same origin.
#[tokio::test]
async fn dns_rebinding_reads_and_writes_nothing() {
    let app = TestApp::start();
    let rebound = ("host", "evil.example:4200");
    let own = ("origin", "http://evil.example:4200");
    let filter = format!("{LIMITS}/filter");
    let refused = ask(&app, "POST", &filter, &[rebound, own], "{}").await.expect(403);
    assert!(refused.detail().contains("--allowed-hosts evil.example"), "{}", refused.detail());
    // Plain reads of plain HTTP carry neither an origin nor Sec-Fetch headers.
    for language in ["en-GB,en;q=0.5", "*", ""] {
        let headers = [rebound, ("accept-language", language)];
        for path in ["/api/leases", "/api/leasehold/events", "/api/openapi.json", "/docs", "/"] {
            ask(&app, "GET", path, &headers, "").await.expect(403);
        }
    }
}

#[tokio::test]
async fn programs_may_address_the_server_by_any_name() {
    let app = TestApp::start();
    for host in ["leasehold.internal:4200", "proxy.corp", "10.1.2.3:4200", "limits"] {
        let agents = ["python-httpx/0.28.1", "curl/8.5.0", "Go-http-client/1.1", "Mozilla/5.0"];
        for agent in agents {
            let headers = [("host", host), ("user-agent", agent)];
            ask(&app, "GET", "/api/leases", &headers, "").await.expect(200);
            ask(&app, "POST", &format!("{LIMITS}/filter"), &headers, "{}").await.expect(200);
        }
        // The fetch of Node.js.
        let node = [("host", host), ("accept-language", "*"), ("sec-fetch-mode", "cors")];
        ask(&app, "GET", "/api/leases", &node, "").await.expect(200);
        ask(&app, "POST", &format!("{LIMITS}/filter"), &node, "{}").await.expect(200);
    }
}

#[tokio::test]
async fn a_page_of_this_server_reads_and_writes() {
    let app = app(|config| config.allowed_hosts = vec!["limits.example".parse().unwrap()]);
    let fetched = [("sec-fetch-site", "same-origin"), ("accept-language", "en")];
    for (host, origin) in [
        ("localhost:4200", "http://localhost:4200"),
        ("127.0.0.1:4200", "http://127.0.0.1:4200"),
        ("[::1]:4200", "http://[::1]:4200"),
        ("limits.example", "https://limits.example"),
        ("limits.example:443", "https://limits.example"),
    ] {
        let (host, origin) = (("host", host), ("origin", origin));
        ask(&app, "GET", "/docs", &[host, ("sec-fetch-site", "none")], "").await.expect(200);
        let headers = [host, fetched[0], fetched[1]];
        ask(&app, "GET", "/api/openapi.json", &headers, "").await.expect(200);
        let filter = format!("{LIMITS}/filter");
        ask(&app, "POST", &filter, &[host, origin, fetched[0]], "{}").await.expect(200);
        ask(&app, "POST", &filter, &[host, origin], "{}").await.expect(200);
    }
    // A link on another site may lead here.
    let link = [HOST, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    ask(&app, "GET", "/docs", &link, "").await.expect(200);
    // A proxy speaks TLS to the browser and addresses this server by its address.
    let headers = [HOST, ("origin", "https://limits.example"), fetched[0]];
    ask(&app, "POST", &format!("{LIMITS}/filter"), &headers, "{}").await.expect(200);
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_reads_and_writes_by_the_rules_of_cors() {
    let app = app(|config| {
        config.cors_origins = vec!["https://pages.example".parse().unwrap()];
        config.auth_string = Some("a:b".to_owned());
    });
    let origin = ("origin", "https://pages.example");
    let site = ("sec-fetch-site", "cross-site");
    let path = format!("{LIMITS}/");
    let asks = ("access-control-request-method", "POST");
    let allowed = ask(&app, "OPTIONS", &path, &[HOST, origin, site, asks], "").await.expect(204);
    let header = |name: &str| allowed.header(name).unwrap_or_default().to_owned();
    assert_eq!(header("access-control-allow-origin"), "https://pages.example");
    assert!(header("access-control-allow-methods").contains("PATCH"));
    assert!(header("access-control-allow-headers").contains("authorization"));
    assert_eq!(header("vary"), "origin");

    // The page may read refusals as well.
    let refused = ask(&app, "POST", &path, &[HOST, origin, site], LIMIT).await.expect(401);
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://pages.example"));
    let password = ("authorization", "Basic YTpi");
    let made = ask(&app, "POST", &path, &[HOST, origin, site, password], LIMIT).await.expect(201);
    assert_eq!(made.header("access-control-allow-origin"), Some("https://pages.example"));

    for stranger in ["https://pages.example.evil", "http://pages.example", "null"] {
        let headers = [HOST, ("origin", stranger), site, password];
        let refused = ask(&app, "POST", &path, &headers, LIMIT).await.expect(403);
        assert_eq!(refused.header("access-control-allow-origin"), None);
        let headers = [HOST, ("origin", stranger), site, asks];
        let refused = ask(&app, "OPTIONS", &path, &headers, "").await;
        assert_eq!((refused.status.as_u16() / 100, refused.header("vary")), (4, None));
    }
}
