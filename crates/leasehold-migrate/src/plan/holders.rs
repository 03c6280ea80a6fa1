//! What becomes of each holder: it is carried if it may still live.

use leasehold_engine::Timestamp;
use uuid::Uuid;

use super::{Choices, Fate, HolderPlan, LimitPlan, Target};
use crate::moment;
use crate::prefect::{Inventory, Lease, Run};

/// In the order of the inventory's leases.
pub(super) fn plan(
    inventory: &Inventory,
    limits: &[LimitPlan],
    target: &Target,
    choices: &Choices,
    now: Timestamp,
) -> Vec<HolderPlan> {
    let made = |lease: &Lease| {
        let run = lease.holder.as_ref().and_then(|holder| inventory.runs.get(holder));
        let known = lease.limits.iter().filter_map(|id| limits.iter().find(|it| it.id == *id));
        let alive_at = choices.stopped_at.unwrap_or(now);
        let verdict = match verdict(lease, run, alive_at) {
            Ok(_) if target.leases.contains(&lease.id) => Err("it is here already".to_owned()),
            Ok(_) if known.clone().all(|limit| !limit.fate.is_written()) => {
                Err(stays(known.clone().map(|limit| &limit.fate)).to_owned())
            }
            verdict => verdict,
        };
        let written = known.clone().filter(|limit| limit.fate.is_written());
        let on: Vec<Uuid> = written.map(|limit| limit.id).collect();
        let (carried, why) = match verdict {
            Ok(why) => (true, why),
            Err(why) => (false, why),
        };
        HolderPlan {
            lease: lease.id,
            limits: known.map(|limit| limit.name.clone()).collect(),
            slots: lease.slots,
            holder: lease.holder.clone(),
            run: run.cloned(),
            since: lease.created,
            deadline: lease.deadline.map(|deadline| now + deadline.since(alive_at)),
            carried,
            why,
            on: if carried { on } else { Vec::new() },
        }
    };
    inventory.leases.iter().map(made).collect()
}

/// Whether the holder may still live, and how that is known.
fn verdict(lease: &Lease, run: Option<&Run>, alive_at: Timestamp) -> Result<String, String> {
    if let Some(run) = run.filter(|run| run.is_over()) {
        let state = run.state.as_deref().unwrap_or_default();
        return Err(format!("its run is {state}"));
    }
    if let Some(deadline) = lease.deadline.filter(|deadline| *deadline <= alive_at) {
        let ago = moment::show_span(alive_at.since(deadline));
        return Err(format!("its lease expired {ago} ago"));
    }
    let is_run = |kind: &str| kind.ends_with("_run");
    match (&lease.holder, run) {
        (_, Some(run)) => Ok(match &run.state {
            Some(state) => format!("its run is {state}"),
            None => "its run has no state".to_owned(),
        }),
        (Some(holder), None) if is_run(&holder.kind) && lease.deadline.is_none() => {
            Err("there is no such run: it was deleted, or never recorded".to_owned())
        }
        // It ends by itself unless somebody renews it.
        (Some(_), None) => Ok("no such run is recorded; its lease lives".to_owned()),
        (None, None) => Ok("no run is named; its lease lives".to_owned()),
    }
}

/// Why a holder stays behind of which no limit is carried.
fn stays<'a>(fates: impl Iterator<Item = &'a Fate>) -> &'static str {
    let mut why = "its limit is not there";
    for fate in fates {
        why = match fate {
            Fate::LeaveOut(_) => "its limit is left out",
            Fate::Conflict(_) => "its limit is in conflict",
            _ => "its limit is here already, with holders of its own",
        };
    }
    why
}
