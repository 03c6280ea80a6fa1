//! Which events are joined to which leases, and how certain that is.

use leasehold_engine::{Fence, Holding, Level};
use smallvec::smallvec;

use super::*;

const LIMIT: LimitId = LimitId(7);
const START: f64 = 1_000.0;

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_micros(0) + Span::from_seconds_f64(START + seconds)
}

/// A book older than [`WINDOW`]: it knows every grant whose event may still come.
fn book() -> Joins {
    Joins::new(Timestamp::from_micros(0))
}

fn origin(flow: Option<&str>) -> Arc<Origin> {
    let flow = Named { id: flow.map(Into::into), name: None };
    let client = Some("prefect/3.8.8".into());
    Arc::new(Origin { address: "10.0.0.7".parse().ok(), client, flow, ..Origin::default() })
}

fn grant(lease: Option<u128>, seconds: f64) -> Grant {
    Grant {
        lease: lease.map(|id| leasehold_engine::Granted {
            id: LeaseId(id),
            fence: Fence(1),
            created: at(seconds),
            deadline: None,
            has_key: false,
        }),
        unleased: None,
        holdings: smallvec![Holding { limit: LIMIT, slots: 1, level: Level::from_slots(1) }],
        limits: smallvec![],
    }
}

impl Joins {
    fn lease(&self, id: u128, seconds: f64) {
        self.granted(&grant(Some(id), seconds), None, origin(None), at(seconds));
    }

    fn told(&self, run: &str, seconds: f64) -> Option<(u128, Certainty)> {
        self.hear(&event(run, seconds), seconds)
    }

    fn hear(&self, event: &Acquired, seconds: f64) -> Option<(u128, Certainty)> {
        let join = self.join(event, at(seconds + 0.001))?;
        assert_eq!(join.origin.identified, Some(join.identified.clone()));
        assert_eq!(join.identified.flow_run, event.flow_run);
        Some((join.lease.0, join.identified.certainty))
    }
}

fn event(run: &str, seconds: f64) -> Acquired {
    Acquired {
        id: Uuid::new_v4(),
        occurred: at(seconds),
        address: "10.0.0.7".parse().ok(),
        limit: LIMIT,
        slots: 1,
        flow: None,
        flow_run: Named { id: Some(run.into()), name: None },
        task_run: Named::default(),
    }
}

#[test]
fn an_event_that_only_one_lease_fits_is_certain() {
    let joins = book();
    joins.lease(1, 0.0);
    assert_eq!(joins.told("a", 0.004), Some((1, Certainty::Certain)));
    joins.lease(2, 0.010);
    assert_eq!(joins.told("b", 0.014), Some((2, Certainty::Certain)));
}

#[test]
fn an_event_that_comes_twice_is_joined_once() {
    let joins = book();
    joins.lease(1, 0.0);
    let first = event("a", 0.004);
    joins.hear(&first, 0.004).unwrap();
    joins.lease(2, 5.0);
    assert_eq!(joins.hear(&first, 5.001), None);
    assert_eq!(joins.told("b", 5.004), Some((2, Certainty::Certain)));
}

#[test]
fn an_event_from_elsewhere_or_of_other_slots_is_not_joined() {
    let joins = book();
    joins.lease(1, 0.0);
    let elsewhere = Acquired { address: "10.0.0.8".parse().ok(), ..event("a", 0.004) };
    assert_eq!(joins.hear(&elsewhere, 0.004), None);
    assert_eq!(joins.hear(&Acquired { slots: 2, ..event("a", 0.004) }, 0.004), None);
    assert_eq!(joins.hear(&Acquired { limit: LimitId(8), ..event("a", 0.004) }, 0.004), None);
    assert_eq!(joins.told("a", 40.0), None, "too late");
    assert_eq!(joins.told("a", -3.0), None, "before the grant");
}

#[test]
fn of_several_leases_the_one_granted_just_before_the_event_is_likely() {
    let joins = book();
    joins.lease(1, 0.0);
    joins.lease(2, 10.0);
    assert_eq!(joins.told("b", 10.004), Some((2, Certainty::Likely)));
    // Not certain: the first event may have been lease 1's, and this one lease 2's.
    assert_eq!(joins.told("a", 10.006), Some((1, Certainty::Likely)));
}

#[test]
fn an_event_that_fits_leases_granted_at_once_is_not_joined() {
    let joins = book();
    joins.lease(1, 0.0);
    joins.lease(2, 0.005);
    assert_eq!(joins.told("a", 0.008), None);
}

#[test]
fn the_flow_and_the_holder_tell_leases_apart() {
    let joins = book();
    joins.granted(&grant(Some(1), 0.0), None, origin(Some("one")), at(0.0));
    joins.granted(&grant(Some(2), 0.0), None, origin(Some("two")), at(0.0));
    let of_two = Acquired { flow: Some("two".into()), ..event("b", 0.004) };
    assert_eq!(joins.hear(&of_two, 0.004), Some((2, Certainty::Certain)));

    let joins = book();
    for (lease, run) in [(1, "x"), (2, "y")] {
        let holder = Holder::new(Holder::TASK_RUN, run);
        joins.granted(&grant(Some(lease), 0.0), Some(holder), origin(None), at(0.0));
    }
    let task_run = Named { id: Some("y".into()), name: None };
    let of_y = Acquired { task_run, ..event("b", 0.004) };
    assert_eq!(joins.hear(&of_y, 0.004), Some((2, Certainty::Certain)));
}

#[test]
fn the_event_of_slots_without_a_lease_is_joined_to_no_other_lease() {
    let joins = book();
    joins.granted(&grant(None, 0.0), None, origin(None), at(0.0));
    assert_eq!(joins.told("a", 0.004), None);
    joins.lease(2, 0.010);
    assert_eq!(joins.told("b", 0.014), Some((2, Certainty::Certain)));
}

#[test]
fn just_after_the_start_no_join_is_certain() {
    let joins = Joins::new(at(0.0));
    joins.lease(1, 1.0);
    assert_eq!(joins.told("a", 1.004), Some((1, Certainty::Likely)));
    joins.lease(2, 100.0);
    assert_eq!(joins.told("a", 100.004), Some((2, Certainty::Certain)));
}

#[test]
fn events_of_one_lease_on_two_limits_identify_it_once() {
    let joins = book();
    let mut both = grant(Some(1), 0.0);
    both.holdings.push(Holding { limit: LimitId(8), slots: 1, level: Level::from_slots(1) });
    joins.granted(&both, None, origin(None), at(0.0));
    assert_eq!(joins.told("a", 0.004), Some((1, Certainty::Certain)));
    assert_eq!(joins.hear(&Acquired { limit: LimitId(8), ..event("a", 0.005) }, 0.005), None);
}

#[test]
fn the_book_is_bounded_and_no_join_is_certain_after_it_was_full() {
    let joins = book();
    for lease in 0..=GRANTS_MAX as u128 {
        let limit = LimitId(1_000 + lease);
        let mut grant = grant(Some(lease), 0.0);
        grant.holdings[0].limit = limit;
        joins.granted(&grant, None, origin(None), at(0.0));
    }
    assert_eq!(joins.0.lock().unwrap().grants.len(), GRANTS_MAX);
    assert_eq!(joins.0.lock().unwrap().by_limit.len(), GRANTS_MAX);
    joins.lease(1, 1.0);
    assert_eq!(joins.told("a", 1.004), Some((1, Certainty::Likely)));
    joins.lease(2, 100.0);
    assert_eq!(joins.0.lock().unwrap().grants.len(), 1);
}
