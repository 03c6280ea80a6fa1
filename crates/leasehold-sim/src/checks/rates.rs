//! A rate limit grants in any window no more than its burst and what drains meanwhile. If no
//! request used it for as long as its burst takes to drain, it refuses none.

use std::collections::HashMap;

use super::Evidence;
use crate::history::{Answer, Exchange};
use crate::wire::{Reply, Request};

/// One slot, in microseconds times nanos per second.
const SLOT: i128 = 1_000_000_000_000_000;

pub(super) fn check(evidence: &Evidence<'_>, report: &mut dyn FnMut(u64, String)) {
    let mut rates = HashMap::new();
    let mut grants: HashMap<&str, Vec<(i64, i128, u64)>> = HashMap::new();
    for exchange in &evidence.history.exchanges {
        match &exchange.request {
            Request::Create { name, slots, nanos_per_second: nanos @ 1.., .. } => {
                rates.insert(name.as_str(), (i128::from(*slots), i128::from(*nanos)));
            }
            Request::Increment { name, slots, is_rate: true, .. } => {
                for answer in exchange.received() {
                    if let Reply::Granted { at, .. } = answer.reply {
                        let grant = (at, i128::from(*slots), answer.left);
                        grants.entry(name).or_default().push(grant);
                    }
                }
            }
            _ => {}
        }
    }
    for (name, (burst, nanos)) in &rates {
        unexplained_refusals(evidence, name, burst * SLOT / nanos, report);
    }
    for (name, grants) in &mut grants {
        let Some((burst, nanos)) = rates.get(name) else {
            continue;
        };
        grants.sort_unstable();
        for (nth, (from, ..)) in grants.iter().enumerate() {
            let mut granted = 0;
            for (at, slots, left) in &grants[nth..] {
                granted += slots;
                let most = burst * SLOT + nanos * i128::from(at - from);
                if granted * SLOT > most {
                    let span = at - from;
                    report(*left, format!("{name} granted {granted} slots within {span} µs"));
                    break;
                }
            }
        }
    }
}

/// Reports refusals that no grant within the `span` before them can explain.
fn unexplained_refusals(
    evidence: &Evidence<'_>,
    name: &str,
    span: i128,
    report: &mut dyn FnMut(u64, String),
) {
    let history = evidence.history;
    let span = u64::try_from(span).unwrap_or(u64::MAX);
    let attempts: Vec<_> = history
        .exchanges
        .iter()
        .filter(|exchange| match &exchange.request {
            Request::Increment { name: of, is_rate, .. } => *is_rate && of == name,
            _ => false,
        })
        .collect();
    for (exchange, answer) in attempts.iter().flat_map(|e| e.received().map(move |a| (e, a))) {
        let Reply::Refused { at } = answer.reply else {
            continue;
        };
        let at = history.when(at, answer.left);
        let from = at.saturating_sub(span + 1);
        // Across a restart, the server's clock does not run evenly.
        let is_even = history.uptimes.iter().all(|uptime| uptime.from > at || uptime.from < from);
        let may_have_taken = |other: &&&Exchange| {
            let is_refused = |answer: &Answer| {
                matches!(answer.reply, Reply::Refused { .. } | Reply::Unavailable)
            };
            let refused = other.replies.iter().filter(|answer| is_refused(answer)).count() as u64;
            other.sent <= answer.left && other.quiet >= from && refused < other.copies
        };
        if is_even && !attempts.iter().any(|other| may_have_taken(&other)) {
            let what = format!("{name} refused request {:?}", exchange.request);
            report(answer.left, format!("{what}, though unused for {span} µs"));
        }
    }
}
