//! What is known of a limit, in plain words. Asks nothing and reads no clock.

use leasehold_api::Timestamp;
use leasehold_api::leases::{LimitLease, Waiter};
use leasehold_api::unleased::TakenBy;
use leasehold_client::Limit;
use serde::Serialize;

use super::{Findings, Run};
use crate::commands::who::{counted, from_where, slots, verb, who};
use crate::duration;
use crate::time::{between, shown};

/// How many holders, and how many waiters, have a line each.
const TOLD_MAX: usize = 20;

/// An explanation.
#[derive(Debug, Serialize)]
pub(super) struct Story {
    pub(super) headline: String,
    held_by: Vec<String>,
    waiting: Vec<String>,
    what_would_free_it: Vec<String>,
}

/// The answer for programs: what was found, and the words for it.
#[derive(Debug, Serialize)]
pub(super) struct Answer<'a> {
    #[serde(flatten)]
    pub(super) findings: &'a Findings,
    #[serde(flatten)]
    pub(super) story: &'a Story,
}

impl Story {
    pub(super) fn sections(&self) -> [(&'static str, &[String]); 3] {
        [
            ("Held by", &self.held_by),
            ("Waiting, in this order", &self.waiting),
            ("What would free it", &self.what_would_free_it),
        ]
    }
}

pub(super) fn tell(findings: &Findings, now: Timestamp) -> Story {
    let Findings { limit, holders, waiters, .. } = findings;
    let is_tight = limit.active && (limit.active_slots >= limit.limit || !waiters.is_empty());
    Story {
        headline: headline(limit, waiters),
        held_by: told(holders, "holder", |lease| holder(findings, lease, now)),
        waiting: told(waiters, "request", |waiter| waits(waiter, now)),
        what_would_free_it: if is_tight { freeing(findings, now) } else { Vec::new() },
    }
}

/// A line for each of the first, and one for the others.
fn told<A>(all: &[A], noun: &str, line: impl Fn(&A) -> String) -> Vec<String> {
    let mut lines: Vec<_> = all.iter().take(TOLD_MAX).map(line).collect();
    if let Some(others) = all.len().checked_sub(TOLD_MAX).filter(|others| *others > 0) {
        lines.push(format!("… and {} more", counted(others as u64, noun)));
    }
    lines
}

fn headline(limit: &Limit, waiters: &[Waiter]) -> String {
    let Limit { name, limit: most, active_slots: taken, .. } = limit;
    let decay = limit.slot_decay_per_second;
    let waiting = match waiters.len() as u64 {
        0 => String::new(),
        count => format!(" {} {} for it.", counted(count, "request"), verb(count, "waits", "wait")),
    };
    let state = if !limit.active {
        format!(
            "{name} is not active: it grants everything. `leasehold gcl enable {name}` ends that."
        )
    } else if *most == 0 {
        format!("{name} has no slots: it grants nothing.")
    } else if decay > 0.0 && taken >= most {
        let each = duration::show(std::time::Duration::from_secs_f64((1.0 / decay).min(1e9)));
        format!("{name} is spent: a slot comes back every {each}.")
    } else if taken > most {
        let back = taken - most + 1;
        format!(
            "{name} is over its limit: {taken} slots of {most} are taken. It grants nothing until \
             {back} of them are back."
        )
    } else if taken == most {
        match most {
            1 => format!("{name} is full: its one slot is taken."),
            _ => format!("{name} is full: all of its {most} slots are taken."),
        }
    } else {
        format!("{name} has room: {taken} of {} {} taken.", slots(*most), verb(*most, "is", "are"))
    };
    format!("{state}{waiting}")
}

fn holder(findings: &Findings, lease: &LimitLease, now: Timestamp) -> String {
    let since =
        |at: Timestamp| format!("for {} (since {})", duration::show(between(at, now)), shown(at));
    if let Some(without) = &lease.without_lease {
        let since = without.since.map(|at| format!(" {}", since(at))).unwrap_or_default();
        return format!("{} without a lease{since}: {}", slots(without.slots), without.detail);
    }
    let name = who(lease.holder.as_ref(), lease.origin.as_ref());
    let id = lease.id.map(|id| id.to_string()).unwrap_or_default();
    let since = lease.created.map(since).unwrap_or_default();
    let place = match from_where(lease.origin.as_ref()) {
        Some(place) if place != name => format!(", from {place}"),
        _ => String::new(),
    };
    let life = life(findings, lease, now);
    format!("{name} holds {} {since}{place}. {life} Lease {id}.", slots(lease.slots))
}

/// What is known of whether a holder lives.
fn life(findings: &Findings, lease: &LimitLease, now: Timestamp) -> String {
    if let Some(deadline) = lease.deadline {
        let left = duration::show(between(now, deadline));
        return format!("It renews, or loses this in {left}.");
    }
    let run = lease.holder.as_ref().and_then(|holder| findings.runs.get(&holder.id));
    match run {
        Some(Some(run)) => format!("It cannot renew. {}", state(run)),
        Some(None) => {
            "It cannot renew, and no run is on record for it: it lasts until it is revoked."
                .to_owned()
        }
        None => "It has no deadline.".to_owned(),
    }
}

fn state(run: &Run) -> String {
    let name = run.name.as_deref().unwrap_or("without a name");
    let state = run.state_name.as_deref().unwrap_or("in no state");
    let within = match &run.flow_run_id {
        Some(id) => format!(", in flow run {id}"),
        None => String::new(),
    };
    format!("Its run {name} is {state}{within}.")
}

fn waits(waiter: &Waiter, now: Timestamp) -> String {
    let name = who(waiter.holder.as_ref(), waiter.origin.as_ref());
    let since = duration::show(between(waiter.since, now));
    let priority = match waiter.priority {
        0 => String::new(),
        priority => format!(", priority {priority}"),
    };
    let blocked = match waiter.blocked_by.is_empty() {
        true => String::new(),
        false => format!(", blocked by {}", waiter.blocked_by.join(", ")),
    };
    let vain = match waiter.stuck.first() {
        Some(on) if on.is_own => format!(". In vain: lease {} is its own", on.lease),
        Some(on) => format!(". In vain: lease {} waits for it in turn", on.lease),
        None => String::new(),
    };
    let position = waiter.position;
    format!(
        "{position}. {name} wants {} since {since}{priority}{blocked}{vain}",
        slots(waiter.slots)
    )
}

fn freeing(findings: &Findings, now: Timestamp) -> Vec<String> {
    let Findings { limit, holders, .. } = findings;
    let name = &limit.name;
    let mut lines = Vec::new();
    if limit.slot_decay_per_second > 0.0 {
        lines.push("Time: its slots come back by themselves.".to_owned());
    }
    let next = holders.iter().filter_map(|lease| Some((lease.deadline?, lease)));
    if let Some((deadline, lease)) = next.min_by_key(|(deadline, _)| *deadline) {
        let left = duration::show(between(now, deadline));
        let name = who(lease.holder.as_ref(), lease.origin.as_ref());
        lines.push(format!("In {left}: {name} has to renew by then, or its slots are free."));
    }
    for without in holders.iter().filter_map(|lease| lease.without_lease.as_ref()) {
        lines.push(match without.taken_by {
            TakenBy::AnotherServer => without.free_with.clone(),
            _ => format!("{} without a lease: {}", slots(without.slots), without.free_with),
        });
    }
    if let Some(id) = holders.iter().find_map(|lease| lease.id) {
        lines
            .push(format!("`leasehold leases revoke {id}`, if you know that its program is dead."));
    }
    if limit.active && limit.slot_decay_per_second <= 0.0 {
        let more = limit.active_slots.max(limit.limit) + 1;
        lines.push(format!("`leasehold gcl update {name} --limit {more}`, for one slot more."));
    }
    lines
}
