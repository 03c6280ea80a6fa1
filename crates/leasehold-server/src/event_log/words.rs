//! The words of an event: its kind, and its reason.

use leasehold_engine::{Departure, EndReason, EventKind, Limit, Loss};

/// A lease holds a limit if its latest event on that limit is one of these kinds.
pub(super) const HOLDS: [&str; 3] = ["lease.granted", "lease.renewed_late", "lease.moved_in"];

/// The kind of an event, and its reason.
pub(super) fn kind_and_reason(what: &EventKind) -> (&'static str, Option<String>) {
    match what {
        EventKind::LimitCreated(_) => ("limit.created", None),
        EventKind::LimitChanged { was, is } => ("limit.changed", Some(what_changed(was, is))),
        EventKind::LimitReset { taken, unleased, edited: _ } => {
            let slots = match unleased {
                0 => String::new(),
                unleased => format!(", {unleased} of them without a lease"),
            };
            ("limit.changed", Some(format!("it was reset to {taken} slots taken{slots}")))
        }
        EventKind::LimitDeleted(_) => ("limit.deleted", None),
        EventKind::Granted => ("lease.granted", None),
        EventKind::RenewedLate { left } => {
            let seconds = left.as_seconds_f64();
            ("lease.renewed_late", Some(format!("{seconds:.3} seconds were left")))
        }
        EventKind::Released | EventKind::Ended(EndReason::Released) => ("lease.released", None),
        EventKind::Ended(EndReason::Expired) => {
            ("lease.expired", Some("it was not renewed".to_owned()))
        }
        EventKind::Ended(EndReason::Revoked { reason, by }) => {
            let reason = match (reason, by) {
                (Some(reason), Some(by)) => Some(format!("by {by}: {reason}")),
                (None, Some(by)) => Some(format!("by {by}")),
                (reason, None) => reason.as_ref().map(ToString::to_string),
            };
            ("lease.revoked", reason)
        }
        EventKind::Ended(EndReason::Repossessed { evidence }) => {
            ("lease.repossessed", Some(evidence.to_string()))
        }
        EventKind::Lost(loss) => ("lease.revoked", Some(why_lost(loss).to_owned())),
        EventKind::MovedOut { to } => {
            ("lease.moved_out", Some(format!("the limit is called '{to}' from now on")))
        }
        EventKind::MovedIn { from } => {
            ("lease.moved_in", Some(format!("the limit was called '{from}' until now")))
        }
        EventKind::Taken { slots, unleased } => {
            ("slots.taken", Some(without_lease(*slots, *unleased)))
        }
        EventKind::GivenBack { slots, unleased } => {
            ("slots.given_back", Some(without_lease(*slots, *unleased)))
        }
        EventKind::Queued => ("waiter.queued", None),
        EventKind::Stuck(stuck) => ("waiter.stuck", Some(leasehold_node::stuck_reason(stuck))),
        EventKind::Left(why) => ("waiter.left", Some(why_left(*why).to_owned())),
    }
}

fn without_lease(slots: u64, unleased: u64) -> String {
    let noun = if slots == 1 { "slot" } else { "slots" };
    format!("{slots} {noun}, without a lease; {unleased} taken so from then on")
}

/// Each field that has changed, by the name that operators know.
fn what_changed(was: &Limit, is: &Limit) -> String {
    let fields = |limit: &Limit| {
        [
            ("name", limit.name.to_string()),
            ("limit", limit.slots.to_string()),
            ("active", limit.active.to_string()),
            ("slot_decay_per_second", limit.decay.as_slots_per_second().to_string()),
            ("slots taken without a lease", limit.unleased.slots_taken().to_string()),
            ("denied_slots", limit.denied_slots.to_string()),
            ("slots that another server counts", limit.foreign.to_string()),
            ("on its way back to another server", limit.returning.to_string()),
        ]
    };
    let both = fields(was).into_iter().zip(fields(is)).filter(|(was, is)| was != is);
    let changes = both.map(|((field, was), (_, is))| format!("{field} from {was} to {is}"));
    changes.collect::<Vec<_>>().join(", ")
}

fn why_lost(loss: &Loss) -> &str {
    match loss {
        Loss::Reset { reason } => reason.as_deref().unwrap_or("the limit was reset"),
        Loss::Deleted => "the limit was deleted",
    }
}

fn why_left(why: Departure) -> &'static str {
    match why {
        Departure::Served => "it got its slots, without a lease",
        Departure::HungUp => "its client hung up",
        Departure::OutOfPatience => "it had waited for as long as a request is held open",
        Departure::NotBack => "its client did not come back to its place",
        Departure::LimitsChanged => "the limit was changed, and it can have no lease any longer",
        Departure::Stopping => "the server stopped",
        Departure::JournalFailed => "the journal failed",
    }
}
