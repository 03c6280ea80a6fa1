//! What the simulator always runs, and the seeds that failed once.

use leasehold_sim::{Plan, STEPS, run, trace};

fn plan(seed: u64) -> Plan {
    Plan { seed, steps: STEPS, sabotage: None }
}

fn assert_holds(seed: u64) {
    if let Err(failure) = run(plan(seed)) {
        panic!("seed {seed} failed at {}: {}", failure.at, failure.what);
    }
}

#[test]
fn two_hundred_seeds_hold() {
    (0..200).for_each(assert_holds);
}

#[test]
fn a_seed_replays_to_the_last_event() {
    assert_eq!(trace(plan(7)), trace(plan(7)));
}
