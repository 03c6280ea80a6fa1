//! What the server counts, for machines that watch it and for the charts of the pages: requests by
//! route, and by limit what became of leases, how long requests waited and how long slots were
//! held.
//!
//! Counting costs little: a request adds to two atomics; the events of leases are counted by a task
//! of their own, in batches, behind the ledger. Limits are bounded in number: those beyond are
//! counted together.

mod by_limit;
mod counting;
mod history;
mod routes;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use leasehold_engine::{Grant, Refusal, Timestamp};

use self::by_limit::ByLimit;
pub(crate) use self::by_limit::{LimitFigures, SPAN_MICROS, Spans};
pub(crate) use self::counting::Counting;
pub(crate) use self::history::chart;
pub(crate) use self::routes::{Counted, RouteFigures};

/// The figures of a server since its start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_limit: Mutex<ByLimit>,
    routes: Mutex<Vec<Arc<RouteFigures>>>,
    unrouted: Arc<RouteFigures>,
    started: OnceLock<Timestamp>,
}

impl Figures {
    /// Counts a request for slots that was refused, at each limit that lacked them.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        let mut by_limit = self.by_limit();
        for blocker in &refusal.blockers {
            by_limit.refused(&blocker.limit.name);
        }
    }

    /// Counts slots that were granted without a lease. The grants of leases are counted by their
    /// events.
    pub(crate) fn granted(&self, grant: &Grant) {
        if grant.lease.is_some() || grant.holdings.is_empty() {
            return;
        }
        let mut by_limit = self.by_limit();
        for holding in &grant.holdings {
            if let Some(limit) = grant.limits.iter().find(|limit| limit.id == holding.limit) {
                by_limit.granted_without_lease(&limit.name);
            }
        }
    }

    /// How many grants these limits have had in each second lately, in their order.
    pub(crate) fn per_second<'name>(
        &self,
        names: impl Iterator<Item = &'name Arc<str>>,
    ) -> Vec<Option<f64>> {
        let by_limit = self.by_limit();
        names.map(|name| by_limit.per_second(name)).collect()
    }

    /// When the server began to count.
    pub(crate) fn started(&self) -> Option<Timestamp> {
        self.0.started.get().copied()
    }

    /// The counters of a new route.
    pub(crate) fn route(&self, path: &str) -> Arc<RouteFigures> {
        let route = Arc::new(RouteFigures::new(path));
        self.0.routes.lock().unwrap_or_else(PoisonError::into_inner).push(route.clone());
        route
    }

    /// The counters of requests that have no route, or that were refused before any.
    pub(crate) fn unrouted(&self) -> &RouteFigures {
        &self.0.unrouted
    }

    /// The counters of all routes, with those of requests without one.
    pub(crate) fn routes(&self) -> Vec<Arc<RouteFigures>> {
        let routes = self.0.routes.lock().unwrap_or_else(PoisonError::into_inner);
        [&self.0.unrouted].into_iter().chain(&*routes).cloned().collect()
    }

    /// The counters of the limits in `names`, in their order; a limit that is not counted by itself
    /// has none. At the end those of all others together.
    pub(crate) fn limits<'name>(
        &self,
        names: impl Iterator<Item = &'name Arc<str>>,
    ) -> (Vec<Option<LimitFigures>>, LimitFigures) {
        let mut by_limit = self.by_limit();
        let named = names.map(|name| by_limit.of(name)).collect();
        (named, by_limit.others().clone())
    }

    /// How many batches of events were missed, because the ledger was too fast.
    pub(crate) fn missed_batches(&self) -> u64 {
        self.by_limit().missed_batches
    }

    fn by_limit(&self) -> MutexGuard<'_, ByLimit> {
        self.0.by_limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
