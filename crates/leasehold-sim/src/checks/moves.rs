//! A limit that moves between two servers: what another server counts is taken here, nothing is
//! granted on the way back, and the partners of a lease are those that were set last.

use super::Evidence;
use super::pictures::pictures;
use super::said::{Moves, foreign, possible, returning};
use crate::wire::Request;

pub(super) fn check(evidence: &Evidence<'_>, report: &mut dyn FnMut(u64, String)) {
    let history = evidence.history;
    for life in &evidence.lives {
        for name in &life.names {
            if Moves::of(history, name).is_certainly_returning(life.asked, life.granted) {
                let what = "was granted while it was on its way back";
                report(life.acknowledged, format!("lease {} on {name} {what}", life.lease));
            }
        }
    }
    for (asked, left, _, limits) in pictures(history) {
        for limit in limits {
            let moves = Moves::of(history, &limit.name);
            let foreign = moves.possible(asked, left, foreign);
            if !foreign.contains(&limit.foreign) {
                let what = format!("counts {} foreign slots, not {foreign:?}", limit.foreign);
                report(left, format!("{} {what}", limit.name));
            }
            let returning = moves.possible(asked, left, returning);
            if !returning.contains(&limit.is_returning) {
                let what = format!("returns: {}, not {returning:?}", limit.is_returning);
                report(left, format!("{} {what}", limit.name));
            }
            // A late copy of a request can make a second lease with the same id.
            let is_only = |id: u64| evidence.lives.iter().any(|it| it.lease == id && it.is_only);
            for lease in limit.leases.iter().filter(|lease| is_only(lease.id)) {
                let pairs = |request: &Request| match request {
                    Request::Pair { lease: of, partners } if *of == lease.id => {
                        Some(partners.clone())
                    }
                    _ => None,
                };
                let partners = possible(&history.exchanges, asked, left, pairs);
                if !partners.contains(&lease.partners) {
                    let what = format!("has partners {:?}, not {partners:?}", lease.partners);
                    report(left, format!("lease {} {what}", lease.id));
                }
            }
        }
    }
}
