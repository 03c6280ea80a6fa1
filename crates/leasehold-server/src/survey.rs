//! All limits at a moment, for pages and figures that count, search and sort them.
//!
//! The ledger knows its limits in the order of their names and no other. Reading them all costs it
//! time, so it is done in parts between which others are served, and the result is shared.

use std::sync::Arc;

use leasehold_engine::{LimitView, Page, Scope, Span, Timestamp};
use leasehold_node::{Handle, Unavailable};
use tokio::sync::Mutex;

/// How many limits are read in one step of the ledger.
const PART: usize = 500;
/// For how long a result is good enough.
const FRESH_FOR: Span = Span::from_micros(500_000);

/// Reads all limits now and then.
pub(crate) struct Survey {
    ledger: Handle,
    latest: Mutex<Option<(Timestamp, Arc<[LimitView]>)>>,
}

impl Survey {
    pub(crate) fn new(ledger: Handle) -> Self {
        Self { ledger, latest: Mutex::default() }
    }

    /// All limits in the order of their names, as they were at most half a second ago.
    pub(crate) async fn limits(&self) -> Result<Arc<[LimitView]>, Unavailable> {
        let mut latest = self.latest.lock().await;
        let now = self.ledger.clock().now();
        if let Some((at, limits)) = &*latest
            && now.since(*at) < FRESH_FOR
            && now != *at
        {
            return Ok(limits.clone());
        }
        let (mut limits, mut offset) = (Vec::<LimitView>::new(), 0);
        loop {
            let page = Page { offset, limit: PART };
            let part = self.ledger.limits(Scope::All, page).await?;
            let is_last = part.len() < PART;
            offset += part.len();
            // A limit that was created meanwhile moves those behind it into the next part.
            let last = limits.last().map(|view| view.limit.name.clone());
            let is_new =
                |view: &LimitView| last.as_ref().is_none_or(|last| view.limit.name > *last);
            limits.extend(part.into_iter().filter(is_new));
            if is_last {
                break;
            }
        }
        let limits: Arc<[LimitView]> = limits.into();
        *latest = Some((now, limits.clone()));
        Ok(limits)
    }

    /// Makes the next caller read them again: something has just changed.
    pub(crate) async fn forget(&self) {
        *self.latest.lock().await = None;
    }
}
