//! Why a limit grants nothing at the moment, in sentences.

use leasehold_engine::{LimitView, WaiterView};

use super::shown::Shown;
use crate::doors::pages::show::{count, length, number, visible};

/// The sentences, the most important first. Empty if there is room.
pub(super) fn sentences(shown: &Shown<'_>) -> Vec<String> {
    let view = shown.view;
    if !view.limit.active {
        return vec!["It is switched off: it refuses nothing, and holds nobody up.".to_owned()];
    }
    if view.limit.returning {
        return vec![
            "It is on its way back to the Prefect server: it grants nothing new. Its leases are \
             renewed and released as always."
                .to_owned(),
        ];
    }
    if view.limit.slots == 0 {
        return vec!["It has no slots, so nothing that asks for it can ever run.".to_owned()];
    }
    let mut said = Vec::new();
    if view.taken >= view.limit.slots {
        said.push(who_has_it(shown));
        said.extend(when_it_comes_free(shown));
    }
    said.extend(without_lease(view));
    if view.limit.foreign > 0 {
        let slots = count(view.limit.foreign, "slot");
        said.push(format!("{slots} of them the Prefect server still counts, for its own holders."));
    }
    said.extend(shown.waiters.first().and_then(|first| first_waiter(shown, first)));
    said
}

fn who_has_it(shown: &Shown<'_>) -> String {
    let (view, held) = (shown.view, shown.held);
    let more = if view.taken > view.limit.slots { " More are taken than there are." } else { "" };
    let what = match (view.limit.slots, &held.leases[..]) {
        (_, []) => format!("All {} are taken, by no lease.", count(view.limit.slots, "slot")),
        (1, [one]) => {
            let for_long = length(shown.now.since(one.lease.created));
            format!("One lease has had the only slot for {for_long}.")
        }
        (slots, [oldest, ..]) => {
            let for_long = length(shown.now.since(oldest.lease.created));
            let leases = shown.lease_count();
            format!(
                "All {} are taken, by {leases}. The oldest lease has been held for {for_long}.",
                count(slots, "slot")
            )
        }
    };
    format!("{what}{more}")
}

fn when_it_comes_free(shown: &Shown<'_>) -> Option<String> {
    let limit = &shown.view.limit;
    if !limit.decay.is_none() {
        let every = 1.0 / limit.decay.as_slots_per_second();
        return Some(format!("A taken slot comes back every {every:.3} s by itself."));
    }
    let deadlines = shown.held.leases.iter().map(|held| held.lease.deadline);
    let soonest = deadlines.clone().flatten().min();
    let endless = deadlines.filter(Option::is_none).count();
    if let Some(soonest) = soonest {
        let left = length(soonest.since(shown.now));
        return Some(format!(
            "If no holder renews, the first slot is free in {left}; holders that live renew."
        ));
    }
    (endless > 0).then(|| {
        "Its leases have no deadline: each ends when its run ends, or when its flow run gives no \
         sign of life."
            .to_owned()
    })
}

fn without_lease(view: &LimitView) -> Option<String> {
    let slots = view.unleased.slots_taken();
    if slots == 0 || !view.limit.decay.is_none() {
        return None;
    }
    let it = if slots == 1 { "is" } else { "are" };
    Some(format!(
        "{} {it} taken without a lease: nothing frees {} but the client that took {} or a reset.",
        count(slots, "slot"),
        if slots == 1 { "it" } else { "them" },
        if slots == 1 { "it" } else { "them" },
    ))
}

fn first_waiter(shown: &Shown<'_>, first: &WaiterView) -> Option<String> {
    let since = length(shown.now.since(first.since));
    if let Some(own) = first.stuck.iter().find(|on| on.is_own) {
        return Some(format!(
            "The first waiter waits for itself: its own holder has “{}”. It will wait for ever.",
            visible(&own.limit)
        ));
    }
    if let Some(on) = first.stuck.first() {
        return Some(format!(
            "The first waiter and the holder of “{}” wait for each other. Neither goes on by \
             itself: revoke one lease.",
            visible(&on.limit)
        ));
    }
    let id = shown.view.limit.id;
    let elsewhere: Vec<_> =
        first.blockers.iter().filter(|blocker| blocker.limit.id != id).collect();
    if let Some(blocker) = elsewhere.first()
        && first.blockers.iter().all(|blocker| blocker.limit.id != id)
    {
        return Some(format!(
            "The first of {} has waited for {since}, and not for this limit but for “{}”.",
            count(shown.view.waiting as u64, "waiter"),
            visible(&blocker.limit.name)
        ));
    }
    let free = shown.view.limit.slots.saturating_sub(shown.view.taken);
    let wants = if free > 0 {
        format!(" It wants {}, and {} free.", count(first.slots, "slot"), are(free))
    } else {
        String::new()
    };
    Some(format!(
        "The first of {} has waited for {since}.{wants}",
        count(shown.view.waiting as u64, "waiter")
    ))
}

fn are(free: u64) -> String {
    if free == 1 { "1 is".to_owned() } else { format!("{} are", number(free)) }
}
