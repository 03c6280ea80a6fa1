//! The checkers bite: each way in which a server can be broken is found within a few seeds.

use leasehold_sim::{Plan, STEPS, Sabotage, run};

/// So many seeds find any of them.
const SEEDS: u64 = 40;

#[test]
fn every_sabotage_is_found() {
    for sabotage in Sabotage::ALL {
        let found = (0..SEEDS).find_map(|seed| {
            run(Plan { seed, steps: STEPS, sabotage: Some(sabotage) }).err().map(|f| (seed, f))
        });
        let Some((seed, failure)) = found else {
            panic!("{sabotage:?} was not found by {SEEDS} seeds");
        };
        println!("{sabotage:?}: seed {seed}: {}", failure.what);
    }
}
