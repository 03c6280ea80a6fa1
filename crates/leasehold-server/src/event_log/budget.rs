//! How many routine events are logged. The grants and releases of a busy limit come faster than a
//! person reads, and writing all of them would cost more than the grants themselves. The log is
//! bounded in number: at full speed it would hold a few seconds.

use leasehold_engine::{Event, EventKind, Timestamp};

const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// How many seconds' worth of events pass at once after a time of rest.
const BURST_SECONDS: i64 = 10;

/// Admits a number of routine events a second. All others pass: ends that no holder requested, and
/// what operators do.
#[derive(Debug)]
pub(super) struct Budget {
    /// What one event costs.
    cost_nanos: i64,
    /// Until when the budget is spent.
    spent_until_nanos: i64,
}

impl Budget {
    /// A budget of events a second; 0 is no bound.
    pub(super) fn new(events_per_second: u32) -> Self {
        let cost_nanos = match events_per_second {
            0 => 0,
            count => NANOS_PER_SECOND / i64::from(count),
        };
        Self { cost_nanos, spent_until_nanos: i64::MIN }
    }

    /// Whether an event is logged.
    pub(super) fn admits(&mut self, event: &Event) -> bool {
        match event.kind {
            EventKind::Granted
            | EventKind::Released
            | EventKind::RenewedLate { .. }
            | EventKind::Taken { .. }
            | EventKind::GivenBack { .. }
            | EventKind::Queued
            | EventKind::Stuck(_)
            | EventKind::Left(_) => self.admits_one(event.at),
            EventKind::LimitCreated(_)
            | EventKind::LimitChanged { .. }
            | EventKind::LimitReset { .. }
            | EventKind::LimitDeleted(_)
            | EventKind::Ended(_)
            | EventKind::Lost(_)
            | EventKind::MovedOut { .. }
            | EventKind::MovedIn { .. } => true,
        }
    }

    fn admits_one(&mut self, at: Timestamp) -> bool {
        let now = at.as_micros().saturating_mul(1_000);
        let spent_until = self.spent_until_nanos.max(now);
        let is_spent = spent_until - now > BURST_SECONDS * NANOS_PER_SECOND - self.cost_nanos;
        if !is_spent {
            self.spent_until_nanos = spent_until + self.cost_nanos;
        }
        !is_spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(budget: &mut Budget, at_seconds: i64, events: usize) -> usize {
        let at = Timestamp::from_micros(at_seconds * 1_000_000);
        (0..events).filter(|_| budget.admits_one(at)).count()
    }

    #[test]
    fn after_a_burst_so_many_pass_each_second() {
        let mut budget = Budget::new(100);
        assert_eq!(admitted(&mut budget, 0, 10_000), 1_000);
        assert_eq!(admitted(&mut budget, 1, 10_000), 100);
        assert_eq!(admitted(&mut budget, 3, 10_000), 200);
    }

    #[test]
    fn a_rest_earns_one_burst_and_no_more() {
        let mut budget = Budget::new(100);
        admitted(&mut budget, 0, 10_000);
        assert_eq!(admitted(&mut budget, 86_400, 10_000), 1_000);
    }

    #[test]
    fn without_a_bound_every_event_passes() {
        assert_eq!(admitted(&mut Budget::new(0), 0, 10_000), 10_000);
    }

    #[test]
    fn what_is_no_routine_always_passes() {
        let mut budget = Budget::new(1);
        admitted(&mut budget, 0, 100);
        let event = |kind| Event {
            at: Timestamp::from_micros(0),
            kind,
            limits: smallvec::smallvec![],
            granted: None,
            lease: None,
            holder: None,
            origin: None,
            partners: Vec::new(),
        };
        assert!(!budget.admits(&event(EventKind::Granted)));
        assert!(!budget.admits(&event(EventKind::Queued)));
        assert!(budget.admits(&event(EventKind::Ended(leasehold_engine::EndReason::Expired))));
        assert!(budget.admits(&event(EventKind::LimitReset {
            taken: 0,
            unleased: 0,
            edited: None
        })));
    }
}
