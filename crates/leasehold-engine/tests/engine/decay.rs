use leasehold_engine::{Hold, Level, LimitPatch, Mode, Span, Timestamp, Wait};

use crate::fixture::{World, granted, refused};

/// How many attempts of one slot each are granted, one every `step` until `seconds` are over.
fn grants(world: &mut World, name: &str, seconds: u64, step: Span) -> u64 {
    let end = world.now + Span::from_seconds(seconds);
    let mut grants = 0;
    while world.now < end {
        let acquired = world.ask(Mode::RateLimit, &[(name, 1)], Hold::Unleased);
        grants += u64::from(matches!(acquired, leasehold_engine::Acquired::Granted(_)));
        world.now = world.now + step;
    }
    grants
}

fn wait_of(acquired: leasehold_engine::Acquired) -> Span {
    match refused(acquired).blockers[0].wait {
        Wait::Drain(span) => span,
        Wait::Release { .. } => panic!("nothing drains"),
    }
}

#[test]
fn d19_c12_the_configured_rate_is_granted_under_hammering() {
    for (rate, step) in [(5.0, 7_321), (20.0, 3_333), (0.3, 10_007)] {
        let mut world = World::draining("api", 2, rate);
        let granted = grants(&mut world, "api", 15, Span::from_micros(step));
        // The burst, and what drains up to the last attempt.
        let due = 2 + (15.0 * rate) as u64;
        assert!(granted == due || granted == due - 1, "{granted} of {due} at {rate}/s");
    }
}

#[test]
fn a_refusal_promises_the_exact_microsecond() {
    let mut world = World::draining("api", 2, 3.0);
    granted(world.increment("api", 2));
    let wait = wait_of(world.increment("api", 1));
    assert_eq!(wait, Span::from_micros(333_334));
    world.now = world.now + wait - Span::from_micros(1);
    assert_eq!(wait_of(world.increment("api", 1)), Span::from_micros(1));
    world.now = world.now + Span::from_micros(1);
    granted(world.increment("api", 1));
}

#[test]
fn d20_c13_a_patch_without_changes_brings_nothing_back() {
    let mut world = World::draining("api", 10, 1.0);
    granted(world.increment("api", 10));
    world.wait(3.5);
    for _ in 0..5 {
        world.patch("api", LimitPatch::default());
        world.patch("api", LimitPatch { slots: Some(10), ..LimitPatch::default() });
        world.decay("api", 1.0);
    }
    assert_eq!(world.view("api").taken, 7);
    world.wait(0.5);
    assert_eq!(world.view("api").taken, 6);
}

#[test]
fn a_refused_attempt_and_a_read_leave_the_level_alone() {
    let mut world = World::draining("api", 1, 0.5);
    granted(world.increment("api", 1));
    for _ in 0..19 {
        world.wait(0.1);
        refused(world.increment("api", 1));
        assert_eq!(world.taken("api"), 1);
    }
    world.wait(0.1);
    granted(world.increment("api", 1));
}

#[test]
fn an_idle_rate_limit_does_not_save_more_than_its_burst() {
    let mut world = World::draining("api", 3, 10.0);
    world.wait(1e6);
    granted(world.increment("api", 3));
    refused(world.increment("api", 1));
}

#[test]
fn d16_a_lease_releases_only_what_has_not_drained() {
    let mut world = World::draining("api", 4, 1.0);
    granted(world.acquire(1, &[("api", 4)]));
    world.wait(3.0);
    assert_eq!(world.taken("api"), 1);
    granted(world.increment("api", 3));
    world.release(1).unwrap();
    // One slot of the lease had not drained; others have taken the other three.
    assert_eq!(world.taken("api"), 3);
}

#[test]
fn a_lease_that_has_drained_gives_nothing_back() {
    let mut world = World::draining("api", 2, 1.0);
    granted(world.acquire(1, &[("api", 2)]));
    world.wait(2.0);
    granted(world.increment("api", 2));
    world.release(1).unwrap();
    assert_eq!(world.taken("api"), 2);
}

#[test]
fn slots_without_a_lease_drain_first_then_those_of_the_oldest_lease() {
    let mut world = World::draining("api", 10, 1.0);
    granted(world.acquire(1, &[("api", 3)]));
    granted(world.acquire(2, &[("api", 3)]));
    granted(world.increment("api", 2));
    world.wait(4.5); // 2 unleased, 2½ of lease 1
    let levels: Vec<_> = [1, 2]
        .map(|lease| world.release(lease).unwrap().holdings[0].level.as_units())
        .into_iter()
        .collect();
    assert_eq!(levels, [500_000_000_000_000, Level::from_slots(3).as_units()]);
    assert_eq!(world.taken("api"), 0);
}

#[test]
fn the_share_of_others_is_untouched_when_a_lease_ends() {
    let mut world = World::draining("api", 10, 1.0);
    granted(world.acquire(1, &[("api", 4)]));
    granted(world.acquire(2, &[("api", 4)]));
    world.wait(2.0);
    world.release(1).unwrap();
    assert_eq!(world.taken("api"), 4);
    world.wait(1.0);
    assert_eq!(world.taken("api"), 3);
    world.release(2).unwrap();
    assert_eq!(world.taken("api"), 0);
}

#[test]
fn an_expired_lease_releases_only_what_has_not_drained() {
    let mut world = World::draining("api", 100, 1.0);
    granted(world.acquire(1, &[("api", 80)]));
    granted(world.acquire(2, &[("api", 10)]));
    world.wait(30.0);
    world.renew(2);
    world.wait(30.0); // 60 of lease 1 have drained; 20 are given back
    assert_eq!(world.taken("api"), 10);
}

#[test]
fn what_a_lease_releases_does_not_depend_on_when_its_expiry_is_noticed() {
    let taken = |looks: u32| {
        let mut world = World::draining("api", 20, 0.1);
        granted(world.acquire(1, &[("api", 10)]));
        world.wait(20.0);
        granted(world.acquire(2, &[("api", 10)]));
        for _ in 0..looks {
            world.wait(50.0 / f64::from(looks));
            world.taken("api");
        }
        // Lease 1 ended at 60 s with 4 slots left; lease 2 has drained for 10 s since then.
        world.taken("api")
    };
    assert_eq!((taken(1), taken(5), taken(50)), (9, 9, 9));
}

#[test]
fn decay_that_begins_while_slots_are_held_drains_from_then_on() {
    let mut world = World::with("api", 5);
    granted(world.acquire(1, &[("api", 4)]));
    world.wait(10.0);
    world.decay("api", 1.0);
    assert_eq!(world.taken("api"), 4);
    world.wait(1.5);
    assert_eq!(world.taken("api"), 3);
}

#[test]
fn decay_that_ends_while_slots_are_held_counts_live_holders_in_full() {
    let mut world = World::draining("api", 5, 1.0);
    granted(world.acquire(1, &[("api", 3)]));
    granted(world.increment("api", 2));
    world.wait(3.5); // the unleased 2, and 1½ of the lease
    world.decay("api", 0.0);
    assert_eq!(world.taken("api"), 3);
    world.wait(100.0);
    assert_eq!(world.taken("api"), 0, "the lease has expired");
}

#[test]
fn decay_that_ends_leaves_no_fraction_of_a_slot() {
    let mut world = World::draining("api", 5, 1.0);
    granted(world.increment("api", 3));
    world.wait(0.5);
    world.decay("api", 0.0);
    assert_eq!(world.taken("api"), 2);
    world.decrement(&["api"], 2);
    assert_eq!(world.taken("api"), 0);
}

#[test]
fn decay_on_and_off_again_changes_nothing_of_a_lease() {
    let mut world = World::with("api", 5);
    granted(world.acquire(1, &[("api", 3)]));
    for _ in 0..3 {
        world.decay("api", 1.0);
        world.wait(2.0);
        world.decay("api", 0.0);
        assert_eq!(world.taken("api"), 3);
    }
    world.release(1).unwrap();
    assert_eq!(world.taken("api"), 0);
}

#[test]
fn a_new_rate_applies_from_now_on() {
    let mut world = World::draining("api", 10, 1.0);
    granted(world.increment("api", 10));
    world.wait(2.0);
    world.decay("api", 4.0);
    world.wait(1.0);
    assert_eq!(world.taken("api"), 4);
}

#[test]
fn time_that_runs_backwards_drains_nothing_twice() {
    let mut world = World::draining("api", 10, 1.0);
    granted(world.increment("api", 10));
    world.wait(4.0);
    granted(world.increment("api", 1));
    let latest = world.now;
    world.now = Timestamp::from_micros(0);
    refused(world.increment("api", 4));
    granted(world.increment("api", 3));
    world.now = latest + Span::from_seconds(1);
    assert_eq!(world.taken("api"), 9);
}
