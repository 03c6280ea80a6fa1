//! A run whose server dies, hangs, comes back with and without its data, or takes the slots away:
//! the command never runs beside another holder.

use std::time::{Duration, SystemTime};

use leasehold_client::api::leases::{FindLeases, RevokeLease};
use rustix::process::Signal;

use crate::alive::Alive;
use crate::program::stderr;
use crate::support::{send_signal, wait_for};

use super::Place;

const EVERYONE: FindLeases =
    FindLeases { limit_name: None, holder_kind: None, holder_id: None, offset: 0, limit: None };

/// A run of a command that ignores SIGTERM and notes that it lives.
fn stubborn(place: &Place, alive: &Alive, more: &[&str]) -> std::process::Child {
    let script = format!("trap '' TERM; {}", alive.forever());
    let mut args = vec!["run", "--limit", "db", "--ttl", "5s", "--grace", "200ms"];
    args.extend(more);
    args.extend(["--", "sh", "-c", &script]);
    let run = place.spawn(&args);
    alive.wait_for_start();
    run
}

/// The moment before which the server gives the slot to no one else.
fn deadline(place: &Place) -> SystemTime {
    let leases = place.client.run(place.client.client().leases(&EVERYONE)).unwrap();
    let micros = u64::try_from(leases[0].deadline.unwrap().0).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

fn check_is_dead_in_time(stop: impl FnOnce(&mut Place, u32), go_on: impl FnOnce(&mut Place, u32)) {
    let mut place = Place::new(1);
    let alive = Alive::new();
    let mut run = stubborn(&place, &alive, &[]);
    // Renewals that were on their way can only have made it later.
    let free_at = deadline(&place);
    stop(&mut place, run.id());
    wait_for("the lease to expire", || SystemTime::now() > free_at + Duration::from_millis(200));
    let last_seen = alive.last_seen();
    go_on(&mut place, run.id());
    assert_eq!(run.wait().unwrap().code(), Some(79));
    let late = last_seen.duration_since(free_at);
    assert!(last_seen < free_at, "alive for {late:?}");
}

#[test]
fn d28_a_command_is_dead_before_its_slot_can_be_given_on_when_the_server_is_killed() {
    check_is_dead_in_time(|place, _| place.world.kill(), |_, _| {});
}

#[test]
fn d28_a_command_is_dead_before_its_slot_can_be_given_on_when_the_server_hangs() {
    check_is_dead_in_time(
        |place, _| place.world.server().signal(Signal::STOP),
        |place, _| place.world.server().signal(Signal::CONT),
    );
}

#[test]
fn d29_a_command_is_dead_before_its_slot_can_be_given_on_when_leasehold_is_stopped() {
    check_is_dead_in_time(|_, run| send_signal(run, "STOP"), |_, run| send_signal(run, "CONT"));
}

#[test]
fn d29_no_orphans_when_leasehold_is_killed_and_the_slot_comes_back() {
    let place = Place::new(1);
    let alive = Alive::new();
    let mut run = stubborn(&place, &alive, &[]);
    run.kill().unwrap();
    run.wait().unwrap();
    alive.wait_for_end();
    wait_for("the slot", || place.taken() == 0);
}

#[test]
fn a_restart_with_its_data_does_not_stop_the_command() {
    let mut place = Place::new(1);
    let alive = Alive::new();
    let script = format!("{}; sleep 5; exit 4", alive.touch());
    let run = place.spawn(&["run", "--limit", "db", "--ttl", "5s", "--", "sh", "-c", &script]);
    alive.wait_for_start();
    place.world.kill();
    place.world.start(&[]);
    let ended = run.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), stderr(&ended).as_str()), (Some(4), ""));
    assert_eq!(place.taken(), 0);
}

#[test]
fn a_restart_without_its_data_stops_the_command() {
    let mut place = Place::new(1);
    let alive = Alive::new();
    let run = stubborn(&place, &alive, &[]);
    place.world.kill();
    std::fs::remove_dir_all(place.world.home.data_dir()).unwrap();
    place.world.start(&[]);
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(79), "{}", stderr(&ended));
    assert!(stderr(&ended).contains("limit \"db\" is lost, stopping"), "{}", stderr(&ended));
    assert!(alive.is_over());
}

#[test]
fn a_revoked_run_stops_or_goes_on_as_it_was_asked_to() {
    let place = Place::new(1);
    let why =
        RevokeLease { reason: Some("the database moves".to_owned()), by: Some("anna".to_owned()) };
    let revoke = || {
        let leases = place.client.run(place.client.client().leases(&EVERYONE)).unwrap();
        place.client.run(place.client.client().revoke(leases[0].id, &why)).unwrap();
    };
    let alive = Alive::new();
    let run = stubborn(&place, &alive, &[]);
    revoke();
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(79));
    let text = stderr(&ended);
    assert!(text.contains("revoked by anna") && text.contains("the database moves"), "{text}");
    assert!(text.contains("ended without its slots, with 137"), "{text}");

    let alive = Alive::new();
    let script = format!("{}; sleep 4; exit 6", alive.touch());
    let args = ["--ttl", "3s", "--on-lost", "warn", "--", "sh", "-c", &script];
    let run = place.spawn(&[&["run", "--limit", "db"][..], &args].concat());
    alive.wait_for_start();
    revoke();
    let ended = run.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(6));
    assert!(stderr(&ended).contains("is lost, the command goes on: "), "{}", stderr(&ended));
}
