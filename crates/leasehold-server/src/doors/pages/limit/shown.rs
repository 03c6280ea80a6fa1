//! What the page of a limit shows.

use leasehold_engine::{HeldView, LimitView, Timestamp, WaiterView};
use leasehold_records::{Chart, EventRow};

use crate::doors::pages::runs::Runs;
use crate::doors::pages::show;

/// How many holders and waiters a page shows.
pub(super) const SHOWN_MAX: usize = 100;

/// What the page shows.
pub(super) struct Shown<'page> {
    pub(super) view: &'page LimitView,
    pub(super) held: &'page HeldView,
    pub(super) waiters: &'page [WaiterView],
    /// The newest first; `None` if the server keeps no log.
    pub(super) events: Option<Vec<EventRow>>,
    /// The last hour and the last day, if they are recorded.
    pub(super) charts: Option<(Chart, Chart)>,
    pub(super) runs: Runs,
    pub(super) now: Timestamp,
}

impl Shown<'_> {
    /// The limit's name, or its tag.
    pub(super) fn name(&self) -> &str {
        self.view.limit.tag().unwrap_or(&self.view.limit.name)
    }

    /// How many leases hold its slots, in words.
    pub(super) fn lease_count(&self) -> String {
        match self.held.leases.len() {
            SHOWN_MAX => format!("{SHOWN_MAX} leases or more"),
            leases => show::count(leases as u64, "lease"),
        }
    }
}
