//! The level of a rate limit.

use leasehold_engine::{Level, LimitView, Timestamp};

/// When the next slot of a full rate limit comes back. `None` if one is free, or if it is not
/// known.
pub(super) fn next_slot(view: &LimitView, now: Timestamp) -> Option<Timestamp> {
    let is_full = view.taken >= view.limit.slots && view.taken > 0;
    // Leases on a rate limit drain as well, in an order that the view does not show.
    let has_leases = view.unleased.slots_taken() < view.taken;
    if view.limit.decay.is_none() || !is_full || has_leases {
        return None;
    }
    let below = Level::from_slots(view.limit.slots.saturating_sub(1));
    let span = view.limit.decay.time_to_drain(view.unleased.level().saturating_sub(below))?;
    Some(now + span)
}
