//! `leasehold locks --json` for programs: an object in every case, points in time and lengths in
//! one form.

use std::process::Output;

use redis::Commands;
use serde_json::Value;

use crate::program::{leasehold, ok, output, spawn, stderr};
use crate::support::{RedisServer, send_signal, wait_for};

fn object(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_failure_is_an_object_too_with_what_is_in_the_way() {
    let server = RedisServer::start();
    let mut raw = server.raw();
    ok(&server, &["locks", "rollback", "--downtime"]);
    let run = spawn(&server, &["run", "--lock", "a", "--", "sleep", "60"]);
    wait_for("the lock", || raw.exists("t:lock:a").unwrap());
    let args = ["locks", "advance", "--downtime", "--wait", "0", "--json"];
    let refused = output(&server, &args);
    assert_eq!(refused.status.code(), Some(1));
    let answer = object(&refused);
    assert_eq!((&answer["from"], &answer["phase"]), (&Value::from("old"), &Value::from("old")));
    assert_eq!(answer["exit_code"], 1);
    assert_eq!(answer["verdict"]["verdict"], "blocked");
    assert!(answer["verdict"]["until"].as_str().unwrap().ends_with('Z'), "{answer}");
    let error = answer["error"].as_str().unwrap();
    assert!(error.contains("the phase was not changed"), "{error}");
    assert_eq!(stderr(&refused).trim_end().rsplit('\n').next(), Some(&*format!("error: {error}")));
    send_signal(run.id(), "TERM");
    run.wait_with_output().unwrap();
}

#[test]
fn a_redis_that_cannot_be_reached_is_an_object_too() {
    let server = RedisServer::start();
    let url = "redis://127.0.0.1:1";
    for args in [
        &["locks", "status", "--redis", url, "--json"][..],
        &["locks", "advance", "--redis", url, "--json"],
        &["locks", "rollback", "--redis", url, "--json"],
        &["locks", "cleanup", "--redis", url, "--json"],
        &["redis-scan", "--url", url, "--json"],
    ] {
        let failed = leasehold(&server, args).output().unwrap();
        assert_eq!(failed.status.code(), Some(69), "{args:?}: {}", stderr(&failed));
        let answer = object(&failed);
        assert_eq!(answer["exit_code"], 69);
        assert!(answer["error"].as_str().unwrap().contains("cannot be reached"), "{answer}");
    }
}

/// The names of all fields, wherever they stand.
fn fields(value: &Value, found: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                found.push((name.clone(), value.clone()));
                fields(value, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, found)),
        _ => {}
    }
}

#[test]
fn points_in_time_are_rfc_3339_and_lengths_are_seconds() {
    let server = RedisServer::start();
    let mut raw = server.raw();
    ok(&server, &["locks", "rollback", "--downtime"]);
    let run = spawn(&server, &["run", "--lock", "a", "--ttl", "90s", "--", "sleep", "60"]);
    wait_for("the lock", || raw.exists("t:lock:a").unwrap());
    let _: () = raw.set("t:lock:dead", "1000.5").unwrap();
    let _: () = raw.zadd("t:qslock:q", "w", 4_000_000_000_u64).unwrap();
    let status: Value = serde_json::from_str(&ok(&server, &["locks", "status", "--json"])).unwrap();
    let mut found = Vec::new();
    fields(&status, &mut found);
    let mut points = 0;
    for (name, value) in &found {
        assert!(!name.ends_with("_ms"), "{name}");
        if matches!(
            name.as_str(),
            "at" | "until" | "last_ran_out" | "last_live_old_until" | "changed_at"
        ) && !value.is_null()
        {
            let text = value.as_str().unwrap_or_else(|| panic!("{name}: {value}"));
            let _: jiff::Timestamp = text.parse().unwrap();
            points += 1;
        }
    }
    assert!(points >= 5, "{status}");
    assert_eq!(status["census"]["old"]["last_ran_out"], "1970-01-01T00:16:40.500Z");
    assert_eq!(status["processes"][0]["longest_ttl_seconds"], 90.0);
    send_signal(run.id(), "TERM");
    run.wait_with_output().unwrap();
}

#[test]
fn the_last_phase_has_a_next_step_of_its_own() {
    let server = RedisServer::start();
    let mut raw = server.raw();
    ok(&server, &["locks", "rollback", "--to", "old", "--downtime"]);
    ok(&server, &["locks", "advance", "--to", "token", "--downtime"]);
    let next = || {
        let status: Value =
            serde_json::from_str(&ok(&server, &["locks", "status", "--json"])).unwrap();
        status["next"].as_str().unwrap().to_owned()
    };
    assert_eq!(next(), "nothing is left to do");
    let _: () = raw.set("t:lock:dead", "1000").unwrap();
    assert!(next().contains("locks cleanup"), "{}", next());
    let _: () = raw.set("t:lock:live", "4000000000").unwrap();
    assert!(next().contains("stop the workers with old locks"), "{}", next());
}

#[test]
fn a_ttl_is_written_alike_everywhere() {
    let server = RedisServer::start();
    let mut raw = server.raw();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log").display().to_string();
    for (key, ttl, seconds) in [("dead", "10m", 600), ("dead2", "60s", 60), ("dead3", "90", 90)] {
        let key = format!("t:lock:{key}");
        let _: () = raw.set(&key, "1000").unwrap();
        ok(&server, &["locks", "cleanup", "--ttl", ttl, "--file", &log]);
        let given: i64 = raw.ttl(&key).unwrap();
        assert!((seconds - 30..=seconds).contains(&given), "{ttl}: {given}");
    }
    let _: () = raw.set("x", "1").unwrap();
    ok(&server, &["redis-scan", "--match", "x", "--ttl", "2m", "--file", &log]);
    let given: i64 = raw.ttl("x").unwrap();
    assert!((90..=120).contains(&given), "{given}");
    ok(&server, &["run", "--lock", "a", "--ttl", "2m", "--", "true"]);
    for args in [
        &["locks", "cleanup", "--ttl", "0"][..],
        &["redis-scan", "--match", "x", "--ttl", "0"],
        &["locks", "cleanup", "--ttl", "100000d"],
    ] {
        let refused = output(&server, args);
        assert_eq!(refused.status.code(), Some(64), "{args:?}");
        assert!(stderr(&refused).contains("from 1s to 365d"), "{}", stderr(&refused));
    }
}

#[test]
fn every_help_lists_the_exit_codes_within_80_columns() {
    let server = RedisServer::start();
    for command in [
        &["run"][..],
        &["locks", "status"],
        &["locks", "advance"],
        &["locks", "rollback"],
        &["locks", "cleanup"],
        &["redis-scan"],
        &["completions"],
        &["server", "start"],
    ] {
        let help = ok(&server, &[command, &["--help"]].concat());
        assert!(help.contains("Exit codes:\n"), "{command:?}");
        assert!(help.contains(" 64  the command line is wrong"), "{command:?}");
        let long: Vec<_> = help.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{command:?}: {long:?}");
    }
}
