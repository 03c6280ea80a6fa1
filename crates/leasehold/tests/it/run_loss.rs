//! `leasehold run` whose lock is lost, or whose parts are killed: nothing that it started outlives
//! the lock.

use std::path::Path;
use std::time::Duration;

use redis::Commands;

use crate::program::{leasehold, output, spawn, stderr};
use crate::run::{child_named, exists};
use crate::support::{RedisServer, send_signal, wait_for};

/// A command that touches a file as long as it runs, in a session of its own.
fn in_a_session_of_its_own(alive: &Path) -> String {
    let alive = alive.display();
    format!("(setsid sh -c 'while :; do touch {alive}; sleep 0.02; done' >/dev/null 2>&1 &)")
}

fn wait_until_it_is_gone(alive: &Path) {
    wait_for("the process to end", || {
        let _ = std::fs::remove_file(alive);
        std::thread::sleep(Duration::from_millis(150));
        !exists(alive)
    });
}

#[test]
fn a_command_that_is_stopped_because_redis_is_gone_ends_with_79_and_says_why() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let server = RedisServer::start();
                let dir = tempfile::tempdir().unwrap();
                let ready = dir.path().join("ready");
                let script = format!(
                    "trap 'exit 0' TERM; touch {}; while :; do sleep 0.02; done",
                    ready.display()
                );
                let args = ["run", "--lock", "a", "--ttl", "3s", "--", "sh", "-c", &script];
                let run = spawn(&server, &args);
                wait_for("the command", || exists(&ready));
                server.signal("KILL");
                let ended = run.wait_with_output().unwrap();
                let told = stderr(&ended);
                assert_eq!(ended.status.code(), Some(79), "{told}");
                assert!(told.contains("could not be renewed in time"), "{told}");
                assert!(told.contains("Connection refused"), "{told}");
            });
        }
    });
}

#[test]
fn a_lock_that_was_taken_away_before_the_command_ended_well_is_79() {
    let server = RedisServer::start();
    let script = format!("redis-cli -p {} del t:lockv2:a", server.port);
    let ended = output(&server, &["run", "--lock", "a", "--", "sh", "-c", &script]);
    assert_eq!(ended.status.code(), Some(79), "{}", stderr(&ended));
    assert!(stderr(&ended).contains("was lost"), "{}", stderr(&ended));
}

#[test]
fn what_has_left_for_a_session_of_its_own_is_ended_before_the_lock_is_given_back() {
    let server = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    let alive = dir.path().join("alive");
    let script = format!(
        "{}; while [ ! -e {} ]; do sleep 0.01; done; exit 3",
        in_a_session_of_its_own(&alive),
        alive.display()
    );
    let ended = output(&server, &["run", "--lock", "a", "--", "sh", "-c", &script]);
    assert_eq!(ended.status.code(), Some(3), "{}", stderr(&ended));
    assert!(stderr(&ended).contains("left processes behind"), "{}", stderr(&ended));
    std::fs::remove_file(&alive).unwrap();
    std::thread::sleep(Duration::from_millis(150));
    assert!(!exists(&alive), "it lives on");
}

#[test]
fn what_has_left_for_a_session_of_its_own_ends_when_leasehold_is_killed() {
    let server = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    let alive = dir.path().join("alive");
    let script = format!("{}; sleep 120", in_a_session_of_its_own(&alive));
    let mut run =
        spawn(&server, &["run", "--lock", "a", "--grace", "100ms", "--", "sh", "-c", &script]);
    wait_for("the process", || exists(&alive));
    run.kill().unwrap();
    run.wait().unwrap();
    wait_until_it_is_gone(&alive);
}

#[test]
fn a_killed_warden_is_replaced_and_its_successor_does_its_work() {
    let server = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    let alive = dir.path().join("alive");
    let script = format!("while :; do touch {}; sleep 0.02; done", alive.display());
    let mut run =
        spawn(&server, &["run", "--lock", "a", "--grace", "100ms", "--", "sh", "-c", &script]);
    wait_for("the command", || exists(&alive));
    let first = child_named(run.id(), "warden");
    send_signal(first, "KILL");
    wait_for("another warden", || child_named(run.id(), "warden") != first);
    run.kill().unwrap();
    let told = run.wait_with_output().unwrap();
    assert!(stderr(&told).contains("another one watches"), "{}", stderr(&told));
    wait_until_it_is_gone(&alive);
}

#[test]
fn processes_that_were_there_before_the_command_are_left_alone() {
    let server = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    let alive = dir.path().join("alive");
    let script = format!(
        "(while :; do touch {}; sleep 0.02; done) >/dev/null 2>&1 & echo $!; exec {} run --lock a -- true",
        alive.display(),
        env!("CARGO_BIN_EXE_leasehold")
    );
    let mut shell = std::process::Command::new("sh");
    let ended = shell.args(["-c", &script]).env("LEASEHOLD_REDIS", server.url()).output().unwrap();
    assert!(ended.status.success(), "{}", stderr(&ended));
    let _ = std::fs::remove_file(&alive);
    wait_for("the process of before", || exists(&alive));
    let id = String::from_utf8_lossy(&ended.stdout).trim().parse().unwrap();
    send_signal(id, "KILL");
}

#[test]
fn a_ttl_that_is_too_long_or_too_short_is_refused_with_the_bounds() {
    let server = RedisServer::start();
    for ttl in ["100000d", "366d", "0.01", "0"] {
        let args = ["run", "--lock", "a", "--ttl", ttl, "--", "true"];
        let refused = leasehold(&server, &args).output().unwrap();
        let told = stderr(&refused);
        assert_eq!(refused.status.code(), Some(64), "{ttl}: {told}");
        assert!(told.contains("from 50ms to 365d"), "{told}");
    }
    let keys: Vec<String> = server.raw().keys("t:lock*").unwrap();
    assert!(keys.is_empty(), "{keys:?}");
}
