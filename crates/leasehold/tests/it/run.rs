//! `leasehold run`: under the lock from the first to the last moment, or not at all.

use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use redis::Commands;

use crate::alive::{Alive, child_named};
use crate::program::{leasehold, ok, output, spawn, stderr};
use crate::support::{RedisServer, send_signal, wait_for};

#[test]
fn the_exit_code_is_the_commands_and_the_lock_is_released() {
    let server = RedisServer::start();
    let mut raw = server.raw();
    for (mechanism, keys) in [("old", 1), ("dual", 2), ("token", 1)] {
        let script = format!(
            r"test $(redis-cli -p {} --raw keys 't:lock*:a' | wc -l) = {keys} && exit 7",
            server.port
        );
        let args = ["run", "--lock", "a", "--mechanism", mechanism, "--", "sh", "-c", &script];
        assert_eq!(output(&server, &args).status.code(), Some(7), "{mechanism}");
        assert!(raw.keys::<_, Vec<String>>("t:lock*").unwrap().is_empty());
    }
    assert_eq!(
        output(&server, &["run", "--lock", "a", "--", "sh", "-c", "kill -9 $$"]).status.code(),
        Some(137)
    );
}

#[test]
fn failures_have_codes_and_messages_of_their_own() {
    let server = RedisServer::with_options(&["--requirepass", "secret"]);
    let run = |url: &str, command: &str| {
        let output = leasehold(&server, &["run", "--redis", url, "--lock", "a", "--", command])
            .output()
            .unwrap();
        (output.status.code(), stderr(&output))
    };
    let port = server.port;
    let (code, text) = run(&format!("redis://:secret@127.0.0.1:{port}"), "no-such-command");
    assert!(code == Some(127) && text.contains("no-such-command"), "{text}");
    let (code, text) = run(&format!("redis://:secret@127.0.0.1:{port}"), "/dev/null");
    assert!(code == Some(126), "{text}");
    let (code, text) = run(&format!("redis://:wrong@127.0.0.1:{port}"), "true");
    assert!(
        code == Some(77) && text.contains("refused the login") && !text.contains("wrong@"),
        "{text}"
    );
    let (code, text) = run(&format!("redis://127.0.0.1:{port}"), "true");
    assert!(code == Some(77), "{text}");
    let (code, text) = run("redis://127.0.0.1:1", "true");
    assert!(code == Some(69) && text.contains("cannot be reached"), "{text}");
    let (code, text) = run("localhost", "true");
    assert!(code == Some(64) && text.contains("redis://"), "{text}");
}

#[test]
fn not_getting_the_lock_in_time_is_75() {
    let server = RedisServer::start();
    let mut holder = spawn(&server, &["run", "--lock", "a", "--", "sleep", "60"]);
    let mut raw = server.raw();
    wait_for("the lock", || raw.exists("t:lockv2:a").unwrap());
    for wait in ["0", "300ms"] {
        let started = Instant::now();
        let output = output(&server, &["run", "--lock", "a", "--wait", wait, "--", "true"]);
        assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
        assert!(started.elapsed() < Duration::from_secs(30), "it does not wait for the holder");
    }
    send_signal(holder.id(), "TERM");
    assert_eq!(holder.wait().unwrap().code(), Some(143));
    ok(&server, &["run", "--lock", "a", "--wait", "0", "--", "true"]);
}

#[test]
fn signals_pass_through() {
    let server = RedisServer::start();
    let ready = Alive::new();
    for (signal, code) in [("TERM", 11), ("INT", 12), ("HUP", 13), ("USR1", 14)] {
        let touch = ready.touch();
        let script = format!("trap 'exit {code}' {signal}; {touch}; while :; do sleep 0.02; done");
        let mut run = spawn(&server, &["run", "--lock", "a", "--", "sh", "-c", &script]);
        ready.wait_for_start();
        send_signal(run.id(), signal);
        assert_eq!(run.wait().unwrap().code(), Some(code), "{signal}");
        ready.remove();
    }
}

#[test]
fn d29_no_command_starts_after_a_signal_to_stop() {
    let server = RedisServer::start();
    let started = Alive::new();
    let mut holder = spawn(&server, &["run", "--lock", "a", "--", "sleep", "60"]);
    let mut raw = server.raw();
    wait_for("the lock", || raw.exists("t:lockv2:a").unwrap());
    let mut waiting = spawn(&server, &["run", "--lock", "a", "--", "sh", "-c", &started.touch()]);
    // Its first heartbeat comes before its first attempt.
    wait_for("the second", || raw.hlen::<_, u32>("t:leasehold:processes").unwrap() == 2);
    send_signal(waiting.id(), "TERM");
    assert_eq!(waiting.wait().unwrap().code(), Some(143));
    send_signal(holder.id(), "TERM");
    holder.wait().unwrap();
    assert!(!started.exists());
}

#[test]
fn d29_lost_locks_end_the_command_and_what_it_started() {
    let server = RedisServer::start();
    let alive = Alive::new();
    let script = format!("trap '' TERM; (trap '' TERM; {}) & wait; wait", alive.forever());
    let args = ["run", "--lock", "a", "--ttl", "6s", "--grace", "200ms", "--", "sh", "-c", &script];
    let run = spawn(&server, &args);
    alive.wait_for_start();
    let mut raw = server.raw();
    let _: () = raw.del("t:lockv2:a").unwrap();
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(79), "{}", stderr(&output));
    assert!(stderr(&output).contains("ended without its lock, with 137"), "{}", stderr(&output));
    assert!(stderr(&output).contains("is lost"), "{}", stderr(&output));
    assert!(alive.is_over(), "the command's child lives on");
}

#[test]
fn d29_a_command_that_ends_well_without_its_lock_has_a_code_of_its_own() {
    let server = RedisServer::start();
    let script = format!(
        "trap 'exit 0' TERM; redis-cli -p {} del t:lockv2:a; while :; do sleep 0.02; done",
        server.port
    );
    let args = ["run", "--lock", "a", "--ttl", "6s", "--", "sh", "-c", &script];
    assert_eq!(output(&server, &args).status.code(), Some(79));
}

/// The command notes the time while it lives; no other holder can have the lock before the last
/// note.
#[test]
fn a_command_is_dead_before_another_holder_can_have_the_lock() {
    std::thread::scope(|scope| {
        for victim in ["redis", "leasehold"] {
            scope.spawn(move || check_is_dead_in_time(victim));
        }
    });
}

fn check_is_dead_in_time(victim: &str) {
    let server = RedisServer::start();
    let alive = Alive::new();
    let script = format!("trap '' TERM; {}", alive.forever());
    // Of this ttl a second is left when the command is killed: for so long the machine may stand
    // still.
    let args =
        ["run", "--lock", "a", "--ttl", "10s", "--grace", "200ms", "--", "sh", "-c", &script];
    let mut run = spawn(&server, &args);
    alive.wait_for_start();
    let mut raw = server.raw();
    let free_at_ms: u64 = raw.pexpire_time("t:lockv2:a").unwrap();
    let free_at = SystemTime::UNIX_EPOCH + Duration::from_millis(free_at_ms);
    if victim == "redis" {
        server.signal("STOP");
    } else {
        send_signal(run.id(), "STOP");
    }
    // Renewals that were on their way can only have made it later.
    wait_for("the lock to expire", || SystemTime::now() > free_at + Duration::from_millis(200));
    let last_seen = alive.last_seen();
    if victim == "redis" {
        server.signal("CONT");
    } else {
        send_signal(run.id(), "CONT");
    }
    assert!(last_seen < free_at, "{victim}: alive for {:?}", last_seen.duration_since(free_at));
    let code = run.wait().unwrap().code();
    assert_eq!(code, Some(79), "{victim}");
}

/// Neither leasehold nor its warden can do anything meanwhile, as on a machine that was suspended.
#[test]
fn a_loss_that_is_seen_late_gives_no_grace_that_is_over() {
    let server = RedisServer::start();
    let alive = Alive::new();
    let script = format!("trap '' TERM; {}", alive.forever());
    let args = ["run", "--lock", "a", "--ttl", "14s", "--grace", "6s", "--", "sh", "-c", &script];
    let mut run = spawn(&server, &args);
    alive.wait_for_start();
    let warden = child_named(run.id(), "warden");
    send_signal(run.id(), "STOP");
    send_signal(warden, "STOP");
    let mut raw = server.raw();
    wait_for("the lock to expire", || !raw.exists::<_, bool>("t:lockv2:a").unwrap());
    for stopped in [warden, run.id()] {
        send_signal(stopped, "CONT");
    }
    let woken = SystemTime::now();
    assert_eq!(run.wait().unwrap().code(), Some(79));
    let last_seen = alive.last_seen();
    let lived_on = last_seen.duration_since(woken).unwrap_or_default();
    assert!(lived_on < Duration::from_secs(5), "the grace began anew: alive for {lived_on:?}");
}

#[test]
fn d29_no_orphans_when_leasehold_is_killed() {
    let server = RedisServer::start();
    let alive = Alive::new();
    let script = alive.forever();
    let mut run =
        spawn(&server, &["run", "--lock", "a", "--grace", "100ms", "--", "sh", "-c", &script]);
    alive.wait_for_start();
    run.kill().unwrap();
    run.wait().unwrap();
    alive.wait_for_end();
}

#[test]
fn d29_the_processes_that_a_command_leaves_are_ended_before_the_release() {
    let server = RedisServer::start();
    let alive = Alive::new();
    let script = format!("({}) >/dev/null 2>&1 & sleep 0.1; exit 3", alive.forever());
    let run = leasehold(&server, &["run", "--lock", "a", "--", "sh", "-c", &script])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(3));
    assert!(stderr(&run).contains("left processes behind"));
    assert!(alive.is_over());
}
