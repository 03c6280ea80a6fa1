//! Invariant 9: a rate limit grants exactly its rate. The arithmetic here is its own: whole
//! numbers of 10⁻¹⁵ slots, in which microseconds times nanos per second are exact.

use leasehold_engine::{Acquired, Hold, LimitPatch, Mode, Rate, Span, Timestamp, Wait};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::fixture::{World, refused};

const SLOT: u128 = 1_000_000_000_000_000;

fn limit(slots: u64, rate: Rate) -> World {
    World::draining("r", slots, rate.as_slots_per_second())
}

fn attempt(world: &mut World, slots: u64) -> Acquired {
    world.ask(Mode::RateLimit, &[("r", slots)], Hold::Unleased)
}

fn micros(from: Timestamp, to: Timestamp) -> u128 {
    to.since(from).as_micros().into()
}

/// Rates from one slot an hour to a thousand a second, odd ones among them.
fn rate() -> impl Strategy<Value = Rate> {
    (277_000..1_000_000_000_000_u64).prop_map(Rate::from_units)
}

proptest! {
    #[test]
    fn i9_no_window_grants_more_than_its_burst_and_its_rate(
        slots in 1..6_u64,
        rate in rate(),
        attempts in vec((0..300_000_u64, 1..4_u64), 1..120),
    ) {
        let mut world = limit(slots, rate);
        let mut grants = Vec::new();
        for (gap, wanted) in attempts {
            world.now = world.now + Span::from_micros(gap);
            if matches!(attempt(&mut world, wanted), Acquired::Granted(_)) {
                grants.push((world.now, u128::from(wanted) * SLOT));
            }
        }
        for first in 0..grants.len() {
            let mut granted = 0;
            for (at, slots_granted) in &grants[first..] {
                granted += slots_granted;
                let drained = u128::from(rate.as_units()) * micros(grants[first].0, *at);
                prop_assert!(granted <= u128::from(slots) * SLOT + drained);
            }
        }
    }

    #[test]
    fn i9_hammering_is_granted_the_burst_and_the_floor_of_rate_times_time(
        slots in 2..6_u64,
        rate in rate(),
        // Finer than a slot takes to drain, so that the level never reaches zero.
        gaps in vec(1..1_000_u64, 1..400),
        noise in any::<u64>(),
    ) {
        let rate = Rate::from_units(rate.as_units().min(900_000_000_000));
        let mut world = limit(slots, rate);
        let start = world.now;
        prop_assert!(matches!(attempt(&mut world, slots), Acquired::Granted(_)), "the burst");
        let mut granted = 0_u128;
        for (nth, gap) in gaps.into_iter().enumerate() {
            world.now = world.now + Span::from_micros(gap);
            if noise & (1 << (nth % 64)) != 0 {
                world.patch("r", LimitPatch::default());
                world.taken("r");
            }
            while matches!(attempt(&mut world, 1), Acquired::Granted(_)) {
                granted += 1;
            }
            let drained = u128::from(rate.as_units()) * micros(start, world.now);
            prop_assert_eq!(granted, drained / SLOT);
        }
    }

    #[test]
    fn i9_a_refusal_says_exactly_when_to_come_back(
        slots in 1..6_u64,
        rate in rate(),
        attempts in vec((0..300_000_u64, 1..4_u64), 1..60),
    ) {
        let mut world = limit(slots, rate);
        for (gap, wanted) in attempts {
            world.now = world.now + Span::from_micros(gap);
            let acquired = attempt(&mut world, wanted);
            if !matches!(acquired, Acquired::Refused(_)) {
                continue;
            }
            let Wait::Drain(wait) = refused(acquired).blockers[0].wait else {
                panic!("nothing drains");
            };
            prop_assert!(wait > Span::ZERO);
            world.now = world.now + wait - Span::from_micros(1);
            let early = refused(attempt(&mut world, wanted));
            prop_assert_eq!(early.blockers[0].wait, Wait::Drain(Span::from_micros(1)));
            world.now = world.now + Span::from_micros(1);
            prop_assert!(matches!(attempt(&mut world, wanted), Acquired::Granted(_)));
        }
    }

    #[test]
    fn i9_refused_attempts_reads_and_edits_without_changes_cost_nothing(
        slots in 1..4_u64,
        rate in rate(),
        attempts in vec((0..300_000_u64, any::<bool>()), 1..80),
    ) {
        // The same attempts, with and without noise between them.
        let (mut quiet, mut noisy) = (limit(slots, rate), limit(slots, rate));
        for (gap, is_noise) in attempts {
            quiet.now = quiet.now + Span::from_micros(gap);
            noisy.now = quiet.now;
            if is_noise {
                // More than can ever be free after a grant: refused, unless all has drained.
                if noisy.taken("r") > 0 {
                    refused(attempt(&mut noisy, slots));
                }
                noisy.patch("r", LimitPatch { slots: Some(slots), ..LimitPatch::default() });
                noisy.decay("r", rate.as_slots_per_second());
            } else {
                prop_assert_eq!(attempt(&mut quiet, 1), attempt(&mut noisy, 1));
            }
        }
        prop_assert_eq!(quiet.taken("r"), noisy.taken("r"));
    }
}
