//! Nothing leaks. After all clients have stopped, no lease with a deadline is left, and no lease
//! that its run has released. After an operator's reset, no slot is taken.

use super::Evidence;
use super::pictures::pictures;
use crate::wire::Request;

pub(super) fn check(evidence: &Evidence<'_>, report: &mut dyn FnMut(u64, String)) {
    let mut last: Vec<_> = pictures(evidence.history).collect();
    // The last two pictures are the janitor's.
    last.sort_by_key(|(asked, ..)| *asked);
    let [.., (_, first_left, _, first), (_, second_left, _, second)] = last.as_slice() else {
        report(0, "no picture was received at the end".to_owned());
        return;
    };
    for limit in *first {
        for lease in &limit.leases {
            if lease.deadline.is_some() {
                let what = format!("lease {} is left on {}", lease.id, limit.name);
                report(*first_left, format!("{what} after all clients stopped"));
            }
            if lease.run.is_some_and(|run| has_given_back(evidence, run, &limit.name)) {
                let what = format!("run {:?} is left on {}", lease.run, limit.name);
                report(*first_left, format!("{what}, and has given it back"));
            }
        }
    }
    for limit in *second {
        // No reset frees what another server counts.
        if limit.taken != limit.foreign || !limit.leases.is_empty() {
            let what = format!("{} slots of {}", limit.taken, limit.name);
            report(*second_left, format!("{what} are taken after an operator's reset"));
        }
    }
}

/// Whether a run's last request about a tag was an acknowledged release.
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
