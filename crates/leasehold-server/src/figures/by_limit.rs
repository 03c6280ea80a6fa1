//! What is counted by limit.

use std::sync::Arc;

use leasehold_engine::{EndReason, Event, EventKind, LeaseId, LimitView, Loss, Span, Timestamp};
use leasehold_records::Moment;
use rustc_hash::FxHashMap;

/// How many limits have counters of their own.
const LIMITS_MAX: usize = 1_000;
/// How many limits a minute of the charts has.
const MINUTE_LIMITS_MAX: usize = 1_000;
/// The upper bounds of waits and of holds, in microseconds.
pub(crate) const SPAN_MICROS: [u64; 12] = [
    1_000,
    10_000,
    100_000,
    1_000_000,
    5_000_000,
    15_000_000,
    60_000_000,
    300_000_000,
    900_000_000,
    3_600_000_000,
    21_600_000_000,
    86_400_000_000,
];

/// What became of the requests for a limit, since the server started.
#[derive(Clone, Debug, Default)]
pub(crate) struct LimitFigures {
    pub(crate) granted: u64,
    pub(crate) refused: u64,
    pub(crate) released: u64,
    pub(crate) expired: u64,
    pub(crate) revoked: u64,
    pub(crate) repossessed: u64,
    pub(crate) wait: Spans,
    pub(crate) hold: Spans,
    granted_before: u64,
    per_second: Option<f64>,
}

/// How many spans are between bounds, and their sum.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans {
    pub(crate) counts: [u64; SPAN_MICROS.len() + 1],
    pub(crate) sum_micros: u64,
}

/// The counters of all limits.
#[derive(Debug, Default)]
pub(super) struct ByLimit {
    named: FxHashMap<Arc<str>, LimitFigures>,
    others: LimitFigures,
    /// Since when the requests wait that ask for these leases.
    waiting: FxHashMap<LeaseId, Timestamp>,
    /// The present minute of the charts.
    minute: FxHashMap<Arc<str>, Moment>,
    pub(super) missed_batches: u64,
}

impl Spans {
    fn record(&mut self, span: Span) {
        let micros = span.as_micros();
        let at = SPAN_MICROS.partition_point(|bound| *bound < micros);
        self.counts[at] += 1;
        self.sum_micros = self.sum_micros.saturating_add(micros);
    }
}

impl ByLimit {
    /// The counters of a limit, if it has its own.
    pub(super) fn of(&mut self, name: &Arc<str>) -> Option<LimitFigures> {
        if self.named.len() < LIMITS_MAX {
            return Some(self.named.entry(name.clone()).or_default().clone());
        }
        self.named.get(name).cloned()
    }

    /// The counters of all limits that have none of their own.
    pub(super) fn others(&self) -> &LimitFigures {
        &self.others
    }

    pub(super) fn refused(&mut self, name: &Arc<str>) {
        self.at(name).refused += 1;
        if let Some(moment) = self.now_at(name) {
            moment.refused += 1;
        }
    }

    /// Counts a grant without a lease: no event reports it.
    pub(super) fn granted_without_lease(&mut self, name: &Arc<str>) {
        let limit = self.at(name);
        limit.granted += 1;
        limit.wait.record(Span::ZERO);
        if let Some(moment) = self.now_at(name) {
            moment.granted += 1;
        }
    }

    /// How many grants a limit has had in each second lately.
    pub(super) fn per_second(&self, name: &Arc<str>) -> Option<f64> {
        self.named.get(name).and_then(|limit| limit.per_second)
    }

    /// Counts what happened.
    pub(super) fn count(&mut self, event: &Event) {
        let since = event.lease.and_then(|lease| match event.kind {
            EventKind::Queued => {
                self.waiting.insert(lease, event.at);
                None
            }
            EventKind::Granted | EventKind::Left(_) => self.waiting.remove(&lease),
            _ => None,
        });
        if let EventKind::LimitDeleted(limit) = &event.kind {
            self.named.remove(&limit.name);
        }
        let held = event.granted.map(|granted| event.at.since(granted));
        for name in &event.limits {
            self.count_on(name, event, since, held);
        }
    }

    fn count_on(
        &mut self,
        name: &Arc<str>,
        event: &Event,
        since: Option<Timestamp>,
        held: Option<Span>,
    ) {
        let limit = match &event.kind {
            EventKind::Granted | EventKind::Released | EventKind::Ended(_) | EventKind::Lost(_) => {
                self.at(name)
            }
            _ => return,
        };
        match &event.kind {
            EventKind::Granted => {
                limit.granted += 1;
                limit.wait.record(since.map_or(Span::ZERO, |since| event.at.since(since)));
                if let Some(moment) = self.now_at(name) {
                    moment.granted += 1;
                }
                return;
            }
            EventKind::Released | EventKind::Ended(EndReason::Released) => limit.released += 1,
            EventKind::Ended(EndReason::Expired) => limit.expired += 1,
            EventKind::Ended(EndReason::Revoked { .. })
            | EventKind::Lost(Loss::Reset { .. } | Loss::Deleted) => limit.revoked += 1,
            EventKind::Ended(EndReason::Repossessed { .. }) => limit.repossessed += 1,
            _ => {}
        }
        if let Some(held) = held {
            limit.hold.record(held);
        }
    }

    /// Notes how full the limits are, and what they granted in the seconds since the last time.
    pub(super) fn sample(&mut self, limits: &[LimitView], seconds: f64) {
        for limit in self.named.values_mut() {
            limit.per_second = Some((limit.granted - limit.granted_before) as f64 / seconds);
            limit.granted_before = limit.granted;
        }
        for view in limits.iter().filter(|view| view.taken > 0 || view.waiting > 0) {
            if let Some(moment) = self.now_at(&view.limit.name) {
                moment.taken = moment.taken.max(view.taken);
                moment.waiting = moment.waiting.max(view.waiting as u64);
            }
        }
    }

    /// Ends the minute, and returns it.
    pub(super) fn take_minute(&mut self) -> Vec<(String, Moment)> {
        let minute = std::mem::take(&mut self.minute);
        minute.into_iter().map(|(name, moment)| (name.to_string(), moment)).collect()
    }

    /// The present minute of a limit.
    pub(super) fn minute_of(&self, name: &str) -> Moment {
        self.minute.get(name).copied().unwrap_or_default()
    }

    fn at(&mut self, name: &Arc<str>) -> &mut LimitFigures {
        let is_room = self.named.len() < LIMITS_MAX;
        if is_room && !self.named.contains_key(name) {
            self.named.insert(name.clone(), LimitFigures::default());
        }
        self.named.get_mut(name).unwrap_or(&mut self.others)
    }

    fn now_at(&mut self, name: &Arc<str>) -> Option<&mut Moment> {
        if self.minute.len() < MINUTE_LIMITS_MAX && !self.minute.contains_key(name) {
            self.minute.insert(name.clone(), Moment::default());
        }
        self.minute.get_mut(name)
    }
}

#[cfg(test)]
mod tests {
    use leasehold_engine::{LimitId, MinimalLimit};
    use smallvec::smallvec;

    use super::*;

    fn event(kind: EventKind, at: i64, lease: u128, granted: Option<i64>) -> Event {
        Event {
            at: Timestamp::from_micros(at),
            kind,
            limits: smallvec!["db".into()],
            lease: Some(LeaseId(lease)),
            granted: granted.map(Timestamp::from_micros),
            holder: None,
            origin: None,
            partners: Vec::new(),
        }
    }

    #[test]
    fn waits_and_holds_are_measured() {
        let mut all = ByLimit::default();
        all.count(&event(EventKind::Queued, 1_000, 1, None));
        all.count(&event(EventKind::Granted, 2_501_000, 1, Some(2_501_000)));
        all.count(&event(EventKind::Granted, 3_000_000, 2, Some(3_000_000)));
        all.count(&event(EventKind::Ended(EndReason::Expired), 4_000_000, 2, Some(3_000_000)));
        let db = all.of(&"db".into()).unwrap();
        assert_eq!((db.granted, db.expired, db.released), (2, 1, 0));
        assert_eq!(db.wait.sum_micros, 2_500_000);
        assert_eq!((db.wait.counts[0], db.wait.counts[4]), (1, 1));
        assert_eq!((db.hold.sum_micros, db.hold.counts[3]), (1_000_000, 1));
        assert_eq!(all.minute_of("db").granted, 2);
    }

    #[test]
    fn limits_beyond_the_bound_are_counted_together() {
        let mut all = ByLimit::default();
        let limit = |number: usize| MinimalLimit {
            id: LimitId(number as u128),
            name: format!("limit-{number}").into(),
            slots: 1,
        };
        for number in 0..LIMITS_MAX + 5 {
            all.refused(&limit(number).name);
        }
        assert_eq!(all.of(&"limit-0".into()).unwrap().refused, 1);
        assert!(all.of(&format!("limit-{LIMITS_MAX}").into()).is_none());
        assert_eq!(all.others().refused, 5);
        assert_eq!(all.take_minute().len(), MINUTE_LIMITS_MAX);
        assert!(all.take_minute().is_empty());
    }
}
