//! `leasehold leases`, `waiters` and `events`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::thread;

use serde_json::{Value, json};

use super::Place;
use crate::server::program::eventually;

#[test]
fn a_lease_is_listed_shown_and_revoked_by_the_beginning_of_its_id() {
    let place = Place::new();
    place.ok(&["gcl", "create", "database", "gpu", "--limit", "4"]);
    let lease = place.acquire("database", 2, "web-1:4242");
    place.acquire("gpu", 1, "web-2:1");
    let id = lease["id"].as_str().unwrap();

    let table = place.ok(&["leases", "ls"]);
    let row = table.lines().find(|line| line.starts_with(&id[..8])).unwrap();
    assert!(row.contains("database ×2") && row.contains("process web-1:4242"), "{table}");
    assert_eq!(place.json(&["leases", "ls", "gpu"]).as_array().unwrap().len(), 1);
    assert_eq!(place.json(&["leases", "ls", "--holder", "web-2:1"]).as_array().unwrap().len(), 1);
    assert_eq!(place.json(&["leases", "inspect", &id[..8]])["id"], id);
    assert!(place.ok(&["leases", "inspect", id]).contains("team: data"));

    let done = place.ok(&["leases", "revoke", &id[..8], "--reason", "its host is gone"]);
    assert!(done.contains(id), "{done}");
    let gone = place.fails(1, &["leases", "revoke", id]);
    assert!(gone.contains("its host is gone") && gone.contains("anna@"), "{gone}");
    assert!(place.fails(1, &["leases", "inspect", "zzzz"]).contains("no id of a lease"));
    assert!(place.fails(1, &["leases", "ls", "nobody"]).starts_with("error: nobody: "));

    let events = place.ok(&["events", "database", "--since", "1h"]);
    assert!(events.contains("lease.granted") && events.contains("process web-1:4242"), "{events}");
    assert!(events.contains("by anna@") && events.contains("its host is gone"), "{events}");
}

#[test]
fn a_person_is_asked_before_a_lease_is_revoked() {
    let place = Place::new();
    place.ok(&["gcl", "create", "database", "--limit", "1"]);
    let lease = place.acquire("database", 1, "web-1");
    let line = format!("leases revoke {}", lease["id"].as_str().unwrap());
    let kept = place.on_terminal(&line, "n\\n");
    assert!(kept.stdout.contains("Take database away from process web-1?"), "{kept:?}");
    assert_eq!(kept.code, Some(1));
    assert_eq!(place.on_terminal(&line, "y\\n").code, Some(0));
    assert_eq!(place.ok(&["leases", "ls"]).trim(), "No leases found.");
}

#[test]
fn waiters_are_listed_in_their_order() {
    let place = Place::new();
    place.ok(&["gcl", "create", "database", "--limit", "1"]);
    place.acquire("database", 1, "web-1");
    let mut waiting = place.client();
    let request = thread::spawn(move || {
        let body = json!({
            "limits": [{"name": "database"}], "wait_seconds": 60, "priority": 5,
            "holder": {"kind": "process", "id": "web-2"},
        });
        waiting.post("/api/leases", &body).status
    });
    eventually("it waits", || {
        let waiters = place.json(&["waiters"]);
        (waiters.as_array().unwrap().len() == 1).then_some(())
    });
    let table = place.ok(&["waiters", "database"]);
    assert!(table.contains("process web-2") && table.contains('5'), "{table}");
    let why = place.ok(&["why", "database"]);
    assert!(why.contains("1. process web-2 wants 1 slot"), "{why}");
    let id = place.json(&["leases", "ls"])[0]["id"].as_str().unwrap().to_owned();
    place.ok(&["leases", "revoke", &id]);
    assert_eq!(request.join().unwrap(), 201);
}

#[test]
fn events_are_followed_a_line_each() {
    let place = Place::new();
    let mut follower = place
        .command(&["events", "--follow", "--output", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    // What happens before it listens is not followed.
    let reader = thread::spawn(move || lines.next().unwrap().unwrap());
    let mut number = 0;
    eventually("it tells an event", || {
        number += 1;
        place.ok(&["gcl", "create", &format!("limit-{number}"), "--limit", "1"]);
        reader.is_finished().then_some(())
    });
    let event: Value = serde_json::from_str(&reader.join().unwrap()).unwrap();
    assert!(event["kind"].as_str().unwrap().contains("created"), "{event}");
    follower.kill().unwrap();
    follower.wait().unwrap();
}
