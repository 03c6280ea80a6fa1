//! `leasehold top` on a terminal of its own.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::program::stderr;
use crate::run_limit::Place;

#[test]
fn it_shows_limits_and_holders_and_ends_with_q() {
    let place = Place::new(1);
    let ask = place.client.ask("db").holder("process", "web-1:4242");
    let _holder = place.client.acquire(ask).unwrap();
    let line = format!(
        "stty cols 80 rows 24; LEASEHOLD_API_URL={} {} top --interval 100ms",
        place.world.url(),
        env!("CARGO_BIN_EXE_leasehold")
    );
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]);
    let mut top =
        script.env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = top.stdin.take().unwrap();
    // It ends with the first q that comes after its start.
    while top.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(500));
        let _ = stdin.write_all(b"q");
    }
    let ended = top.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    // Only what changes is drawn, so that words stand alone.
    let shown = String::from_utf8_lossy(&ended.stdout);
    assert!(shown.contains("web-1:4242") && shown.contains("1/1"), "{shown:?}");
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let place = Place::new(1);
    let ended = place.output(&["top"]);
    assert_eq!(ended.status.code(), Some(64));
    assert!(stderr(&ended).contains("gcl ls"), "{}", stderr(&ended));
}
