//! A key never holds two leases: a repeated request with the same key gets the same lease, or
//! learns that it has ended. A restart may forget a lease that was released.

use std::collections::HashMap;

use super::Evidence;
use crate::scene::What;
use crate::wire::{Reply, Request};

pub(super) fn check(evidence: &Evidence<'_>, report: &mut dyn FnMut(u64, String)) {
    let history = evidence.history;
    let began = |from: u64, to: u64| {
        let scenes = history.scenes.iter();
        scenes
            .filter(|scene| matches!(scene.what, What::Began { .. }))
            .any(|scene| from <= scene.now && scene.now <= to)
    };
    let mut grants: HashMap<u64, Vec<(u64, u64)>> = HashMap::new();
    for exchange in &history.exchanges {
        let Request::Acquire { lease, patience: Some(patience), .. } = &exchange.request else {
            continue;
        };
        for answer in exchange.replies.iter().filter(|_| patience.has_key) {
            if let Reply::Granted { lease: Some(granted), .. } = &answer.reply {
                grants.entry(*lease).or_default().push((answer.left, granted.fence));
            }
        }
    }
    for (key, grants) in &mut grants {
        grants.sort_unstable();
        for pair in grants.windows(2) {
            if let [(first, one), (second, other)] = *pair
                && one != other
                && !began(first, second)
            {
                report(second, format!("key {key} holds lease {one} and lease {other}"));
            }
        }
    }
}
