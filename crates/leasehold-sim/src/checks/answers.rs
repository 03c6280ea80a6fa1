//! Each request that reaches the server and cannot wait is answered in time, unless the server
//! crashes.

use super::Evidence;
use super::line::ON_ITS_WAY;

pub(super) fn check(evidence: &Evidence<'_>, report: &mut dyn FnMut(u64, String)) {
    for (number, exchange) in evidence.history.exchanges.iter().enumerate() {
        if exchange.request.patience().is_some() {
            continue;
        }
        for &(copy, at) in &exchange.arrived {
            let soon = at..at + ON_ITS_WAY;
            let is_answered = exchange
                .replies
                .iter()
                .any(|answer| answer.copy == copy && soon.contains(&answer.left));
            if !is_answered && !evidence.history.crashes_in(&soon) {
                report(at, format!("request {number} was never answered"));
            }
        }
    }
}
