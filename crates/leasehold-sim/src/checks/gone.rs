//! A client that hung up before its grant holds no slots: the server sends it no grant, and its
//! lease does not stay.

use super::Evidence;
use super::pictures::pictures;
use crate::history::{Exchange, History};
use crate::wire::{Reply, Request};

/// How long the server may take to undo a grant whose client hung up: the commit may still be
/// running.
const ON_ITS_WAY: u64 = 2_000_000;

pub(super) fn check(evidence: &Evidence<'_>, report: &mut dyn FnMut(u64, String)) {
    let history = evidence.history;
    for exchange in &history.exchanges {
        let (Request::Acquire { lease, patience: Some(patience), .. }
        | Request::Take { lease, patience: Some(patience), .. }) = &exchange.request
        else {
            continue;
        };
        let mut granted = false;
        for answer in &exchange.replies {
            if matches!(answer.reply, Reply::Granted { lease: Some(_), .. }) {
                granted = true;
                let hung_up = exchange.hung_up.iter().find(|(copy, _)| *copy == answer.copy);
                if hung_up.is_some_and(|(_, at)| *at < answer.left) {
                    let what = format!("lease {lease} was granted to a client that had hung up");
                    report(answer.left, what);
                }
            }
        }
        let Some((_, hung_up)) = exchange.hung_up.first() else { continue };
        if granted || patience.has_key || has_asked_again(history, exchange) {
            continue;
        }
        for (asked, left, _, limits) in pictures(history) {
            // A server that restarted does not know that the client hung up.
            let has_begun =
                history.uptimes.iter().any(|up| exchange.sent < up.from && up.from <= left);
            let mut leases = limits.iter().flat_map(|limit| &limit.leases);
            if asked > hung_up + ON_ITS_WAY && !has_begun && leases.any(|l| l.id == *lease) {
                report(left, format!("lease {lease} is held by a client that had hung up"));
                break;
            }
        }
    }
}

/// Whether the run asked again later. Then it holds what it was granted before.
fn has_asked_again(history: &History, exchange: &Exchange) -> bool {
    let run = exchange.request.run();
    let later = history.exchanges.iter().filter(|other| other.sent > exchange.sent);
    run.is_some() && later.map(|other| other.request.run()).any(|of| of == run)
}
