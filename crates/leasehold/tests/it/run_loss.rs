//! `leasehold run` whose lock is lost, or whose parts are killed: no process that it started
//! outlives the lock.

use redis::Commands;

use crate::alive::{Alive, child_named};
use crate::program::{leasehold, output, spawn, stderr};
use crate::support::{RedisServer, send_signal, wait_for};

#[test]
fn a_command_that_is_stopped_because_redis_is_gone_ends_with_79_and_says_why() {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let server = RedisServer::start();
                let ready = Alive::new();
                let script =
                    format!("trap 'exit 0' TERM; {}; while :; do sleep 0.02; done", ready.touch());
                let args = ["run", "--lock", "a", "--ttl", "3s", "--", "sh", "-c", &script];
                let run = spawn(&server, &args);
                ready.wait_for_start();
                server.signal("KILL");
                let ended = run.wait_with_output().unwrap();
                let text = stderr(&ended);
                assert_eq!(ended.status.code(), Some(79), "{text}");
                assert!(text.contains("could not be renewed in time"), "{text}");
                assert!(text.contains("Connection refused"), "{text}");
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
fn a_process_in_a_session_of_its_own_is_ended_before_the_release() {
    let server = RedisServer::start();
    let alive = Alive::new();
    let script = format!("{}; {}; exit 3", alive.in_its_own_session(), alive.wait());
    let ended = output(&server, &["run", "--lock", "a", "--", "sh", "-c", &script]);
    assert_eq!(ended.status.code(), Some(3), "{}", stderr(&ended));
    assert!(stderr(&ended).contains("left processes behind"), "{}", stderr(&ended));
    assert!(alive.is_over(), "it lives on");
}

#[test]
fn a_process_in_a_session_of_its_own_ends_when_leasehold_is_killed() {
    let server = RedisServer::start();
    let alive = Alive::new();
    let script = format!("{}; sleep 120", alive.in_its_own_session());
    let mut run =
        spawn(&server, &["run", "--lock", "a", "--grace", "100ms", "--", "sh", "-c", &script]);
    alive.wait_for_start();
    run.kill().unwrap();
    run.wait().unwrap();
    alive.wait_for_end();
}

#[test]
fn a_killed_warden_is_replaced_and_its_successor_does_its_work() {
    let server = RedisServer::start();
    let alive = Alive::new();
    let script = alive.forever();
    let mut run =
        spawn(&server, &["run", "--lock", "a", "--grace", "100ms", "--", "sh", "-c", &script]);
    alive.wait_for_start();
    let first = child_named(run.id(), "warden");
    send_signal(first, "KILL");
    wait_for("another warden", || child_named(run.id(), "warden") != first);
    run.kill().unwrap();
    let ended = run.wait_with_output().unwrap();
    assert!(stderr(&ended).contains("another one watches"), "{}", stderr(&ended));
    alive.wait_for_end();
}

#[test]
fn processes_that_were_there_before_the_command_are_left_alone() {
    let server = RedisServer::start();
    let alive = Alive::new();
    let script = format!(
        "({}) >/dev/null 2>&1 & echo $!; exec {} run --lock a -- true",
        alive.forever(),
        env!("CARGO_BIN_EXE_leasehold")
    );
    let mut shell = std::process::Command::new("sh");
    let ended = shell.args(["-c", &script]).env("LEASEHOLD_REDIS", server.url()).output().unwrap();
    assert!(ended.status.success(), "{}", stderr(&ended));
    alive.remove();
    alive.wait_for_start();
    let id = String::from_utf8_lossy(&ended.stdout).trim().parse().unwrap();
    send_signal(id, "KILL");
}

#[test]
fn a_ttl_that_is_too_long_or_too_short_is_refused_with_the_bounds() {
    let server = RedisServer::start();
    for ttl in ["100000d", "366d", "0.01", "0"] {
        let args = ["run", "--lock", "a", "--ttl", ttl, "--", "true"];
        let refused = leasehold(&server, &args).output().unwrap();
        let text = stderr(&refused);
        assert_eq!(refused.status.code(), Some(64), "{ttl}: {text}");
        assert!(text.contains("from 50ms to 365d"), "{text}");
    }
    let keys: Vec<String> = server.raw().keys("t:lock*").unwrap();
    assert!(keys.is_empty(), "{keys:?}");
}
