//! A ledger with a clock and a journal, and a short method for each command. Every step is
//! committed, and what the journal loads is compared with the ledger.

use leasehold_engine::{
    Acquire, Acquired, Command, CreateLimit, Deleted, GiveBack, Gone, Grant, Granted, Hold, Holder,
    Lease, LeaseId, Ledger, LimitId, LimitPatch, LimitRef, LimitView, Mode, Outcome, Page, Query,
    Rate, Refusal, Renewed, Scope, Snapshot, Span, Timestamp, Updated,
};
use leasehold_journal::{Journal, MemoryJournal};

/// How long the fixture's leases live unless they are renewed.
pub(crate) const TTL_SECONDS: u64 = 60;

pub(crate) const EVERYTHING: Page = Page { offset: 0, limit: usize::MAX };

pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) journal: MemoryJournal,
    pub(crate) now: Timestamp,
    limits_made: u128,
}

impl World {
    pub(crate) fn new() -> Self {
        let now = seconds(1_000.0);
        Self {
            ledger: Ledger::restore(Snapshot::default(), now),
            journal: MemoryJournal::default(),
            now,
            limits_made: 0,
        }
    }

    /// A world with one limit.
    pub(crate) fn with(name: &str, slots: u64) -> Self {
        let mut world = Self::new();
        world.limit(name, slots);
        world
    }

    /// A world with one limit that drains.
    pub(crate) fn draining(name: &str, slots: u64, slots_per_second: f64) -> Self {
        let mut world = Self::new();
        world.create(name, slots, slots_per_second);
        world
    }

    pub(crate) fn step(&mut self, command: Command) -> Outcome {
        let step = self.ledger.step(command, self.now);
        self.journal.commit(&self.ledger.take_changes()).unwrap();
        assert_eq!(self.journal.load().unwrap(), self.ledger.snapshot());
        step.outcome
    }

    pub(crate) fn wait(&mut self, span_seconds: f64) {
        self.now = self.now + Span::from_seconds_f64(span_seconds);
    }

    /// The server dies, and starts after a downtime.
    pub(crate) fn restart(&mut self, downtime_seconds: f64) {
        self.wait(downtime_seconds);
        self.ledger = Ledger::restore(self.journal.load().unwrap(), self.now);
        self.ledger.raise_fences(self.now);
    }

    /// The server starts after a downtime with another journal: a backup, or a copy.
    pub(crate) fn start_with(&mut self, journal: MemoryJournal, downtime_seconds: f64) {
        self.journal = journal;
        self.restart(downtime_seconds);
    }

    pub(crate) fn limit(&mut self, name: &str, slots: u64) {
        self.create(name, slots, 0.0);
    }

    pub(crate) fn create(&mut self, name: &str, slots: u64, slots_per_second: f64) -> Outcome {
        self.limits_made += 1;
        let decay = Rate::from_slots_per_second(slots_per_second);
        let limit = CreateLimit::new(LimitId(self.limits_made), name, slots);
        self.step(Command::CreateLimit(CreateLimit { decay, ..limit }))
    }

    pub(crate) fn ask(&mut self, mode: Mode, wants: &[(&str, u64)], hold: Hold) -> Acquired {
        let acquire = Acquire { mode, ..Acquire::new(wants.iter().copied(), hold) };
        match self.step(Command::Acquire(acquire)) {
            Outcome::Acquired(acquired) => acquired,
            other => panic!("no answer to an acquire: {other:?}"),
        }
    }

    pub(crate) fn acquire(&mut self, lease: u128, wants: &[(&str, u64)]) -> Acquired {
        self.ask(Mode::Concurrency, wants, lease_hold(lease, None))
    }

    /// Takes one free slot.
    pub(crate) fn take(&mut self, lease: u128, name: &str) -> Granted {
        granted(self.acquire(lease, &[(name, 1)])).lease.unwrap()
    }

    /// Asks for one slot, and is refused.
    pub(crate) fn refused(&mut self, lease: u128, name: &str) -> Refusal {
        refused(self.acquire(lease, &[(name, 1)]))
    }

    /// Takes tags for a task run, which cannot renew.
    pub(crate) fn tag(&mut self, lease: u128, run: &str, names: &[&str]) -> Acquired {
        let wants: Vec<_> = names.iter().map(|name| (*name, 1)).collect();
        self.ask(
            Mode::Concurrency,
            &wants,
            Hold::Holder { id: LeaseId(lease), holder: task_run(run) },
        )
    }

    pub(crate) fn untag(&mut self, run: &str, names: &[&str]) -> Vec<String> {
        let names = names.iter().map(|name| (*name).into()).collect();
        self.given_back(Command::ReleaseTags { names, holder: task_run(run) })
    }

    pub(crate) fn increment(&mut self, name: &str, slots: u64) -> Acquired {
        self.ask(Mode::Concurrency, &[(name, slots)], Hold::Unleased)
    }

    pub(crate) fn decrement(&mut self, names: &[&str], slots: u64) -> Vec<String> {
        self.given_back(Command::GiveBack(GiveBack {
            names: names.iter().map(|name| (*name).into()).collect(),
            slots,
            occupancy: None,
        }))
    }

    fn given_back(&mut self, command: Command) -> Vec<String> {
        match self.step(command) {
            Outcome::GivenBack(limits) => {
                limits.iter().map(|limit| limit.name.to_string()).collect()
            }
            other => panic!("nothing was given back: {other:?}"),
        }
    }

    pub(crate) fn renew(&mut self, lease: u128) -> Renewed {
        let ttl = Span::from_seconds(TTL_SECONDS);
        match self.step(Command::Renew { lease: LeaseId(lease), ttl }) {
            Outcome::Renewed(renewed) => renewed,
            other => panic!("no answer to a renewal: {other:?}"),
        }
    }

    pub(crate) fn release(&mut self, lease: u128) -> Result<Lease, Gone> {
        ended(self.step(Command::Release { lease: LeaseId(lease) }))
    }

    pub(crate) fn revoke(&mut self, lease: u128, reason: &str) -> Result<Lease, Gone> {
        let reason = Some(reason.into());
        ended(self.step(Command::Revoke { lease: LeaseId(lease), reason, by: None }))
    }

    pub(crate) fn patch(&mut self, name: &str, patch: LimitPatch) -> Updated {
        updated(self.step(Command::UpdateLimit { limit: named(name), patch }))
    }

    pub(crate) fn activate(&mut self, name: &str, active: bool) {
        let patch = LimitPatch { active: Some(active), ..LimitPatch::default() };
        assert_eq!(self.patch(name, patch), Updated::Done);
    }

    pub(crate) fn resize(&mut self, name: &str, slots: u64) {
        let patch = LimitPatch { slots: Some(slots), ..LimitPatch::default() };
        assert_eq!(self.patch(name, patch), Updated::Done);
    }

    pub(crate) fn decay(&mut self, name: &str, slots_per_second: f64) {
        let decay = Some(Rate::from_slots_per_second(slots_per_second));
        assert_eq!(self.patch(name, LimitPatch { decay, ..LimitPatch::default() }), Updated::Done);
    }

    pub(crate) fn reset(&mut self, name: &str, slots: u64) -> Updated {
        let reason = Some("reset".into());
        updated(self.step(Command::ResetLimit { limit: named(name), slots, reason }))
    }

    pub(crate) fn reset_tag(&mut self, name: &str, holders: &[(u128, &str)]) -> Updated {
        updated(self.step(Command::ResetTag {
            name: name.into(),
            holders: holders.iter().map(|&(id, run)| (LeaseId(id), task_run(run))).collect(),
            reason: Some("reset".into()),
        }))
    }

    pub(crate) fn delete(&mut self, name: &str, scope: Scope) -> Deleted {
        match self.step(Command::DeleteLimit { limit: named(name), scope }) {
            Outcome::Deleted(deleted) => deleted,
            other => panic!("no answer to a deletion: {other:?}"),
        }
    }

    pub(crate) fn view(&mut self, name: &str) -> LimitView {
        match self.step(Command::Read(Query::Limit(named(name), Scope::All))) {
            Outcome::Limit(Some(view)) => view,
            other => panic!("{name} is not there: {other:?}"),
        }
    }

    pub(crate) fn taken(&mut self, name: &str) -> u64 {
        self.view(name).taken
    }

    pub(crate) fn unleased(&mut self, name: &str) -> u64 {
        self.view(name).limit.unleased.slots_taken()
    }

    /// The ids of the leases on a limit, oldest first.
    pub(crate) fn leases(&mut self, name: &str) -> Vec<u128> {
        match self.step(Command::Read(Query::Leases(named(name), EVERYTHING))) {
            Outcome::Leases(Some(views)) => views.iter().map(|view| view.lease.id.0).collect(),
            other => panic!("{name} is not there: {other:?}"),
        }
    }
}

pub(crate) fn seconds(seconds: f64) -> Timestamp {
    Timestamp::default() + Span::from_seconds_f64(seconds)
}

pub(crate) fn named(name: &str) -> LimitRef {
    LimitRef::Name(name.into())
}

pub(crate) fn task_run(id: &str) -> Holder {
    Holder::new(Holder::TASK_RUN, id)
}

pub(crate) fn lease_hold(lease: u128, holder: Option<Holder>) -> Hold {
    Hold::Lease { id: LeaseId(lease), holder, ttl: Span::from_seconds(TTL_SECONDS), notes: None }
}

pub(crate) fn granted(acquired: Acquired) -> Grant {
    match acquired {
        Acquired::Granted(grant) => grant,
        other => panic!("not granted: {other:?}"),
    }
}

pub(crate) fn refused(acquired: Acquired) -> Refusal {
    match acquired {
        Acquired::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn ended(outcome: Outcome) -> Result<Lease, Gone> {
    match outcome {
        Outcome::Ended(ended) => ended.map(|ended| ended.lease),
        other => panic!("no answer to an ending: {other:?}"),
    }
}

fn updated(outcome: Outcome) -> Updated {
    match outcome {
        Outcome::Updated(updated) => updated,
        other => panic!("no answer to an update: {other:?}"),
    }
}
