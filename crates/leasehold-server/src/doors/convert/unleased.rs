//! Slots that no lease holds, from the engine to the wire.

use std::borrow::Cow;
use std::sync::Arc;

use leasehold_api::unleased::{SlotsWithoutLease, TakenBy};
use leasehold_engine::{Blocker, LimitView, TakenBy as By, Unheld, Wait};
use serde_json::json;

use super::timestamp;

/// Slots that no lease holds, on a limit that drains or not.
pub(crate) fn slots(limit: &Arc<str>, part: &Unheld, drains: bool) -> SlotsWithoutLease {
    let taken = part.level.slots_taken();
    let body = json!({"names": [**limit], "slots": taken});
    let free_with = format!("POST /api/v2/concurrency_limits/decrement {body}");
    SlotsWithoutLease {
        limit: (**limit).to_owned(),
        slots: taken,
        taken_by: taken_by(part.taken_by),
        since: part.since.map(timestamp),
        detail: detail(taken, part.taken_by, drains),
        free_with,
    }
}

/// The slots that no lease holds on the limits that a request waits for.
pub(crate) fn of_blockers(blockers: &[Blocker]) -> Vec<SlotsWithoutLease> {
    blockers.iter().flat_map(of_blocker).collect()
}

pub(crate) fn of_blocker(blocker: &Blocker) -> Vec<SlotsWithoutLease> {
    let drains = matches!(blocker.wait, Wait::Drain(_));
    let parts = blocker.unleased.parts().iter();
    let here = parts.map(|part| slots(&blocker.limit.name, part, drains));
    here.chain(foreign(&blocker.limit.name, blocker.foreign)).collect()
}

/// The slots of a limit that no lease holds.
pub(crate) fn of_limit(view: &LimitView) -> Vec<SlotsWithoutLease> {
    let drains = !view.limit.decay.is_none();
    let parts = view.unleased.parts().iter();
    let here = parts.map(|part| slots(&view.limit.name, part, drains));
    here.chain(foreign(&view.limit.name, view.limit.foreign)).collect()
}

/// The slots of a limit that another server counts as taken.
pub(crate) fn foreign(limit: &Arc<str>, slots: u64) -> Option<SlotsWithoutLease> {
    let (noun, it) = if slots == 1 { ("slot", "it") } else { ("slots", "them") };
    let slots_without_lease = || SlotsWithoutLease {
        limit: (**limit).to_owned(),
        slots,
        taken_by: TakenBy::AnotherServer,
        since: None,
        detail: format!(
            "Another server counts {slots} {noun}: it granted {it} before this limit came over. A \
             holder there still uses {it}, or nobody does."
        ),
        free_with: "leasehold migrate prefect status".to_owned(),
    };
    (slots > 0).then(slots_without_lease)
}

fn taken_by(by: By) -> TakenBy {
    match by {
        By::Created => TakenBy::Create,
        By::Incremented => TakenBy::Increment,
        By::Spent => TakenBy::RateLimit,
        By::Reset => TakenBy::Reset,
        By::Unknown => TakenBy::Unknown,
    }
}

fn detail(slots: u64, by: By, drains: bool) -> String {
    let (noun, it) = if slots == 1 { ("slot", "it") } else { ("slots", "them") };
    let what: Cow<'_, str> = match by {
        By::Created => "the limit was created with active_slots, as `prefect transfer` does".into(),
        By::Incremented => format!(
            "a client took {it} with POST /increment, and must give {it} back with /decrement"
        )
        .into(),
        By::Spent => "a client used the rate limit".into(),
        By::Reset => "an operator reset the limit: PATCH with active_slots alone".into(),
        By::Unknown => format!("an older version did not record what took {it}").into(),
    };
    let end = match (drains, slots) {
        (true, 1) => "It drains by itself.".to_owned(),
        (true, _) => "They drain by themselves.".to_owned(),
        (false, _) => format!("Nothing else gives {it} back: if no client uses {it}, free {it}."),
    };
    format!("No lease holds {slots} {noun}: {what}. {end}")
}
