//! A run that waits for its slots: quiet in a pipe, one line on a terminal, and gone without a
//! trace when it is stopped.

use crate::alive::Alive;
use crate::program::stderr;
use crate::support::{send_signal, wait_for};

use super::Place;

#[test]
fn a_run_in_a_pipe_waits_quietly_and_in_order() {
    let place = Place::new(1);
    let holder = place.client.acquire(place.client.ask("db")).unwrap();
    let first = place.spawn(&["run", "--limit", "db", "--", "echo", "first"]);
    wait_for("the first", || place.waiters() == 1);
    let second = place.spawn(&["run", "--limit", "db", "--priority", "5", "--", "sleep", "0.3"]);
    wait_for("the second", || place.waiters() == 2);
    holder.release().unwrap();
    for run in [second, first] {
        let ended = run.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), stderr(&ended).as_str()), (Some(0), ""));
    }
    assert_eq!(place.taken(), 0);
}

#[test]
fn a_run_that_is_not_granted_in_time_says_who_holds_the_slots_since_when() {
    let place = Place::new(1);
    let ask = place.client.ask("db").holder("process", "web-1:4242");
    let _holder = place.client.acquire(ask).unwrap();
    for wait in ["0", "300ms"] {
        let ended = place.output(&["run", "--limit", "db", "--wait", wait, "--", "true"]);
        let text = stderr(&ended);
        assert_eq!(ended.status.code(), Some(75), "{text}");
        assert!(text.contains("held since ") && text.contains(" by process web-1:4242"), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn on_a_terminal_a_waiting_run_has_one_line_of_80_columns() {
    let place = Place::new(1);
    let ask = place.client.ask("db").holder("process", "web-1:4242");
    let _holder = place.client.acquire(ask).unwrap();
    let line = format!(
        "LEASEHOLD_API_URL={} {} run --limit db --wait 3s -- true",
        place.world.url(),
        env!("CARGO_BIN_EXE_leasehold")
    );
    let ended = std::process::Command::new("script").args(["-qec", &line, "/dev/null"]).output();
    let ended = ended.unwrap();
    assert_eq!(ended.status.code(), Some(75));
    let shown = String::from_utf8_lossy(&ended.stdout);
    let drawn: Vec<&str> = shown.split("\r\x1b[K").collect();
    let waiting: Vec<_> = drawn.iter().filter(|text| text.starts_with("waiting ")).collect();
    assert!(waiting.len() >= 2, "{shown:?}");
    let place =
        waiting.iter().filter(|text| text.contains(" of 3.0s for db: place 1, held since "));
    assert!(place.count() >= 1, "{shown:?}");
    assert!(waiting.iter().any(|text| text.contains("Z by process web-1")), "{shown:?}");
    assert!(waiting.iter().all(|text| text.chars().count() < 80), "{shown:?}");
    assert!(drawn.last().unwrap().starts_with("error: "), "{shown:?}");
}

#[test]
fn d29_no_command_starts_after_a_signal_to_stop_and_no_slot_stays_behind() {
    let place = Place::new(1);
    let started = Alive::new();
    let holder = place.client.acquire(place.client.ask("db")).unwrap();
    let args = ["run", "--limit", "db", "--", "sh", "-c", &started.touch()];
    let mut waiting = place.spawn(&args);
    wait_for("the wait", || place.waiters() == 1);
    send_signal(waiting.id(), "TERM");
    assert_eq!(waiting.wait().unwrap().code(), Some(143));
    wait_for("the request to leave", || place.waiters() == 0);
    holder.release().unwrap();
    assert!(!started.exists());
    assert_eq!(place.taken(), 0);
}
