//! `leasehold locks cleanup`, and back.

use std::collections::BTreeMap;

use redis::Commands;

use crate::program::{ok, output};
use crate::support::{RedisServer, now_ms};

/// When each key runs out, by Redis' clock in ms: a test may take as long as it needs.
fn deadlines(raw: &mut redis::Connection) -> BTreeMap<String, i64> {
    let keys: Vec<String> = raw.keys("*").unwrap();
    keys.into_iter()
        .map(|key| {
            let deadline = raw.pexpire_time(&key).unwrap();
            (key, deadline)
        })
        .collect()
}

#[test]
fn dead_keys_get_a_ttl_and_undo_puts_every_one_back() {
    let server = RedisServer::start();
    let mut raw = server.raw();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("cleanup.log").display().to_string();
    for number in 0..1_200 {
        let _: () = raw.set(format!("t:lock:dead {number} é"), "1795.5").unwrap();
    }
    let _: () = raw.set("t:lock:live", "2147483649.0").unwrap();
    let _: () = raw.set("t:lock:word", "held by somebody").unwrap();
    let _: () = raw.set_ex("t:lock:ttl", "1795.5", 5_000).unwrap();
    let _: () = raw.sadd("t:lock:set", "x").unwrap();
    let _: () = raw.set("t:lockv2:other", "x").unwrap();
    let before = deadlines(&mut raw);
    let args = ["locks", "cleanup", "--file", &log];
    let text = ok(&server, &[&args[..], &["--dry-run"]].concat());
    assert!(text.contains("1200 dead old keys would get"), "{text}");
    assert_eq!(deadlines(&mut raw), before);

    let began_ms = now_ms(&mut raw);
    let text = ok(&server, &args);
    let given_ms = began_ms + 300_000..=now_ms(&mut raw) + 300_000;
    assert!(text.contains("1200 dead old keys got a TTL of 300 s"), "{text}");
    for (key, deadline) in deadlines(&mut raw) {
        let is_dead = key.starts_with("t:lock:dead");
        assert!(
            if is_dead { given_ms.contains(&deadline) } else { deadline == before[&key] },
            "{key} {deadline}"
        );
    }
    // One of them is taken again meanwhile: that takes its TTL away, and it is left alone.
    let _: () = raw.set("t:lock:dead 7 é", "2147483649.0").unwrap();
    let text = ok(&server, &["locks", "cleanup", "--undo", &log]);
    assert!(text.contains("1199 keys are as they were"), "{text}");
    assert_eq!(deadlines(&mut raw), before);
}

#[test]
fn force_takes_live_ones_too() {
    let server = RedisServer::start();
    let mut raw = server.raw();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("cleanup.log").display().to_string();
    let _: () = raw.set("t:lock:live", "2147483649.0").unwrap();
    ok(&server, &["locks", "cleanup", "--file", &log]);
    assert_eq!(raw.ttl::<_, i64>("t:lock:live").unwrap(), -1);
    let forced = output(&server, &["locks", "cleanup", "--file", &log, "--force", "--ttl", "60"]);
    assert!(crate::program::stderr(&forced).contains("protects nothing"));
    assert!(raw.ttl::<_, i64>("t:lock:live").unwrap() > 0);
}

#[test]
fn damaged_logs_change_nothing() {
    let server = RedisServer::start();
    let mut raw = server.raw();
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("cleanup.log");
    let _: () = raw.set_ex("t:lock:a", "1", 100).unwrap();
    std::fs::write(&log, "t:lock:a string -1 300 1\nwhat is this\n").unwrap();
    let refused = output(&server, &["locks", "cleanup", "--undo", &log.display().to_string()]);
    assert_eq!(refused.status.code(), Some(65));
    assert!(crate::program::stderr(&refused).contains("line 2"));
    assert!(raw.ttl::<_, i64>("t:lock:a").unwrap() > 0);
}
