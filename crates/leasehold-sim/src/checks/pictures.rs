//! Every picture of all limits and leases is consistent in itself and with what was acknowledged.

use std::collections::HashMap;

use super::Evidence;
use super::admission::unleased;
use super::lives::shaky;
use crate::history::History;
use crate::wire::{Limit, Reply, Request};

pub(super) fn check(evidence: &Evidence<'_>, report: &mut dyn FnMut(u64, String)) {
    let shaky = shaky(evidence.history);
    let longest = longest_ttls(evidence.history);
    for (asked, left, at, limits) in pictures(evidence.history) {
        let when = evidence.history.when(at, left);
        for limit in limits {
            let mut wrong = |what: String| report(left, format!("{}: {what}", limit.name));
            adds_up(limit, at, &mut wrong);
            for lease in &limit.leases {
                // A downtime extends a deadline by its own length, and no more.
                let left = lease.deadline.map_or(0, |deadline| deadline - at);
                if left > longest.get(&lease.id).copied().unwrap_or(0) {
                    wrong(format!("lease {} has {left} µs left, more than it asked", lease.id));
                }
            }
            if !shaky.contains(limit.name.as_str()) {
                let least = unleased(evidence.history, &limit.name, asked);
                let after = given_back_until(evidence.history, &limit.name, asked, left);
                if !limit.drains && limit.unleased < least.saturating_sub(after) {
                    wrong(format!("{} slots without a lease, {least} taken", limit.unleased));
                }
                let most = taken_until(evidence.history, &limit.name, left);
                if limit.unleased > most {
                    let what = format!("at most {most} were ever taken so");
                    wrong(format!("{} slots without a lease, {what}", limit.unleased));
                }
            }
        }
        for life in &evidence.lives {
            let on = limits.iter().filter(|limit| life.names.contains(&limit.name));
            for limit in on.filter(|limit| !shaky.contains(limit.name.as_str())) {
                let is_there = limit.leases.iter().any(|lease| lease.fence == life.fence);
                let is_certain = life.granted < when
                    && life.acknowledged < asked
                    && left < life.untouched_until
                    && when < life.promised_until;
                if is_certain && !is_there {
                    let what = "is not there, and nothing has ended it";
                    report(left, format!("lease {} on {} {what}", life.lease, limit.name));
                }
                if is_there && life.released.is_some_and(|released| released < asked) {
                    let what = "is there after its release was acknowledged";
                    report(left, format!("lease {} on {} {what}", life.lease, limit.name));
                }
            }
        }
    }
}

/// All taken slots are leased or unleased, and no lease exists past its deadline.
fn adds_up(limit: &Limit, at: i64, wrong: &mut dyn FnMut(String)) {
    let leased: u64 = limit.leases.iter().map(|lease| lease.slots).sum();
    let sum = leased + limit.unleased + limit.foreign;
    if limit.taken > sum || (!limit.drains && limit.taken != sum) {
        wrong(format!("{} slots are taken, and {sum} are held", limit.taken));
    }
    for lease in &limit.leases {
        if lease.deadline.is_some_and(|deadline| deadline <= at) {
            wrong(format!("lease {} is there past its deadline", lease.id));
        }
    }
}

/// The longest time that was ever requested for each lease.
fn longest_ttls(history: &History) -> HashMap<u64, i64> {
    let mut longest = HashMap::new();
    for exchange in &history.exchanges {
        if let Request::Acquire { lease, ttl, .. } | Request::Renew { lease, ttl } =
            &exchange.request
        {
            let longest = longest.entry(*lease).or_default();
            *longest = i64::try_from(*ttl).unwrap_or(i64::MAX).max(*longest);
        }
    }
    longest
}

/// All received pictures: when each was requested, when it left, what the server's clock showed,
/// and the limits.
pub(super) fn pictures(history: &History) -> impl Iterator<Item = (u64, u64, i64, &[Limit])> {
    history.exchanges.iter().flat_map(|exchange| {
        exchange.received().filter_map(|answer| match &answer.reply {
            Reply::Picture { at, limits } => {
                Some((exchange.sent, answer.left, *at, limits.as_slice()))
            }
            _ => None,
        })
    })
}

/// How many unleased slots requests and an operator's resets may ever have taken. An edit takes
/// none, whatever number it sends.
fn taken_until(history: &History, name: &str, to: u64) -> u64 {
    let requests = history.exchanges.iter().filter(|exchange| exchange.sent <= to);
    requests
        .map(|exchange| match &exchange.request {
            Request::Increment { name: of, slots, .. } if of == name => slots * exchange.copies,
            Request::Reset { name: of, slots } if of == name => slots * exchange.copies,
            _ => 0,
        })
        .fold(0, u64::saturating_add)
}

/// How many unleased slots may have been released between the two times.
fn given_back_until(history: &History, name: &str, from: u64, to: u64) -> u64 {
    let requests = history.exchanges.iter().filter(|e| e.sent > from && e.sent <= to);
    requests
        .map(|exchange| match &exchange.request {
            Request::Decrement { name: of, slots } if of == name => slots * exchange.copies,
            Request::Reset { name: of, .. }
            | Request::ResetTag { name: of, .. }
            | Request::Patch { name: of, taken_max: Some(_), .. }
                if of == name =>
            {
                u64::MAX
            }
            _ => 0,
        })
        .fold(0, u64::saturating_add)
}
