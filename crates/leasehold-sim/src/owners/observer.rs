//! What an observer outside knows: who certainly holds what, by the answers that clients received.
//! It looks into no ledger and no count, except at the end.

use super::wire::{LIMITS, LimitNo, OPEN, SECOND, UPSTREAM_FIRST};

/// How long the gateway may take to notice what somebody took past it: it reads the counts each
/// second, and a reading can fail once.
const NOTICED_AFTER: u64 = 4 * SECOND;

/// Slots that a client certainly holds.
#[derive(Clone, Debug)]
pub(crate) struct Holding {
    pub(crate) lease: u64,
    pub(crate) limits: Vec<LimitNo>,
    pub(crate) slots: u64,
    /// When the client sent the request for it.
    pub(crate) asked: u64,
    /// When the client heard that it was granted.
    pub(crate) from: u64,
    /// Until when it lives at least.
    pub(crate) until: u64,
    /// When the client first asked to release it.
    pub(crate) released: Option<u64>,
    /// It was taken at the upstream past the gateway.
    pub(crate) is_past: bool,
}

#[derive(Default)]
pub(crate) struct Observer {
    pub(crate) holdings: Vec<Holding>,
    /// When a process was last down, or a client last took slots past the gateway.
    pub(crate) last_fault: u64,
    /// When the upstream last lost all its leases.
    pub(crate) forgot_at: u64,
    pub(crate) violations: Vec<(u64, String)>,
    pub(crate) grants_here: usize,
    pub(crate) grants_there: usize,
    pub(crate) grants_on_both: usize,
    pub(crate) handed_over: usize,
    pub(crate) handed_back: usize,
}

impl Holding {
    fn lives_at(&self, now: u64) -> bool {
        self.until > now && self.released.is_none()
    }
}

impl Observer {
    pub(crate) fn report(&mut self, now: u64, what: String) {
        self.violations.push((now, what));
    }

    /// A client heard that it holds slots. Returns the number of the holding.
    pub(crate) fn granted(&mut self, holding: &Holding) -> usize {
        let (now, is_ours) = (holding.from, holding.lease < UPSTREAM_FIRST);
        if holding.lease == 0 {
            self.report(now, format!("nothing was granted of {:?}", holding.limits));
        }
        if is_ours {
            self.grants_here += 1;
        } else {
            self.grants_there += usize::from(!holding.is_past);
        }
        self.grants_on_both += usize::from(is_ours && holding.limits.len() > 1);
        self.holdings.push(holding.clone());
        for limit in &holding.limits {
            let live = self.holdings.iter().filter(|it| it.lives_at(now));
            let on: Vec<_> = live.filter(|it| it.limits.contains(limit)).collect();
            let has_past = *limit == OPEN && self.holdings.iter().any(|it| it.is_past);
            // Who talks to the upstream past the gateway is noticed a little later, and only then.
            let is_known = |it: &&&Holding| {
                !it.is_past || it.from.max(self.last_fault) + NOTICED_AFTER < holding.asked
            };
            let is_judged = !has_past || (is_ours && !holding.is_past);
            let held: u64 = on.iter().filter(is_known).map(|it| it.slots).sum();
            let (name, slots) = LIMITS[*limit];
            // An older past holder that came too late may have made it too many.
            if is_judged && held > slots {
                let leases: Vec<_> = on.iter().map(|it| (it.lease, it.slots)).collect();
                self.report(now, format!("{held} of {slots} slots of {name} are held: {leases:?}"));
            }
        }
        self.holdings.len() - 1
    }

    /// A client heard that its lease is gone.
    pub(crate) fn gone(&mut self, holding: usize, now: u64) {
        let held = &self.holdings[holding];
        // A lease of ours over several limits may need a lease of the upstream.
        let is_upstreams = held.lease >= UPSTREAM_FIRST || held.limits.len() > 1;
        let is_lost = is_upstreams && held.asked <= self.forgot_at;
        if held.lives_at(now) && !is_lost {
            let left = held.until - now;
            let what = format!("lease {} is gone {left} µs before its deadline", held.lease);
            self.report(now, what);
        }
    }
}
