//! Contract C16 as a property: no edit takes a slot or changes a lease, whatever number it sends.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_engine::{Acquired, Hold, LimitPatch, Mode, Rate, Updated};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::fixture::World;

/// Limits without decay, and one with.
const NAMES: [&str; 3] = ["a", "tag:x", "rate"];

/// What holders, pages and time do to one of the limits.
#[derive(Clone, Debug)]
enum Act {
    Acquire {
        lease: u128,
        slots: u64,
    },
    Release {
        lease: u128,
    },
    Increment {
        slots: u64,
    },
    Decrement {
        slots: u64,
    },
    /// A dialog is opened, or Terraform reads: it remembers the number.
    Read,
    /// It sends the number with all other fields, and with new `slots`.
    Edit {
        slots: u64,
    },
    /// Terraform sends no number.
    Apply,
    /// A client uses the rate.
    Spend,
    /// The dialog makes it a rate limit, or none.
    Drain {
        slots_per_second: f64,
    },
    Wait {
        seconds: f64,
    },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (1..9_u128, 1..4_u64).prop_map(|(lease, slots)| Act::Acquire { lease, slots }),
        3 => (1..9_u128).prop_map(|lease| Act::Release { lease }),
        2 => (1..3_u64).prop_map(|slots| Act::Increment { slots }),
        2 => (1..3_u64).prop_map(|slots| Act::Decrement { slots }),
        3 => Just(Act::Read),
        3 => (0..6_u64).prop_map(|slots| Act::Edit { slots }),
        1 => Just(Act::Apply),
        2 => Just(Act::Spend),
        1 => prop_oneof![Just(0.0), Just(0.7)]
            .prop_map(|slots_per_second| Act::Drain { slots_per_second }),
        2 => (0.0..40.0_f64).prop_map(|seconds| Act::Wait { seconds }),
    ]
}

/// All fields, as both dialogs and Terraform send them.
fn edit(name: &str, slots: u64, taken_max: u64) -> LimitPatch {
    LimitPatch {
        name: Some(name.into()),
        slots: Some(slots),
        active: Some(true),
        taken_max: Some(taken_max),
        denied_slots: Some(0),
        ..LimitPatch::default()
    }
}

proptest! {
    #[test]
    fn c16_no_sequence_of_edits_leaves_a_slot_taken_without_a_holder(
        acts in vec((0..NAMES.len(), act()), 0..80),
    ) {
        let mut world = World::new();
        world.limit("a", 4);
        world.limit("tag:x", 1);
        world.create("rate", 5, 0.7);
        // The number last read of each limit, and how many slots clients hold without a lease.
        let mut read: BTreeMap<&str, u64> = BTreeMap::new();
        let mut out: BTreeMap<&str, u64> = BTreeMap::new();
        for (nth, act) in acts {
            let name = NAMES[nth];
            let before = (world.taken(name), world.leases(name));
            match act {
                Act::Acquire { lease, slots } => drop(world.acquire(lease, &[(name, slots)])),
                Act::Release { lease } => drop(world.release(lease)),
                Act::Increment { slots } => {
                    let hold = Hold::Unleased;
                    let acquired = world.ask(Mode::Concurrency, &[(name, slots)], hold);
                    if matches!(acquired, Acquired::Granted(_)) {
                        *out.entry(name).or_default() += slots;
                    }
                }
                Act::Decrement { slots } => {
                    let held = out.entry(name).or_default();
                    let slots = slots.min(*held);
                    *held -= slots;
                    if slots > 0 {
                        world.decrement(&[name], slots);
                    }
                }
                Act::Read => drop(read.insert(name, before.0)),
                Act::Edit { slots } => {
                    let shown = read.get(name).copied().unwrap_or(0);
                    prop_assert_eq!(world.patch(name, edit(name, slots, shown)), Updated::Done);
                    prop_assert!(world.taken(name) <= before.0, "an edit took slots");
                    prop_assert_eq!(world.leases(name), before.1);
                }
                Act::Apply => {
                    prop_assert_eq!(world.patch(name, edit(name, 4, 0)), Updated::Done);
                    prop_assert!(world.taken(name) <= before.0, "an edit took slots");
                    prop_assert_eq!(world.leases(name), before.1);
                }
                // On a limit without decay this takes nothing.
                Act::Spend => {
                    drop(world.ask(Mode::RateLimit, &[(name, 1)], Hold::Unleased));
                }
                Act::Drain { slots_per_second } => {
                    let decay = Some(Rate::from_slots_per_second(slots_per_second));
                    let shown = read.get(name).copied().unwrap_or(0);
                    let patch = LimitPatch { decay, ..edit(name, 4, shown) };
                    prop_assert_eq!(world.patch(name, patch), Updated::Done);
                }
                Act::Wait { seconds } => world.wait(seconds),
            }
            let held = out.get(name).copied().unwrap_or(0);
            let view = world.view(name);
            let drains = !view.limit.decay.is_none();
            prop_assert!(
                drains || view.unleased.slots_taken() <= held,
                "{name} has slots that no client took"
            );
        }
        let leases: BTreeSet<_> = NAMES.iter().flat_map(|name| world.leases(name)).collect();
        for lease in leases {
            world.release(lease).unwrap();
        }
        for name in NAMES {
            if let Some(slots) = out.get(name).copied().filter(|slots| *slots > 0) {
                world.decrement(&[name], slots);
            }
            // Of a rate limit, what was spent drains.
            world.wait(100.0);
            prop_assert_eq!(world.taken(name), 0, "no holder has {}", name);
        }
    }
}
