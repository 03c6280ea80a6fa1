//! Nothing leaks: when all clients are long dead, no lease with a deadline is left, and of
//! the others those alone whose runs never gave them back; after an operator's reset, nothing.

use super::Evidence;
use super::pictures::pictures;
use crate::wire::Request;

pub(super) fn check(evidence: &Evidence<'_>, report: &mut dyn FnMut(u64, String)) {
    let mut last: Vec<_> = pictures(evidence.history).collect();
    // The janitor's two pictures are the last that anybody asked for.
    last.sort_by_key(|(asked, ..)| *asked);
    let [.., (_, first_left, _, first), (_, second_left, _, second)] = last.as_slice() else {
        report(0, "nobody could look at the end".to_owned());
        return;
    };
    for limit in *first {
        for lease in &limit.leases {
            if lease.deadline.is_some() {
                let what = format!("lease {} is left on {}", lease.id, limit.name);
                report(*first_left, format!("{what} when everybody is long dead"));
            }
            if lease.run.is_some_and(|run| has_given_back(evidence, run, &limit.name)) {
                let what = format!("run {:?} is left on {}", lease.run, limit.name);
                report(*first_left, format!("{what}, and has given it back"));
            }
        }
    }
    for limit in *second {
        if limit.taken > 0 || !limit.leases.is_empty() {
            let what = format!("{} slots of {}", limit.taken, limit.name);
            report(*second_left, format!("{what} are taken after an operator's reset"));
        }
    }
}

/// Whether a run's last word on a tag was that it gives it back, and that was acknowledged.
fn has_given_back(evidence: &Evidence<'_>, run: u64, tag: &String) -> bool {
    let exchanges = &evidence.history.exchanges;
    let taken = exchanges.iter().filter_map(|exchange| match &exchange.request {
        Request::Take { run: of, .. } if *of == run => Some(exchange.quiet),
        Request::ResetTag { holders, .. } if holders.iter().any(|(_, of)| *of == run) => {
            Some(exchange.quiet)
        }
        _ => None,
    });
    let taken = taken.max().unwrap_or(0);
    exchanges.iter().any(|exchange| match &exchange.request {
        Request::Drop { run: of, tags } => {
            let is_told = exchange.done().is_some();
            *of == run && tags.contains(tag) && exchange.sent > taken && is_told
        }
        _ => false,
    })
}
