//! Two owners of the same limits: the seeds that each test run checks, and the ways to get it wrong
//! that the checkers find.

use leasehold_sim::owners::{Plan, Report, SECONDS, Sabotage, run, trace};

/// How many seeds are enough to find each sabotage.
const SEEDS: u64 = 60;

fn plan(seed: u64) -> Plan {
    Plan { seed, seconds: SECONDS, sabotage: None }
}

#[test]
fn sixty_seeds_hold_and_reach_every_outcome() {
    let mut total = Report::default();
    for seed in 0..60 {
        match run(plan(seed)) {
            Ok(report) => total += report,
            Err(failure) => panic!("seed {seed} failed at {}: {}", failure.at, failure.what),
        }
    }
    println!("{total:?}");
    assert!(total.grants_here > 1_000, "{total:?}");
    assert!(total.grants_there > 1_000, "{total:?}");
    assert!(total.grants_on_both > 100, "{total:?}");
    assert!(total.handed_over > 100, "{total:?}");
    assert!(total.handed_back > 100, "{total:?}");
    assert!(total.starts > 300, "{total:?}");
}

#[test]
fn every_sabotage_is_found() {
    let mut missed = Vec::new();
    for sabotage in Sabotage::ALL {
        let found = (0..SEEDS).find_map(|seed| {
            run(Plan { sabotage: Some(sabotage), ..plan(seed) }).err().map(|f| (seed, f))
        });
        let Some((seed, failure)) = found else {
            missed.push(sabotage);
            continue;
        };
        println!("{sabotage:?}: seed {seed}: {}", failure.what);
    }
    assert!(missed.is_empty(), "not found by {SEEDS} seeds: {missed:?}");
}

#[test]
fn a_seed_replays_to_the_last_event() {
    assert_eq!(trace(plan(7)), trace(plan(7)));
}
