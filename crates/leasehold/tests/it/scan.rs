//! `leasehold redis-scan`: the flags and the log of the script that it replaces.

use std::collections::BTreeSet;
use std::path::Path;

use redis::Commands;

use crate::program::{leasehold, ok, output, spawn, stderr};
use crate::support::{RedisServer, now_ms, send_signal, wait_for};

/// The lines of a log; `b` has 1,000 s at first, and what has passed of them since is put back.
fn lines(path: &Path) -> BTreeSet<String> {
    let as_at_first = |line: &str| {
        let Some(rest) = line.strip_prefix("t:lock:b string ") else { return line.to_owned() };
        let (ttl, rest) = rest.split_once(' ').unwrap();
        let left: u64 = ttl.parse().unwrap();
        assert!((940..=1_000).contains(&left), "{line}");
        format!("t:lock:b string 1000 {rest}")
    };
    std::fs::read_to_string(path).unwrap().lines().map(as_at_first).collect()
}

fn fill(server: &RedisServer) -> redis::Connection {
    let mut raw = server.raw();
    let _: () = raw.set("t:lock:a", "x").unwrap();
    let _: () = raw.set_ex("t:lock:b", "four", 1_000).unwrap();
    let _: () = raw.hset("t:hash", "f", "v").unwrap();
    let _: () = raw.zadd("t:zset", "m", 1).unwrap();
    let _: () = raw.sadd("t:set", &["a", "b"]).unwrap();
    let _: () = raw.rpush("t:list", &["a", "b", "c"]).unwrap();
    let _: () =
        redis::cmd("XADD").arg("t:stream").arg("*").arg("f").arg("v").query(&mut raw).unwrap();
    let _: () = raw.set(&b"t:\xff\n b"[..], "x").unwrap();
    raw
}

#[test]
fn lines_are_those_that_the_script_meant() {
    let server = RedisServer::start();
    let _raw = fill(&server);
    let dir = tempfile::tempdir().unwrap();
    let port = server.port.to_string();
    let scan =
        leasehold(&server, &["redis-scan", "--host", "127.0.0.1", "--port", &port, "--print"])
            .current_dir(dir.path())
            .output()
            .unwrap();
    let log = dir.path().join("redis-stats.log");
    let seen = lines(&log);
    let expected = [
        "t:hash hash -1 None 1",
        "t:list list -1 None 3",
        "t:lock:a string -1 None 1",
        "t:lock:b string 1000 None 4",
        "t:set set -1 None 2",
        "t:stream stream -1 None 1",
        "t:zset zset -1 None 1",
        r"t:\xff\x0a b string -1 None 1",
    ];
    assert_eq!(seen, expected.map(str::to_owned).into_iter().collect());
    let printed = String::from_utf8_lossy(&scan.stdout).into_owned();
    let written = std::fs::read_to_string(&log).unwrap();
    assert!(written.lines().all(|line| printed.contains(line)), "{printed}");
    assert!(printed.contains("8 keys"), "{printed}");
}

#[test]
fn ttls_are_set_taken_and_put_back() {
    let server = RedisServer::start();
    let mut raw = fill(&server);
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let path = log.display().to_string();
    let scan = |more: &[&str]| {
        let args = ["redis-scan", "--file", &path, "--delay", "0"];
        ok(&server, &[&args[..], more].concat())
    };
    scan(&["--match", "t:lock:*", "--ttl", "300", "--dry-run"]);
    assert_eq!(raw.ttl::<_, i64>("t:lock:a").unwrap(), -1);
    scan(&["--match", "t:lock:*", "--ttl", "300"]);
    assert_eq!(
        lines(&log),
        ["t:lock:a string -1 300 1", "t:lock:b string 1000 None 4"].map(str::to_owned).into()
    );
    let given = raw.ttl::<_, i64>("t:lock:a").unwrap();
    assert!((240..=300).contains(&given), "{given}");
    scan(&["--undo", &path]);
    assert_eq!(raw.ttl::<_, i64>("t:lock:a").unwrap(), -1);
    let again = raw.ttl::<_, i64>("t:lock:b").unwrap();
    assert!((940..=1_000).contains(&again), "{again}");

    let deadline: i64 = redis::cmd("PEXPIRETIME").arg("t:lock:b").query(&mut raw).unwrap();
    let began_ms = now_ms(&mut raw);
    scan(&["--match", "*", "--ttl", "-1"]);
    let took_ms = now_ms(&mut raw) - began_ms;
    assert_eq!(raw.ttl::<_, i64>("t:lock:b").unwrap(), -1);
    scan(&["--undo", &path]);
    let again: i64 = redis::cmd("PEXPIRETIME").arg("t:lock:b").query(&mut raw).unwrap();
    // What is left of a key's time is asked a moment after the time itself.
    assert!((deadline - took_ms..=deadline + 2).contains(&again), "{again} {deadline} {took_ms}");
    assert_eq!(raw.ttl::<_, i64>("t:lock:a").unwrap(), -1);
}

#[test]
fn logs_of_the_python_script_can_be_undone() {
    let server = RedisServer::start();
    let mut raw = server.raw();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let _: () = raw.set_ex("t:lock:a", "x", 300).unwrap();
    std::fs::write(&log, "b't:lock:a' b'string' -1 300 -1\n").unwrap();
    ok(&server, &["redis-scan", "--undo", &log.display().to_string()]);
    assert_eq!(raw.ttl::<_, i64>("t:lock:a").unwrap(), -1);
}

#[test]
fn ttl_without_match_is_refused() {
    let server = RedisServer::start();
    let refused = output(&server, &["redis-scan", "--ttl", "300"]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(stderr(&refused).contains("--match"), "{}", stderr(&refused));
}

#[test]
fn ctrl_c_leaves_a_log_that_undo_accepts() {
    let server = RedisServer::start();
    let mut raw = server.raw();
    for number in 0..500 {
        let _: () = raw.set(format!("t:lock:{number}"), "x").unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let path = log.display().to_string();
    let args = [
        "redis-scan",
        "--file",
        &path,
        "--match",
        "t:lock:*",
        "--ttl",
        "900",
        "--count",
        "10",
        "--delay",
        "0.5",
    ];
    let scan = spawn(&server, &args);
    wait_for("some lines", || log.exists() && std::fs::metadata(&log).unwrap().len() > 0);
    send_signal(scan.id(), "INT");
    let ended = scan.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", stderr(&ended));
    let changed = (0..500)
        .filter(|number| raw.ttl::<_, i64>(format!("t:lock:{number}")).unwrap() > 0)
        .count();
    assert!((1..500).contains(&changed), "{changed}");
    assert_eq!(lines(&log).len(), changed);
    ok(&server, &["redis-scan", "--undo", &path]);
    assert!((0..500).all(|number| raw.ttl::<_, i64>(format!("t:lock:{number}")).unwrap() == -1));
}
