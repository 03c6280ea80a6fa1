//! `leasehold apply`, `diff` and `export`.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use super::Place;

const FILE: &str = "\
limits:
  - name: database   # as many as the pool has connections
    limit: 10
    comment: asked for by the data team
  - name: api
    limit: 100
    slot_decay_per_second: 5
  - tag: ocr
    limit: 3
";

fn write(place: &Place, name: &str, text: &str) -> String {
    place.home.write(name, text).display().to_string()
}

#[test]
fn a_file_is_planned_applied_and_applied_again() {
    let place = Place::new();
    let file = write(&place, "limits.yaml", FILE);
    let planned = place.run(&["apply", "-f", &file, "--dry-run"]);
    assert_eq!(planned.code, Some(2), "{planned:?}");
    assert!(planned.stdout.contains("3 to create"), "{planned:?}");
    assert_eq!(place.run(&["diff", "-f", &file]).code, Some(2));
    assert_eq!(place.json(&["gcl", "ls"]).as_array().unwrap().len(), 0);

    let applied = place.ok(&["apply", "-f", &file]);
    assert!(applied.contains("tag ocr: limit 3") && applied.contains("3 created"), "{applied}");
    for _ in 0..2 {
        assert!(place.ok(&["apply", "-f", &file]).contains("3 as they should be"));
        assert_eq!(place.run(&["diff", "-f", &file, "--prune"]).code, Some(0));
    }
    let changed = write(&place, "changed.yaml", &FILE.replace("limit: 10\n", "limit: 12\n"));
    let applied = place.ok(&["apply", "-f", &changed]);
    assert!(applied.contains("database: limit 10 → 12"), "{applied}");
    assert_eq!(place.json(&["gcl", "inspect", "database"])["limit"], 12);
}

#[test]
fn what_is_held_is_never_touched() {
    let place = Place::new();
    place.ok(&["gcl", "create", "held", "free", "kind", "--limit", "4"]);
    place.acquire("held", 3, "web-1");
    place.acquire("kind", 1, "web-1");
    let file = write(
        &place,
        "limits.yaml",
        "limits:\n- {name: kind, limit: 4, slot_decay_per_second: 1}\n",
    );
    let kept = place.run(&["apply", "-f", &file, "--prune"]);
    assert_eq!(kept.code, Some(1), "{kept:?}");
    assert!(kept.stdout.contains("held: 3 slots are held"), "{kept:?}");
    assert!(kept.stdout.contains("1 deleted") && kept.stdout.contains("2 kept"), "{kept:?}");
    let lower = write(&place, "lower.yaml", "limits:\n- {name: held, limit: 1}\n");
    assert!(place.ok(&["apply", "-f", &lower]).contains("3 slots stay held"));
    let held = place.json(&["gcl", "inspect", "held"]);
    assert_eq!((&held["limit"], &held["active_slots"]), (&Value::from(1), &Value::from(3)));
    assert_eq!(place.json(&["leases", "ls"]).as_array().unwrap().len(), 2);
}

#[test]
fn folders_the_standard_input_and_exports_are_read() {
    let place = Place::new();
    fs::create_dir_all(place.home.path("limits/more")).unwrap();
    write(&place, "limits/a.yaml", FILE);
    write(&place, "limits/more/b.json", r#"{"limits": [{"name": "gpu", "limit": 2}]}"#);
    write(&place, "limits/README.md", "no limits");
    let folder = place.home.path("limits").display().to_string();
    assert!(place.ok(&["apply", "-f", &folder]).contains("4 created"));

    let exported = place.ok(&["export"]);
    let other = Place::new();
    write(&other, "exported.yaml", &exported);
    let input = fs::File::open(other.home.path("exported.yaml")).unwrap();
    let mut command = other.command(&["apply", "-f", "-"]);
    let applied = command.stdin(Stdio::from(input)).output().unwrap();
    assert!(applied.status.success(), "{applied:?}");
    assert_eq!(other.ok(&["export"]), exported);
    assert_eq!(other.json(&["gcl", "inspect", "api"])["slot_decay_per_second"], 5.0);
}

#[test]
fn a_wrong_file_is_named_with_what_is_wrong() {
    let place = Place::new();
    for (text, words) in [
        ("limits:\n- {name: a, limt: 1}\n", "limt"),
        ("limits:\n- {name: a}\n", "limit"),
        ("limits: 5\n", "wrong.yaml"),
        ("limits:\n- {name: a, limit: 1}\n- {name: a, limit: 2}\n", "twice"),
    ] {
        let file = write(&place, "wrong.yaml", text);
        let said = place.fails(65, &["apply", "-f", &file]);
        assert!(said.contains("wrong.yaml") && said.contains(words), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    assert!(place.fails(74, &["apply", "-f", "nowhere.yaml"]).contains("nowhere.yaml"));
    assert_eq!(place.json(&["gcl", "ls"]).as_array().unwrap().len(), 0);
}

#[test]
fn the_schema_allows_what_is_read() {
    let place = Place::new();
    let schema: Value = serde_json::from_str(&place.ok(&["apply", "--schema"])).unwrap();
    let entry = &schema["$defs"]["Entry"];
    assert_eq!(entry["additionalProperties"], false, "{schema:#}");
    assert!(entry["properties"]["slot_decay_per_second"].is_object(), "{schema:#}");
    assert_eq!(entry["required"], serde_json::json!(["limit"]), "{schema:#}");
}
