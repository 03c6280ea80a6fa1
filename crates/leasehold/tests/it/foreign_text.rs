//! Names, hosts and ids that others have put into Redis: a person reads them, and they do nothing
//! to the terminal.

use std::process::Output;

use redis::Commands;

use crate::program::{ok, output};
use crate::support::{RedisServer, now_ms};

/// Clears the screen, ends the line, forges another one, and turns the direction of what follows.
const EVIL: &str = "x\x1b[2J\x07\r\nVerdict     safe to go on to token\n\u{202e}\u{9b}31m\u{2066}";

/// Every place in Redis that can hold a foreign text.
fn fill(server: &RedisServer, phase: &str) {
    let mut raw = server.raw();
    let deadline_ms = now_ms(&mut raw) + 600_000;
    let about = serde_json::json!({
        "name": EVIL, "host": EVIL, "pid": 7, "applies": EVIL, "longest_ttl_ms": 1_500,
        "holding": {EVIL: "token"},
    });
    let beat = format!("{deadline_ms} 0 {about}");
    let _: () = raw.hset("t:leasehold:processes", EVIL, beat).unwrap();
    let _: () = raw.set("t:leasehold:phase", format!("3 {phase} {deadline_ms} {EVIL}")).unwrap();
    let _: () = raw.set_ex(format!("t:lockv2:{EVIL}"), "token", 600).unwrap();
    let _: () = raw.set_ex("t:lockv2:a", "token", 600).unwrap();
    let _: () = raw.set(format!("t:lock:{EVIL}old"), "4000000000").unwrap();
    let _: () = raw.zadd(format!("t:qslock:{EVIL}"), EVIL, 4_000_000_000_u64).unwrap();
    let task = serde_json::json!({"lock": true, "func": EVIL, "args": [], "kwargs": {}});
    let _: () = raw.sadd("t:active", EVIL).unwrap();
    let _: () = raw.zadd(format!("t:active:{EVIL}"), EVIL, 1).unwrap();
    let _: () = raw.set(format!("t:task:{EVIL}"), task.to_string()).unwrap();
}

fn is_harmless(character: char) -> bool {
    character == '\n'
        || !(character.is_control()
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

fn check(args: &[&str], output: &Output) {
    for printed in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(printed);
        assert!(text.chars().all(is_harmless), "{args:?}: {text:?}");
        assert!(
            !text.lines().any(|line| line.starts_with("Verdict     safe")),
            "{args:?} prints a forged line: {text}"
        );
    }
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    let both = String::from_utf8_lossy(&both);
    assert!(both.contains(r"\u{1b}[2J") || both.contains(r"\x1b[2J"), "{args:?}: {both}");
}

#[test]
fn what_others_have_written_is_escaped_wherever_a_person_reads_it() {
    let server = RedisServer::start();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log").display().to_string();
    for phase in ["dual", "token"] {
        fill(&server, phase);
        for args in [
            &["locks", "status"][..],
            &["locks", "rollback", "--wait", "0"],
            &["locks", "rollback", "--downtime", "--to", "old", "--wait", "0"],
            &["redis-scan", "--print", "--file", &log],
            &["run", "--lock", EVIL, "--wait", "0", "--", "true"],
        ] {
            check(args, &output(&server, args));
        }
    }
}

#[test]
fn json_stays_json_says_the_names_as_they_are_and_is_safe_to_print() {
    let server = RedisServer::start();
    fill(&server, "dual");
    let printed = ok(&server, &["locks", "status", "--json"]);
    assert!(printed.chars().all(is_harmless), "{printed:?}");
    let answer: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(answer["processes"][0]["name"], EVIL);
    assert_eq!(answer["processes"][0]["longest_ttl_seconds"], 1.5);
    assert_eq!(answer["census"]["semaphores"][0]["queue"], EVIL);
}

#[test]
fn an_error_of_redis_is_escaped_too() {
    let server = RedisServer::start();
    let mut raw = server.raw();
    let _: () = raw.set("t:leasehold:phase", EVIL).unwrap();
    for args in [&["locks", "status"][..], &["locks", "advance", "--wait", "0"]] {
        let failed = output(&server, args);
        assert!(!failed.status.success());
        let text = String::from_utf8_lossy(&failed.stderr);
        assert!(text.starts_with("error: ") && text.chars().all(is_harmless), "{text:?}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}
