//! The pages for people: what they show, what their forms change, and what they refuse.

use axum::body::Body;
use axum::http::{Request, header};
use leasehold_server::Config;
use serde_json::json;

use crate::fixture::{Answer, LIMITS, TAGS, TestApp, request};

/// A browser: it keeps its cookies, and sends the token that a page gave it.
struct Browser<'app> {
    app: &'app TestApp,
    cookies: Vec<String>,
    token: String,
}

impl<'app> Browser<'app> {
    fn new(app: &'app TestApp) -> Self {
        Self { app, cookies: Vec::new(), token: String::new() }
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(request("GET", path), Body::empty()).await
    }

    /// Sends a form with the token of the last page.
    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let escaped = |text: &str| text.replace('%', "%25").replace('&', "%26").replace(' ', "+");
        let token = self.token.clone();
        let token = [("token", &*token)];
        let fields = fields.iter().chain(&token);
        let pairs: Vec<_> =
            fields.map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let form =
            request("POST", path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(form, Body::from(pairs.join("&"))).await
    }

    async fn send(&mut self, head: axum::http::request::Builder, body: Body) -> Answer {
        let head = match self.cookies.join("; ") {
            cookies if cookies.is_empty() => head,
            cookies => head.header(header::COOKIE, cookies),
        };
        let answer = self.app.send(head.body(body).unwrap()).await;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
            let name = format!("{}=", pair.split('=').next().unwrap());
            self.cookies.retain(|known| !known.starts_with(&name));
            self.cookies.push(pair);
        }
        if let Some((_, rest)) = answer.text().split_once("name=\"token\" value=\"") {
            self.token = rest.split('"').next().unwrap().to_owned();
        }
        answer
    }
}

fn location(answer: &Answer) -> String {
    answer.headers[header::LOCATION].to_str().unwrap().to_owned()
}

async fn limit(app: &TestApp, name: &str) -> serde_json::Value {
    app.get(&format!("{LIMITS}/{name}")).await.expect(200).json()
}

#[tokio::test]
async fn a_limit_is_created_changed_switched_and_deleted_by_forms() {
    let app = TestApp::start();
    let mut browser = Browser::new(&app);
    assert!(browser.get("/leasehold").await.expect(200).text().contains("No limit yet"));
    browser.get("/leasehold/new").await.expect(200);
    let wrong = browser.post("/leasehold/new", &[("name", "db"), ("slots", "-1")]).await;
    let text = wrong.expect(422).text();
    assert!(text.contains("‘-1’") || text.contains("'-1' is no whole number"), "{text}");
    assert!(text.contains("value=\"db\""), "what was typed stays");

    let made = browser.post("/leasehold/new", &[("name", "db"), ("slots", "2")]).await;
    let page = location(&made.expect(303));
    assert!(browser.get(&page).await.expect(200).text().contains("<bdi>db</bdi>"));
    let again = browser.post("/leasehold/new", &[("name", "db"), ("slots", "2")]).await;
    assert!(again.expect(422).text().contains("Another limit has this name"));

    // Meanwhile somebody else changes the number: a form that does not touch it leaves it.
    app.patch(&format!("{LIMITS}/db"), &json!({"limit": 7})).await.expect(204);
    let edit = [("name", "db2"), ("name_was", "db"), ("slots", "2"), ("slots_was", "2")];
    browser.post(&format!("{page}/edit"), &edit).await.expect(303);
    assert_eq!(limit(&app, "db2").await["limit"], 7);

    let off = [("active", "false"), ("back", "/leasehold?page=1")];
    let back = browser.post(&format!("{page}/switch"), &off).await.expect(303);
    assert_eq!(location(&back), "/leasehold?page=1");
    assert_eq!(limit(&app, "db2").await["active"], false);
    let away = [("active", "true"), ("back", "//elsewhere.example")];
    assert_eq!(location(&browser.post(&format!("{page}/switch"), &away).await), "/leasehold");

    let wrong = browser.post(&format!("{page}/delete"), &[("name", "db")]).await.expect(422);
    assert!(wrong.text().contains("not its name"));
    browser.post(&format!("{page}/delete"), &[("name", "db2")]).await.expect(303);
    browser.get(&page).await.expect(404);
}

#[tokio::test]
async fn a_tag_is_reset_and_a_lease_revoked_with_a_reason() {
    let app = TestApp::init().with_records().start();
    let mut browser = Browser::new(&app);
    browser.get("/leasehold/new?kind=tag").await.expect(200);
    let fields = [("kind", "tag"), ("name", "etl"), ("slots", "1")];
    let page = location(&browser.post("/leasehold/new", &fields).await.expect(303));
    let run = "00000000-0000-4000-8000-000000000001";
    let taken = json!({"names": ["etl"], "task_run_id": run});
    app.post(&format!("{TAGS}/increment"), &taken).await.expect(200);
    let shown = browser.get(&page).await.expect(200).text();
    assert!(shown.contains(run) && shown.contains("Why is it full?"), "{shown}");
    browser.post(&format!("{page}/reset"), &[("reason", "moving")]).await.expect(303);
    assert!(!browser.get(&page).await.text().contains("Why is it full?"));

    app.post(&format!("{LIMITS}/"), &json!({"name": "db", "limit": 1})).await.expect(201);
    let lease = json!({"limits": [{"name": "db"}], "ttl_seconds": 60});
    let lease = app.post("/api/leases", &lease).await.expect(201).json();
    let id = lease["id"].as_str().unwrap();
    let page = format!("/leasehold/limits/{}", limit(&app, "db").await["id"].as_str().unwrap());
    let revoke = format!("{page}/leases/{id}/revoke");
    browser.get(&revoke).await.expect(200);
    browser.post(&revoke, &[("reason", "it hangs")]).await.expect(303);
    let ended = app.get(&format!("/api/leases/{id}")).await.expect(404).text();
    assert!(ended.contains("it hangs") && ended.contains("an operator, on the page"), "{ended}");
    let shown = browser.get(&page).await.expect(200).text();
    assert!(shown.contains("lease.revoked"), "{shown}");
}

#[tokio::test]
async fn a_form_without_the_token_of_its_browser_changes_nothing() {
    let app = TestApp::start();
    let fields = [("name", "db"), ("slots", "2")];
    let mut stranger = Browser::new(&app);
    stranger.get("/leasehold/new").await.expect(200);
    let mut browser = Browser::new(&app);
    browser.post("/leasehold/new", &fields).await.expect(403);
    browser.get("/leasehold/new").await.expect(200);
    browser.token = stranger.token;
    let refused = browser.post("/leasehold/new", &fields).await.expect(403).text();
    assert!(refused.contains("Nothing was changed"), "{refused}");
    assert!(browser.get("/leasehold").await.text().contains("No limit yet"));
}

#[tokio::test]
async fn with_a_password_a_page_is_seen_after_signing_in() {
    let password = |config: &mut Config| config.auth_string = Some("ops:s3cret&x".to_owned());
    let app = TestApp::init().with_config(password).start();
    let mut browser = Browser::new(&app);
    for path in ["/leasehold", "/leasehold/tags", "/leasehold/live", "/leasehold/new"] {
        let to = location(&browser.get(path).await.expect(303));
        assert!(to.starts_with("/leasehold/sign-in?next="), "{to}");
    }
    browser.get("/leasehold/sign-in?next=%2Fleasehold%2Ftags").await.expect(200);
    let sign_in = async |browser: &mut Browser<'_>, password: &str, next: &str| {
        let fields = [("user", "ops"), ("password", password), ("next", next)];
        browser.post("/leasehold/sign-in", &fields).await
    };
    sign_in(&mut browser, "wrong", "/leasehold/tags").await.expect(403);
    // Without being signed in, a form with a valid token changes nothing.
    let made = browser.post("/leasehold/new", &[("name", "db"), ("slots", "2")]).await;
    assert!(location(&made.expect(303)).starts_with("/leasehold/sign-in"));
    let to = sign_in(&mut browser, "s3cret&x", "/leasehold/tags").await.expect(303);
    assert_eq!(location(&to), "/leasehold/tags");
    let cookie = to.headers[header::SET_COOKIE].to_str().unwrap();
    assert!(cookie.contains("HttpOnly; SameSite=Lax"), "{cookie}");
    browser.get("/leasehold/tags").await.expect(200);
    let away = sign_in(&mut browser, "s3cret&x", "https://elsewhere.example").await;
    assert_eq!(location(&away), "/leasehold");
    browser.post("/leasehold/sign-out", &[]).await.expect(303);
    browser.get("/leasehold").await.expect(303);
    // The cookie opens pages, not the API.
    app.get("/api/leases").await.expect(401);
}

#[tokio::test]
async fn names_cannot_break_a_page() {
    let app = TestApp::init().with_records().start();
    for name in ["a\u{202e}b", "quote\"'", "{{x}}"] {
        let limit = json!({"name": name, "limit": 1});
        app.post(&format!("{LIMITS}/"), &limit).await.expect(201);
    }
    let holder = json!({"kind": "<script>alert(1)</script>", "id": "\u{202e}\"><b>"});
    let lease = json!({"limits": [{"name": "quote\"'"}], "ttl_seconds": 60, "holder": holder});
    app.post("/api/leases", &lease).await;
    let mut browser = Browser::new(&app);
    let mut pages = vec!["/leasehold".to_owned()];
    let all = app.post(&format!("{LIMITS}/filter"), &json!({})).await.expect(200).json();
    pages.extend(all.as_array().unwrap().iter().flat_map(|limit| {
        let page = format!("/leasehold/limits/{}", limit["id"].as_str().unwrap());
        ["", "/edit", "/delete", "/reset"].map(|rest| format!("{page}{rest}"))
    }));
    for page in pages {
        let answer = browser.get(&page).await.expect(200);
        let text = answer.text();
        assert!(!text.contains("<script>") && !text.contains('\u{202e}'), "{page}: {text}");
        let policy = answer.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert!(!text.contains("style=\"") && !text.contains(" onclick"), "{page}");
    }
}

#[tokio::test]
async fn many_limits_are_searched_sorted_and_paged() {
    let app = TestApp::start();
    for number in 0..160 {
        let limit = json!({"name": format!("limit-{number:04}"), "limit": 1});
        app.post(&format!("{LIMITS}/"), &limit).await.expect(201);
    }
    let mut browser = Browser::new(&app);
    let first = browser.get("/leasehold").await.expect(200).text();
    assert!(first.contains("limit-0049") && !first.contains("limit-0050"));
    let last = browser.get("/leasehold?page=99").await.expect(200).text();
    assert!(last.contains("limit-0159") && last.contains("151–160 of 160"), "{last}");
    let found = browser.get("/leasehold?q=LIMIT-007").await.expect(200).text();
    assert!(found.contains("limit-0070") && !found.contains("limit-0080"));
    app.post("/api/leases", &json!({"limits": [{"name": "limit-0099"}], "ttl_seconds": 60})).await;
    let fullest = browser.get("/leasehold?sort=fullest").await.expect(200).text();
    assert!(fullest.contains("limit-0099"), "{fullest}");
}

#[tokio::test]
async fn style_and_scripts_are_kept_for_good() {
    let app = TestApp::start();
    let page = Browser::new(&app).get("/leasehold").await.expect(200).text();
    let paths = page.split(['"']).filter(|part| part.starts_with("/leasehold/assets/"));
    for path in paths {
        let asset = app.get(path).await.expect(200);
        let caching = asset.headers[header::CACHE_CONTROL].to_str().unwrap();
        assert!(caching.contains("immutable"), "{path}: {caching}");
        let known =
            request("GET", path).header(header::IF_NONE_MATCH, asset.headers[header::ETAG].clone());
        let request: Request<Body> = known.body(Body::empty()).unwrap();
        app.send(request).await.expect(304);
    }
}

#[tokio::test]
async fn behind_an_upstream_limits_are_changed_on_its_own_pages() {
    let app = TestApp::init().with_records().with_config(|config| {
        config.upstream = Some("http://127.0.0.1:9/api".parse().unwrap());
    });
    let app = app.start();
    let mut browser = Browser::new(&app);
    browser.get("/leasehold").await.expect(200);
    let limit = "/leasehold/limits/87a3599a-e3ca-433d-995b-75a88c7fe68a";
    for path in ["/leasehold/new", &format!("{limit}/edit"), &format!("{limit}/delete")] {
        let answer = browser.get(path).await.expect(409);
        assert!(answer.text().contains("Nothing was changed"), "{path}");
    }
}
