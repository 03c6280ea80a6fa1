//! The checkers find every sabotage of the server within a few seeds.

use leasehold_sim::{Plan, STEPS, Sabotage, run};

/// How many seeds are enough to find each of them.
const SEEDS: u64 = 40;

#[test]
fn every_sabotage_is_found() {
    let mut missed = Vec::new();
    for sabotage in Sabotage::ALL {
        let found = (0..SEEDS).find_map(|seed| {
            run(Plan { seed, steps: STEPS, sabotage: Some(sabotage) }).err().map(|f| (seed, f))
        });
        let Some((seed, failure)) = found else {
            missed.push(sabotage);
            continue;
        };
        println!("{sabotage:?}: seed {seed}: {}", failure.what);
    }
    assert!(missed.is_empty(), "not found by {SEEDS} seeds: {missed:?}");
}
