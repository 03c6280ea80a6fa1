//! Random stories: commands over a few limits, leases and holders, with times that go on,
//! stand still, run backwards or hit a deadline exactly.

use leasehold_engine::{
    Acquire, Adopt, Command, CreateLimit, GiveBack, Hold, Holder, LeaseFilter, LeaseId, Ledger,
    Level, LimitId, LimitPatch, LimitRef, Missing, Mode, Notes, Page, Query, Rate, RequestDigest,
    Scope, Snapshot, Span, Timestamp,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::fixture::task_run;

pub(super) const START: i64 = 1_000_000_000;

/// A command, and when it comes.
#[derive(Clone, Debug)]
pub(super) struct Move {
    pub(super) pace: Pace,
    pub(super) command: Command,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Pace {
    /// So much later than the latest time; earlier, if negative.
    By(i64),
    /// So much later than the next deadline, if there is one.
    ToDeadline(i64),
}

impl Pace {
    pub(super) fn time(self, ledger: &Ledger) -> Timestamp {
        let (from, by) = match self {
            Self::By(by) => (ledger.now(), by),
            Self::ToDeadline(by) => (ledger.next_deadline().unwrap_or(ledger.now()), by),
        };
        Timestamp::from_micros(from.as_micros() + by)
    }
}

/// A ledger with the limits that the stories are about.
pub(super) fn opening() -> Ledger {
    let mut ledger = Ledger::restore(Snapshot::default(), Timestamp::from_micros(START));
    for command in limits() {
        ledger.step(command, Timestamp::from_micros(START));
    }
    ledger
}

pub(super) fn limits() -> Vec<Command> {
    let rates = [("a", 2, 0.0), ("b", 3, 0.0), ("r", 4, 3.0), ("tag:x", 1, 0.0), ("tag:y", 2, 0.0)];
    (1..)
        .zip(rates)
        .map(|(id, (name, slots, rate))| create(id, name, slots, rate, true, 0))
        .collect()
}

pub(super) fn story(commands: impl Strategy<Value = Command>) -> impl Strategy<Value = Vec<Move>> {
    let event = (pace(), commands).prop_map(|(pace, command)| Move { pace, command });
    vec(event, 0..60)
}

fn pace() -> impl Strategy<Value = Pace> {
    prop_oneof![
        4 => (0..1_500_000_i64).prop_map(Pace::By),
        2 => Just(Pace::By(0)),
        1 => (-5_000_000..0_i64).prop_map(Pace::By),
        2 => (-1..=1_i64).prop_map(Pace::ToDeadline),
    ]
}

/// What holders do.
pub(super) fn by_holders() -> BoxedStrategy<Command> {
    prop_oneof![
        8 => acquire(),
        4 => lease().prop_map(|lease| Command::Release { lease }),
        3 => (lease(), ttl()).prop_map(|(lease, ttl)| Command::Renew { lease, ttl }),
        2 => (vec(name(), 1..3), 1..4_u64).prop_map(|(names, slots)| {
            Command::GiveBack(GiveBack {
                names: names.into_iter().map(Into::into).collect(),
                slots,
                occupancy: None,
            })
        }),
        2 => (vec(name(), 1..3), holder()).prop_map(|(names, holder)| Command::ReleaseTags {
            names: names.into_iter().map(Into::into).collect(),
            holder,
        }),
        1 => (holder(), any::<bool>()).prop_map(|(holder, with_deadline)| {
            Command::Repossess { holder, with_deadline, evidence: "gone".into() }
        }),
        1 => lease().prop_map(|lease| Command::Read(Query::Lease(lease))),
        1 => Just(Command::Tick),
    ]
    .boxed()
}

/// What all do, with leases that have labels or an idempotency key.
pub(super) fn by_all_with_notes() -> BoxedStrategy<Command> {
    let filter = (option::of(name()), option::of(kind()), option::of(holder())).prop_map(
        |(limit, holder_kind, holder)| LeaseFilter {
            limit: limit.map(Into::into),
            holder_kind: holder_kind.map(Into::into),
            holder_id: holder.map(|holder| holder.id),
        },
    );
    let page = (0..3_usize, 0..4_usize).prop_map(|(offset, limit)| Page { offset, limit });
    prop_oneof![
        7 => by_all(),
        5 => acquire_with_notes(),
        1 => (vec(lease(), 0..4), ttl())
            .prop_map(|(leases, ttl)| Command::RenewMany { leases, ttl }),
        1 => (filter, page).prop_map(|(filter, page)| {
            Command::Read(Query::FindLeases(filter, page))
        }),
    ]
    .boxed()
}

fn acquire_with_notes() -> impl Strategy<Value = Command> {
    let notes = (any::<bool>(), option::of(0..2_u128)).prop_map(|(labelled, request)| {
        let labels = labelled.then(|| ("team".into(), "data".into())).into_iter().collect();
        Some(Notes { labels, request: request.map(RequestDigest) }.into())
    });
    let missing = prop_oneof![Just(Missing::Skip), Just(Missing::Refuse)];
    (acquire(), notes, missing).prop_map(|(command, said, missing)| match command {
        Command::Acquire(mut acquire) => {
            if let Hold::Lease { notes, .. } = &mut acquire.hold {
                *notes = said;
            }
            Command::Acquire(Acquire { missing, ..acquire })
        }
        other => other,
    })
}

/// What holders do and what operators do.
pub(super) fn by_all() -> BoxedStrategy<Command> {
    prop_oneof![10 => by_holders(), 4 => by_operators(), 3 => by_movers()].boxed()
}

/// What happens to limits that move between this server and another one.
fn by_movers() -> impl Strategy<Value = Command> {
    let limit = || (1..9_u128).prop_map(LimitId);
    let adopt = (1..9_u128, name(), 0..4_u64, rate(), 0..3_u64, 0..4_u64).prop_map(
        |(id, name, slots, rate, foreign, level)| {
            let decay = Rate::from_slots_per_second(rate);
            let limit = CreateLimit { decay, ..CreateLimit::new(LimitId(id), name, slots) };
            let level = Level::from_slots(level);
            Command::Adopt(Adopt { limit, foreign, occupancy_seconds_average: 2.0, level })
        },
    );
    prop_oneof![
        1 => adopt,
        3 => (limit(), 0..4_u64).prop_map(|(limit, slots)| Command::SetForeign { limit, slots }),
        2 => (limit(), prop::bool::weighted(0.4))
            .prop_map(|(limit, returning)| Command::SetReturning { limit, returning }),
        1 => (lease(), vec(lease(), 0..3))
            .prop_map(|(lease, partners)| Command::Pair { lease, partners }),
    ]
}

fn by_operators() -> impl Strategy<Value = Command> {
    let reason = || Some("because".into());
    prop_oneof![
        2 => (limit_ref(), patch()).prop_map(|(limit, patch)| Command::UpdateLimit { limit, patch }),
        1 => (6..9_u128, name(), 0..4_u64, rate(), any::<bool>(), 0..3_u64).prop_map(
            |(id, name, slots, rate, active, unleased)| {
                create(id, name, slots, rate, active, unleased)
            }
        ),
        1 => (limit_ref(), 0..4_u64).prop_map(move |(limit, slots)| Command::ResetLimit {
            limit,
            slots,
            reason: reason()
        }),
        1 => (name(), vec((lease(), holder()), 0..3)).prop_map(move |(name, holders)| {
            Command::ResetTag { name: name.into(), holders, reason: reason() }
        }),
        1 => (limit_ref(), prop_oneof![Just(Scope::All), Just(Scope::Tags)])
            .prop_map(|(limit, scope)| Command::DeleteLimit { limit, scope }),
        1 => lease().prop_map(move |lease| Command::Revoke { lease, reason: reason(), by: None }),
    ]
}

fn acquire() -> impl Strategy<Value = Command> {
    let wants = vec((name(), prop_oneof![4 => Just(1_u64), 1 => 2..5_u64]), 1..4);
    let hold = prop_oneof![
        4 => (lease(), option::of(holder()), ttl())
            .prop_map(|(id, holder, ttl)| Hold::Lease { id, holder, ttl, notes: None }),
        1 => (lease(), holder()).prop_map(|(id, holder)| Hold::Holder { id, holder }),
        2 => Just(Hold::Unleased),
    ];
    let mode = prop_oneof![5 => Just(Mode::Concurrency), 1 => Just(Mode::RateLimit)];
    (wants, mode, hold).prop_map(|(wants, mode, hold)| {
        Command::Acquire(Acquire { mode, ..Acquire::new(wants, hold) })
    })
}

fn patch() -> impl Strategy<Value = LimitPatch> {
    (
        option::weighted(0.2, name()),
        option::weighted(0.3, 0..5_u64),
        option::weighted(0.4, any::<bool>()),
        option::weighted(0.3, rate()),
        option::weighted(0.2, 0..4_u64),
    )
        .prop_map(|(name, slots, active, decay, taken_max)| LimitPatch {
            name: name.map(Into::into),
            slots,
            active,
            decay: decay.map(Rate::from_slots_per_second),
            taken_max,
            denied_slots: None,
        })
}

fn create(
    id: u128,
    name: &str,
    slots: u64,
    slots_per_second: f64,
    active: bool,
    unleased: u64,
) -> Command {
    let decay = Rate::from_slots_per_second(slots_per_second);
    let limit = CreateLimit::new(LimitId(id), name, slots);
    Command::CreateLimit(CreateLimit { active, decay, unleased, ..limit })
}

fn name() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("a"), Just("b"), Just("r"), Just("tag:x"), Just("tag:y"), Just("nowhere")]
}

fn limit_ref() -> impl Strategy<Value = LimitRef> {
    prop_oneof![
        3 => name().prop_map(|name| LimitRef::Name(name.into())),
        1 => (1..9_u128).prop_map(|id| LimitRef::Id(LimitId(id))),
    ]
}

fn lease() -> impl Strategy<Value = LeaseId> {
    (1..7_u128).prop_map(LeaseId)
}

fn holder() -> impl Strategy<Value = Holder> {
    prop_oneof![Just("p"), Just("q")].prop_map(task_run)
}

fn kind() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just(Holder::TASK_RUN), 1 => Just("process")]
}

fn ttl() -> impl Strategy<Value = Span> {
    (1..4_000_000_u64).prop_map(Span::from_micros)
}

fn rate() -> impl Strategy<Value = f64> {
    prop_oneof![3 => Just(0.0), 2 => Just(1.0), 1 => Just(0.3), 1 => 0.1..20.0]
}
