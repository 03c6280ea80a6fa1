//! Bounds on what a client can make the server keep, or do in one step. The answer names the bound.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::fixture::{LIMITS, TAGS, TestApp, run};

/// The kind and the message of the first fault.
fn wrong(answer: &Value) -> (String, String) {
    let detail = &answer["exception_detail"][0];
    (detail["type"].as_str().unwrap().to_owned(), detail["msg"].as_str().unwrap().to_owned())
}

fn owned(kind: &str, msg: &str) -> (String, String) {
    (kind.to_owned(), msg.to_owned())
}

#[tokio::test]
async fn a_name_has_a_thousand_characters_at_the_most() {
    let app = TestApp::start();
    let create = async |name: &str| {
        app.post(&format!("{LIMITS}/"), &json!({"name": name, "limit": 1})).await
    };
    create(&"é".repeat(1_000)).await.expect(201);
    for length in [1_001, 900_000] {
        let refused = create(&"x".repeat(length)).await.expect(422);
        let expected = owned("string_too_long", "String should have at most 1000 characters");
        assert_eq!(wrong(&refused.json()), expected);
    }
    let tag = async |tag: &str| {
        app.post(&format!("{TAGS}/"), &json!({"tag": tag, "concurrency_limit": 1})).await
    };
    tag(&"x".repeat(996)).await.expect(201);
    tag(&"x".repeat(997)).await.expect(422);
}

#[tokio::test]
async fn a_name_holds_line_breaks_and_no_other_control_characters() {
    let app = TestApp::start();
    let create = async |name: &str| {
        app.post(&format!("{LIMITS}/"), &json!({"name": name, "limit": 1})).await
    };
    create("two\nlines ☃").await.expect(201);
    for name in ["nul\0", "\u{1b}[2J", "tab\t", "return\r", "delete\u{7f}", "\u{85}"] {
        let refused = create(name).await.expect(422);
        let sentence = "String should have no control characters other than line breaks";
        assert_eq!(wrong(&refused.json()), owned("string_control_characters", sentence));
    }
    app.limit("db", 1).await;
    for holder in [
        json!({"kind": "process", "id": "\u{1b}[2J"}),
        json!({"kind": "process", "id": "1", "labels": {"host": "\0"}}),
    ] {
        let body = json!({"limits": [{"name": "db"}], "holder": holder});
        app.post("/api/leases", &body).await.expect(422);
    }
    // A name to look up may have any character.
    app.acquire(&["nul\0"], 1).await.expect(200);
}

#[tokio::test]
async fn one_request_names_so_many_limits_at_the_most() {
    let app = TestApp::start();
    let names = |count: usize| (0..count).map(|it| it.to_string()).collect::<Vec<_>>();
    let expected =
        owned("too_long", "List should have at most 256 items after validation, not 20000");
    for path in ["increment", "increment-with-lease", "decrement"] {
        let path = format!("{LIMITS}/{path}");
        app.post(&path, &json!({"names": names(256), "slots": 1})).await.expect(200);
        let refused = app.post(&path, &json!({"names": names(20_000), "slots": 1})).await;
        assert_eq!(wrong(&refused.expect(422).json()), expected);
    }
    for path in ["increment", "decrement"] {
        let body = json!({"names": names(20_000), "task_run_id": run(1)});
        let refused = app.post(&format!("{TAGS}/{path}"), &body).await.expect(422);
        assert_eq!(wrong(&refused.json()), expected);
    }
    app.tag("db", 1).await;
    let holders: Vec<_> = (0..1_001).map(|_| run(1)).collect();
    let body = json!({"slot_override": holders});
    let refused = app.post(&format!("{TAGS}/tag/db/reset"), &body).await.expect(422);
    let expected =
        owned("too_long", "List should have at most 1000 items after validation, not 1001");
    assert_eq!(wrong(&refused.json()), expected);
}

#[tokio::test]
async fn a_renewal_just_after_a_release_answers_that_it_was_released() {
    let app = TestApp::start();
    app.limit("db", 1).await;
    let lease = app.lease(&["db"], 1).await;
    app.release(&lease).await.expect(204);
    let sentence = "Lease not found - it was released at 2026-11-20T20:53:00.000000Z";
    assert_eq!(app.renew(&lease).await.expect(410).detail(), sentence);
    // It is remembered for a moment.
    app.sleep(11.0);
    let other = app.lease(&["db"], 1).await;
    app.release(&other).await.expect(204);
    let sentence = "Lease not found - it may have expired or been revoked";
    assert_eq!(app.renew(&lease).await.expect(410).detail(), sentence);
}

#[tokio::test]
async fn a_short_text_has_255_characters_at_the_most() {
    let app = TestApp::start();
    app.limit("db", 9).await;
    let acquire = async |body: Value| {
        let mut body = body;
        body["limits"] = json!([{"name": "db"}]);
        app.post("/api/leases", &body).await
    };
    let holder = |kind: &str, id: &str| json!({"holder": {"kind": kind, "id": id}});
    let label =
        |name: &str| json!({"holder": {"kind": "process", "id": "1", "labels": {name: "x"}}});
    let key = |key: &str| json!({"idempotency_key": key});
    let (longest, too_long) = ("é".repeat(255), "é".repeat(256));
    for body in [holder(&longest, "1"), holder("process", &longest), label(&longest), key(&longest)]
    {
        acquire(body).await.expect(201);
    }
    for body in
        [holder(&too_long, "1"), holder("process", &too_long), label(&too_long), key(&too_long)]
    {
        acquire(body).await.expect(422);
    }
}

/// All Rust sources below a folder.
fn sources(folder: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn each_row_of_the_page_of_bounds_names_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/limits-and-bounds.md")).unwrap();
    let mut files = Vec::new();
    sources(&root.join("crates"), &mut files);
    let name_of = |line: &str| {
        Some(line.trim().strip_prefix("async ").unwrap_or(line.trim())).and_then(|line| {
            line.strip_prefix("fn ")?.split_once('(').map(|(name, _)| name.to_owned())
        })
    };
    let functions: BTreeSet<_> =
        files.iter().flat_map(|it| it.lines()).filter_map(name_of).collect();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let rows: Vec<_> = rows.filter(|line| !line.starts_with("| what |")).collect();
    assert!(rows.len() > 40, "{}", rows.len());
    for row in rows {
        let last = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap();
        let tests: Vec<_> = last.split('`').filter(|name| name.len() > 10).collect();
        assert!(!tests.is_empty(), "no test is named: {row}");
        for test in tests {
            assert!(functions.contains(test), "there is no test {test}: {row}");
        }
    }
}
