//! What becomes of each limit.

use leasehold_engine::{Level, Timestamp};

use super::{Choices, Fate, HolderPlan, LimitPlan, OnConflict, Target, TargetLimit};
use crate::prefect::{Inventory, Limit};

const OF_A_DEPLOYMENT: &str =
    "only Prefect uses the limit of a deployment; --deployment-limits carries it";

pub(super) fn plan(inventory: &Inventory, target: &Target, choices: &Choices) -> Vec<LimitPlan> {
    let made = |limit: &Limit| LimitPlan {
        id: limit.id,
        name: limit.name.clone(),
        slots: limit.slots,
        active: limit.active,
        slot_decay_per_second: limit.decay.as_slots_per_second(),
        fate: if limit.deployment().is_some() && !choices.deployment_limits {
            Fate::LeaveOut(OF_A_DEPLOYMENT.to_owned())
        } else {
            fate_of(limit, target, choices.on_conflict)
        },
        taken: limit.taken,
        carried: 0,
        left: 0,
        unknown: 0,
        unleased: 0.0,
        deployments: deployments(limit, inventory),
        source: limit.clone(),
        level: Level::ZERO,
    };
    inventory.limits.iter().map(made).collect()
}

fn deployments(limit: &Limit, inventory: &Inventory) -> Vec<String> {
    let uses = inventory.deployments.iter().filter(|it| it.limit == Some(limit.id));
    uses.map(|deployment| deployment.name.clone()).collect()
}

/// What becomes of a limit by what the other side has.
pub(crate) fn fate_of(limit: &Limit, target: &Target, on_conflict: OnConflict) -> Fate {
    let here = target.limits.iter().filter(|it| it.id == limit.id || it.name == limit.name);
    let differences: Vec<_> = here.clone().flat_map(|here| differences(limit, here)).collect();
    if here.count() == 0 {
        Fate::Create
    } else if differences.is_empty() {
        Fate::Same
    } else {
        match on_conflict {
            OnConflict::Stop => Fate::Conflict(differences),
            OnConflict::Replace => Fate::Replace(differences),
            OnConflict::Skip => Fate::Skip(differences),
        }
    }
}

/// How the limit here differs, in words.
fn differences(there: &Limit, here: &TargetLimit) -> Vec<String> {
    let mut differences = Vec::new();
    if here.id != there.id {
        let leases = match here.leases {
            0 => String::new(),
            leases => format!(", and {leases} leases here hold the one that goes"),
        };
        differences.push(format!("another limit has this name here, {}{leases}", here.id));
    } else if here.name != there.name {
        differences.push(format!("here it is named {}", here.name));
    }
    if here.slots != there.slots {
        differences.push(format!("{} slots there, {} here", there.slots, here.slots));
    }
    if here.active != there.active {
        let word = |active| if active { "active" } else { "inactive" };
        differences.push(format!("{} there, {} here", word(there.active), word(here.active)));
    }
    if here.decay_units != there.decay.as_units() {
        let here = leasehold_engine::Rate::from_units(here.decay_units).as_slots_per_second();
        let there = there.decay.as_slots_per_second();
        differences.push(format!("decay of {there} there, {here} here"));
    }
    differences
}

/// Counts the slots of each limit when it is known what becomes of the holders.
pub(super) fn count(
    limits: &mut [LimitPlan],
    holders: &[HolderPlan],
    inventory: &Inventory,
    choices: &Choices,
    now: Timestamp,
) {
    for limit in limits {
        let id = limit.id;
        for (holder, lease) in holders.iter().zip(&inventory.leases) {
            if holder.on.contains(&id) {
                limit.carried += holder.slots;
            } else if lease.limits.contains(&id) {
                limit.left += holder.slots;
            }
        }
        let source = &limit.source;
        if !source.decay.is_none() {
            let drained = source.decay.drained(source.counted_at, now);
            let level = Level::from_slots(source.taken).saturating_sub(drained);
            // Spent slots drain here as they drain there.
            limit.taken = level.slots_taken();
            limit.level = level;
            limit.unknown = 0;
        } else {
            limit.unknown = limit.taken.saturating_sub(limit.carried + limit.left);
            if choices.keep_counts {
                limit.level = Level::from_slots(limit.unknown);
            }
        }
        if !limit.fate.is_written() {
            limit.level = Level::ZERO;
            limit.unknown = 0;
        }
        limit.unleased = limit.level.as_units() as f64 / Level::from_slots(1).as_units() as f64;
    }
}
