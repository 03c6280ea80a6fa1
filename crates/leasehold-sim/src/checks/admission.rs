//! No grant exceeds a limit: its slots and those that were certainly held at that time are together
//! no more than the limit may have had.

use std::collections::HashSet;

use super::Evidence;
use super::lives::shaky;
use super::said::Moves;
use crate::history::{Exchange, History};
use crate::wire::{Reply, Request};

pub(super) fn check(evidence: &Evidence<'_>, report: &mut dyn FnMut(u64, String)) {
    let history = evidence.history;
    let excluded = unchecked(history);
    for life in &evidence.lives {
        for name in life.names.iter().filter(|name| !excluded.contains(name.as_str())) {
            let others: u64 = evidence
                .lives
                .iter()
                .filter(|other| other.fence < life.fence && other.granted <= life.granted)
                .filter(|other| other.untouched_until > life.granted)
                .filter(|other| other.promised_until > life.granted)
                .filter(|other| other.names.contains(name))
                .map(|other| other.slots)
                .sum();
            let foreign = Moves::of(history, name).least_foreign(life.asked, life.granted);
            let held = others + unleased(history, name, life.granted) + foreign;
            let most = most_slots(history, name, life.asked, life.granted);
            if held + life.slots > most {
                report(
                    life.acknowledged,
                    format!(
                        "lease {} was granted {} slots of {name} while {held} of {most} were held",
                        life.lease, life.slots
                    ),
                );
            }
        }
    }
    for exchange in &history.exchanges {
        for (name, slots, at, left) in increments(history, exchange) {
            if excluded.contains(name) {
                continue;
            }
            let certain = evidence.lives.iter().filter(|life| life.is_certain_at(at));
            let leased: u64 =
                certain.filter(|l| l.names.iter().any(|n| n == name)).map(|l| l.slots).sum();
            let foreign = Moves::of(history, name).least_foreign(exchange.sent, at);
            let held = leased + unleased(history, name, at) + foreign;
            let most = most_slots(history, name, exchange.sent, at);
            if held + slots > most {
                let what = format!("{slots} slots of {name} while {held} of {most} were held");
                report(left, format!("granted without a lease: {what}"));
            }
        }
    }
}

/// The limits that this check skips: those that drain, and those that were switched on or off or
/// deleted.
fn unchecked(history: &History) -> HashSet<&str> {
    let mut unchecked = shaky(history);
    for exchange in &history.exchanges {
        if let Request::Create { name, nanos_per_second: 1.., .. } = &exchange.request {
            unchecked.insert(name);
        }
    }
    unchecked
}

/// The most slots that a limit may have had at any time from `from` to `to`.
fn most_slots(history: &History, name: &str, from: u64, to: u64) -> u64 {
    let settings: Vec<_> = history
        .exchanges
        .iter()
        .filter(|exchange| exchange.sent <= to)
        .filter_map(|exchange| match &exchange.request {
            Request::Create { name: of, slots, .. }
            | Request::Adopt { name: of, slots, .. }
            | Request::Patch { name: of, slots: Some(slots), .. }
                if of == name =>
            {
                Some((exchange, *slots))
            }
            _ => None,
        })
        .collect();
    let is_overruled = |earlier: &Exchange| {
        settings.iter().any(|(later, _)| {
            later.sent > earlier.quiet && later.done().is_some_and(|done| done <= from)
        })
    };
    settings
        .iter()
        .filter(|(exchange, _)| !is_overruled(exchange))
        .map(|(_, slots)| *slots)
        .max()
        .unwrap_or(u64::MAX)
}

/// The unleased slots that are certainly held: those acknowledged before, less all that may have
/// been released. None once an operator may have set their number.
pub(super) fn unleased(history: &History, name: &str, at: u64) -> u64 {
    let mut taken = 0;
    let mut given_back = 0;
    for exchange in &history.exchanges {
        match &exchange.request {
            Request::Decrement { name: of, slots } if of == name && exchange.sent <= at => {
                given_back += slots * exchange.copies;
            }
            Request::Reset { name: of, .. }
            | Request::ResetTag { name: of, .. }
            | Request::Patch { name: of, taken_max: Some(_), .. }
                if of == name && exchange.sent <= at =>
            {
                return 0;
            }
            _ => {
                let grants = increments(history, exchange);
                let before = grants.filter(|(of, _, granted, _)| *of == name && *granted < at);
                taken += before.map(|(_, slots, ..)| slots).sum::<u64>();
            }
        }
    }
    taken.saturating_sub(given_back)
}

/// The acknowledged grants without a lease, each with its limit, its slots, when it was made and
/// when the reply left.
fn increments<'a>(
    history: &'a History,
    exchange: &'a Exchange,
) -> impl Iterator<Item = (&'a str, u64, u64, u64)> {
    exchange.received().filter_map(|answer| match (&exchange.request, &answer.reply) {
        (Request::Increment { name, slots, .. }, Reply::Granted { at, .. }) => {
            Some((name.as_str(), *slots, history.when(*at, answer.left), answer.left))
        }
        _ => None,
    })
}
