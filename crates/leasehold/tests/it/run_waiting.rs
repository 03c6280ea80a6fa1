//! `leasehold run` while another holder has the lock: it says for what it waits, and who has it.

use std::io::{BufRead, BufReader};

use redis::Commands;

use crate::program::{output, spawn, stderr};
use crate::support::{RedisServer, send_signal, wait_for};

#[test]
fn a_run_that_waits_for_a_second_says_for_what_and_who_has_it_for_how_long() {
    let server = RedisServer::start();
    let mut raw = server.raw();
    let mut holder = spawn(&server, &["run", "--lock", "nightly", "--", "sleep", "60"]);
    wait_for("the lock", || raw.exists("t:lockv2:nightly").unwrap());
    let args = ["run", "--lock", "nightly", "--wait", "10m", "--", "true"];
    let mut waiting = spawn(&server, &args);
    let mut output = BufReader::new(waiting.stderr.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.starts_with("leasehold: waiting for lock \"nightly\", "), "{line}");
    assert!(line.contains(" of 10m 00s: held for "), "{line}");
    let who = format!("s or longer by leasehold run, pid {} on ", holder.id());
    assert!(line.contains(&who), "{line}");
    send_signal(holder.id(), "TERM");
    holder.wait().unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
    let mut rest = String::new();
    output.read_line(&mut rest).unwrap();
    assert_eq!(rest, "", "in a log, it says so once");
}

#[test]
fn a_run_that_does_not_wait_says_who_has_the_lock() {
    let server = RedisServer::start();
    let mut raw = server.raw();
    let mut holder = spawn(&server, &["run", "--lock", "a", "--", "sleep", "60"]);
    wait_for("the lock", || raw.exists("t:lockv2:a").unwrap());
    let args = ["run", "--lock", "a", "--wait", "0", "--", "true"];
    let mut text = String::new();
    // Its name is in its heartbeat, which comes after the lock.
    wait_for("its name", || {
        let refused = output(&server, &args);
        assert_eq!(refused.status.code(), Some(75), "{}", stderr(&refused));
        text = stderr(&refused);
        text.contains(&format!("or longer by leasehold run, pid {} on ", holder.id()))
    });
    assert!(text.starts_with("error: lock \"a\" was not granted within "), "{text}");
    send_signal(holder.id(), "TERM");
    holder.wait().unwrap();

    let _: () = raw.set("t:lockv2:a", "another").unwrap();
    let refused = output(&server, &args);
    let text = stderr(&refused);
    assert!(text.contains("held for ever by a program without a name"), "{text}");
}

/// In a terminal of its own, from util-linux.
fn on_a_terminal(line: &str) -> std::process::Output {
    let mut script = std::process::Command::new("script");
    script.args(["-qec", line, "/dev/null"]).output().unwrap()
}

#[test]
fn a_run_that_does_not_wait_leaves_the_terminal_as_it_was() {
    let server = RedisServer::start();
    let binary = env!("CARGO_BIN_EXE_leasehold");
    let line = format!("{binary} run --redis {} --lock a -- echo hello", server.url());
    let ended = on_a_terminal(&line);
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "hello\r\n");
}

#[test]
fn on_a_terminal_it_says_so_in_one_line_of_80_columns() {
    let server = RedisServer::start();
    let mut raw = server.raw();
    let _: () = raw.set("t:lockv2:a", "another").unwrap();
    let binary = env!("CARGO_BIN_EXE_leasehold");
    let line = format!("{binary} run --redis {} --lock a --wait 3s -- true", server.url());
    let ended = on_a_terminal(&line);
    assert_eq!(ended.status.code(), Some(75));
    let shown = String::from_utf8_lossy(&ended.stdout);
    let drawn: Vec<&str> = shown.split("\r\x1b[K").collect();
    let waiting: Vec<_> = drawn.iter().filter(|text| text.starts_with("waiting ")).collect();
    assert!(waiting.len() >= 2, "{shown:?}");
    for text in waiting {
        assert!(text.contains(" of 3.0s for \"a\": held for ever by a program"), "{text}");
        assert!(text.chars().count() < 80 && !text.contains('\n'), "{text:?}");
    }
    assert!(drawn.last().unwrap().starts_with("error: "), "{shown:?}");
}

#[test]
fn an_empty_lock_id_is_refused() {
    let server = RedisServer::start();
    let refused = output(&server, &["run", "--lock", "", "--", "true"]);
    assert_eq!(refused.status.code(), Some(64));
    assert!(stderr(&refused).contains("--lock <ID>"), "{}", stderr(&refused));
}
