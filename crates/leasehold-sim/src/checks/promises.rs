//! An acknowledged lease exists until its deadline or until a request ends it, across crashes too.

use super::Evidence;
use crate::wire::{Reply, Request};

pub(super) fn check(evidence: &Evidence<'_>, report: &mut dyn FnMut(u64, String)) {
    for exchange in &evidence.history.exchanges {
        let (lease, is_release) = match exchange.request {
            Request::Renew { lease, .. } => (lease, false),
            Request::Release { lease } => (lease, true),
            _ => continue,
        };
        let lives = || evidence.lives.iter().filter(|life| life.lease == lease);
        for answer in exchange.received() {
            let Reply::Gone { at, how } = answer.reply else {
                continue;
            };
            let at = evidence.history.when(at, answer.left);
            for life in lives().filter(|life| at < life.promised_until) {
                // A second copy of a release may find that the first has ended the lease.
                let is_first_release = is_release && exchange.copies == 1;
                let is_untouched = at < life.untouched_until
                    || (is_first_release && at < life.untouched_by_others_until);
                if is_untouched && life.granted <= at {
                    let early = life.promised_until.saturating_sub(at);
                    report(
                        answer.left,
                        format!("lease {lease} was gone ({how:?}) {early} µs before its deadline"),
                    );
                }
            }
        }
    }
}
