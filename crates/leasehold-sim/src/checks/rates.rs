//! A rate limit grants no more in any window than its burst and what drains in it.

use std::collections::HashMap;

use super::Evidence;
use crate::wire::{Reply, Request};

/// Microseconds times nanos per second, in a slot.
const SLOT: i128 = 1_000_000_000_000_000;

pub(super) fn check(evidence: &Evidence<'_>, report: &mut dyn FnMut(u64, String)) {
    let mut rates = HashMap::new();
    let mut grants: HashMap<&str, Vec<(i64, i128, u64)>> = HashMap::new();
    for exchange in &evidence.history.exchanges {
        match &exchange.request {
            Request::Create { name, slots, nanos_per_second: nanos @ 1.., .. } => {
                rates.insert(name.as_str(), (i128::from(*slots), i128::from(*nanos)));
            }
            Request::Increment { name, slots, is_rate: true } => {
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
