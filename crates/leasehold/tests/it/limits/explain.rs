//! `leasehold why` and `leasehold status`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::{Place, too_long};
use crate::support::send_signal;

#[test]
fn why_says_who_holds_a_full_limit_and_what_would_free_it() {
    let place = Place::new();
    place.ok(&["gcl", "create", "database", "--limit", "3"]);
    let lease = place.acquire("database", 2, "web-1:4242");
    let body = serde_json::json!({"names": ["database"], "slots": 1, "mode": "concurrency"});
    assert_eq!(place.client().post("/api/v2/concurrency_limits/increment", &body).status, 200);

    let why = place.ok(&["why", "database"]);
    for words in [
        "database is full: all of its 3 slots are taken.",
        "process web-1:4242 holds 2 slots for",
        "It renews, or loses this in",
        "1 slot without a lease",
        "What would free it",
        "leasehold gcl update database --limit 4",
        lease["id"].as_str().unwrap(),
    ] {
        assert!(why.contains(words), "{words}: {why}");
    }
    let answer = place.json(&["why", "database"]);
    assert_eq!(answer["limit"]["active_slots"], 3);
    assert_eq!(answer["holders"].as_array().unwrap().len(), 2);
    assert!(answer["headline"].as_str().unwrap().starts_with("database is full"));
    let shown = place.on_terminal("why database", "");
    assert!(too_long(&shown.stdout).is_empty(), "{}", shown.stdout);
}

#[test]
fn why_knows_each_state_of_a_limit_and_near_names() {
    let place = Place::new();
    place.ok(&["gcl", "create", "free", "--limit", "3"]);
    place.ok(&["gcl", "create", "none", "--limit", "0"]);
    place.ok(&["gcl", "create", "off", "--limit", "1", "--disable"]);
    place.ok(&["gcl", "create", "rate", "--limit", "1", "--slot-decay-per-second", "0.001"]);
    place.ok(&["gcl", "create", "low", "--limit", "3"]);
    place.acquire("low", 3, "web-1");
    place.ok(&["gcl", "update", "low", "--limit", "1"]);
    place.acquire("rate", 1, "web-1");
    for (name, words) in [
        ("free", "free has room: 0 of 3 slots are taken."),
        ("none", "none has no slots: it grants nothing."),
        ("off", "off is not active: it grants everything."),
        ("rate", "rate is spent: a slot comes back every 16m 40s."),
        ("low", "low is over its limit: 3 slots of 1 are taken."),
    ] {
        let why = place.ok(&["why", name]);
        assert!(why.starts_with(words), "{why}");
    }
    place.ok(&["concurrency-limit", "create", "ocr", "1"]);
    assert!(place.fails(1, &["why", "ocr"]).contains("there is 'tag:ocr'"));
    assert!(place.fails(1, &["why", "Free"]).contains("there is 'free'"));
    assert!(place.fails(1, &["why", "xyz"]).contains("leasehold gcl create xyz"));
}

#[test]
fn status_names_what_is_full() {
    let place = Place::new();
    place.ok(&["gcl", "create", "database", "gpu", "--limit", "1"]);
    place.acquire("database", 1, "web-1");
    let status = place.json(&["status"]);
    assert_eq!(status["server"]["kind"], "leasehold");
    assert_eq!((&status["limits"], &status["leases"]), (&Value::from(2), &Value::from(1)));
    assert_eq!(status["full"][0]["name"], "database");
    let shown = place.ok(&["status"]);
    assert!(shown.contains("database  1/1") && shown.contains("leasehold why database"), "{shown}");
}

#[test]
fn a_view_is_shown_again_until_it_is_stopped() {
    let place = Place::new();
    place.ok(&["gcl", "create", "database", "--limit", "1"]);
    let mut watching =
        place.command(&["gcl", "ls", "--watch=50ms"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watching.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut shown = lines.filter(|line| line.starts_with("database"));
    assert_eq!(shown.by_ref().take(3).count(), 3);
    send_signal(watching.id(), "INT");
    assert_eq!(watching.wait().unwrap().code(), Some(130));
}
