//! Who holds what by the log of events, as `docs/events.md` finds out, against who does.

use std::collections::{BTreeMap, BTreeSet};

use super::{SHARED, TAGS};
use crate::server::http::Client;

/// What the log has told until now.
#[derive(Default)]
pub(super) struct Log {
    /// The kind of the last event of each lease on each limit.
    last: BTreeMap<(String, String), String>,
    /// The number of the last event that was read.
    after: u64,
}

impl Log {
    /// Reads on, and compares.
    pub(super) fn check(&mut self, client: &mut Client) {
        self.read_on(client);
        for limit in limits() {
            let leases = client.get(&format!("/api/v2/concurrency_limits/{limit}/leases")).json();
            let held: BTreeSet<_> =
                leases.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
            assert_eq!(self.held(&limit), held, "the log is wrong about {limit}");
        }
    }

    fn read_on(&mut self, client: &mut Client) {
        loop {
            let path = format!("/api/leasehold/events?kind=lease&after={}", self.after);
            let page = client.get(&path).json();
            for event in page["events"].as_array().unwrap() {
                let text = |name: &str| event[name].as_str().unwrap().to_owned();
                self.last.insert((text("limit"), text("lease")), text("kind"));
                self.after = event["number"].as_u64().unwrap();
            }
            if page["next"].is_null() {
                return;
            }
        }
    }

    fn held(&self, limit: &str) -> BTreeSet<&str> {
        let is_held =
            |kind: &str| matches!(kind, "lease.granted" | "lease.renewed_late" | "lease.moved_in");
        let here = self.last.iter().filter(|((name, _), kind)| name == limit && is_held(kind));
        here.map(|((_, lease), _)| lease.as_str()).collect()
    }
}

fn limits() -> impl Iterator<Item = String> {
    let shared = SHARED.iter().map(|(name, _)| (*name).to_owned());
    shared.chain(TAGS.iter().map(|(tag, _)| format!("tag:{tag}")))
}
