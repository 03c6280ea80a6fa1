//! `leasehold gcl` and `leasehold concurrency-limit`. That they answer as Prefect's commands do is
//! tested beside these, in `tests/clients`.

use serde_json::Value;

use super::{Place, too_long};

#[test]
fn several_names_are_done_each_for_itself() {
    let place = Place::new();
    let created = place.ok(&["gcl", "create", "a", "b", "c", "--limit", "2"]);
    assert_eq!(created.lines().count(), 3, "{created}");
    let ended = place.run(&["gcl", "disable", "a", "nobody", "c"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.stdout.lines().count(), 2, "{ended:?}");
    assert!(ended.stderr.contains("Global concurrency limit 'nobody' not found."), "{ended:?}");
    let shown = place.json(&["gcl", "inspect", "a", "b"]);
    assert_eq!((&shown[0]["active"], &shown[1]["active"]), (&Value::from(false), &true.into()));
    place.ok(&["gcl", "delete", "a", "b", "c"]);
    assert_eq!(place.ok(&["gcl", "ls"]).trim(), "No global concurrency limits found.");
}

#[test]
fn lists_are_whole_however_small_the_pages_are() {
    let place = Place::with(&["--page-size", "3"]);
    let names: Vec<_> = (0..8).map(|number| format!("limit-{number}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    place.ok(&[&["gcl", "create", "--limit", "1"], &names[..]].concat());
    assert_eq!(place.json(&["gcl", "ls"]).as_array().unwrap().len(), 8);
    for tag in names {
        place.ok(&["concurrency-limit", "create", tag, "1"]);
    }
    assert_eq!(place.json(&["concurrency-limit", "ls"]).as_array().unwrap().len(), 8);
    let page = place.json(&["concurrency-limit", "ls", "--limit", "2", "--offset", "7"]);
    assert_eq!(page.as_array().unwrap().len(), 1);
}

#[test]
fn tables_fit_eighty_columns_and_a_row_in_a_pipe_is_a_line() {
    let place = Place::new();
    let long = "a-name-of-a-limit-that-is-much-longer-than-a-terminal-is-wide-".repeat(2);
    place.ok(&["gcl", "create", &long, "database", "--limit", "10"]);
    place.ok(&["concurrency-limit", "create", &long, "3"]);
    for line in ["gcl ls", "concurrency-limit ls", "status", "doctor", "why database"] {
        let shown = place.on_terminal(line, "");
        assert_eq!(shown.code, Some(0), "{shown:?}");
        assert!(too_long(&shown.stdout).is_empty(), "{line}: {}", shown.stdout);
    }
    let piped = place.ok(&["gcl", "ls"]);
    let row = piped.lines().find(|line| line.starts_with("database")).unwrap();
    let words: Vec<_> = row.split_whitespace().take(5).collect();
    assert_eq!(words, ["database", "True", "10", "0", "0.0"]);
    assert_eq!(piped.lines().count(), 4, "{piped}");
}

#[test]
fn yaml_and_json_say_the_same() {
    let place = Place::new();
    place.ok(&["gcl", "create", "a: b", "no", "--limit", "1"]);
    let yaml = place.ok(&["gcl", "ls", "--output", "YAML"]);
    let read: Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(read, place.json(&["gcl", "ls"]), "{yaml}");
}

#[test]
fn a_person_is_asked_before_a_limit_is_deleted() {
    let place = Place::new();
    place.ok(&["gcl", "create", "a", "b", "--limit", "1"]);
    place.ok(&["concurrency-limit", "create", "ocr", "1"]);
    for line in ["gcl delete a", "concurrency-limit delete ocr"] {
        for input in ["n\\n", "\\n", "", "what\\nn\\n"] {
            let kept = place.on_terminal(line, input);
            assert!(kept.stdout.contains("Are you sure you want to delete"), "{kept:?}");
            assert!(kept.stdout.contains("Deletion aborted."), "{kept:?}");
            assert_eq!(kept.code, Some(1));
        }
    }
    let deleted = place.on_terminal("gcl delete a", "y\\n");
    assert!(deleted.stdout.contains("Deleted global concurrency limit with name 'a'."));
    let unasked = place.on_terminal("--no-prompt gcl delete b", "");
    assert!(!unasked.stdout.contains("Are you sure"), "{unasked:?}");
    assert_eq!(place.json(&["gcl", "ls"])[0]["name"], "tag:ocr");
}

#[test]
fn each_failure_ends_with_1_as_with_prefect() {
    let place = Place::new();
    place.ok(&["gcl", "create", "a", "--limit", "1"]);
    for arguments in [
        &["gcl", "create", "b"][..],
        &["gcl", "create", "b", "--limit", "-1"],
        &["gcl", "create", "a", "--limit", "1"],
        &["gcl", "create", "a/b", "--limit", "1"],
        &["gcl", "update", "a", "--enable", "--disable"],
        &["gcl", "update", "a", "--slot-decay-per-second", "nan"],
        &["gcl", "ls", "--output", "xml"],
        &["gcl", "inspect", "a", "--file", "f"],
        &["global-concurrency-limit", "inspect"],
        &["concurrency-limit", "create", "a", "many"],
        &["concurrency-limit", "inspect", "nobody"],
    ] {
        let said = place.fails(1, arguments);
        assert!(said.starts_with("error: "), "{arguments:?}: {said}");
    }
    let mut nowhere = place.command(&["gcl", "ls"]);
    nowhere.env("LEASEHOLD_API_URL", "http://127.0.0.1:1/api");
    let ended = crate::server::program::run(nowhere);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("cannot reach http://127.0.0.1:1/api"), "{}", ended.stderr);
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

#[test]
fn names_of_limits_are_completed() {
    let place = Place::new();
    place.ok(&["gcl", "create", "database", "api", "--limit", "1"]);
    let script = place.ok(&["completions", "bash"]);
    let path = place.home.write("leasehold.bash", &script).display().to_string();
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_leasehold")).parent().unwrap();
    let ask = format!(
        "PATH={}:$PATH; source {path} && COMP_WORDS=(leasehold gcl inspect da) COMP_CWORD=3 && \
         _clap_complete_leasehold leasehold da inspect && echo \"${{COMPREPLY[@]}}\"",
        folder.display()
    );
    let mut bash = place.home.command("bash", ["--norc", "-c", &ask]);
    bash.env("LEASEHOLD_API_URL", place.url());
    let ended = crate::server::program::run(bash);
    assert_eq!(ended.stdout.trim(), "database", "{ended:?}");
}
