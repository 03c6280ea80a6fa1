//! The desk with a journal that fails on demand, at times that the test sets.

use leasehold_engine::{
    Acquire, CreateLimit, Hold, LeaseId, LimitId, LimitRef, Patience, Query, Scope,
};
use leasehold_journal::{FaultyJournal, Journal};

use super::durability::{PAUSE, RELOAD_DELAY};
use super::*;

/// A desk with one limit, `db`, of three slots. The recipients of answers are numbers.
struct Fixture {
    desk: Desk<u32>,
    journal: FaultyJournal,
    now: Timestamp,
    answers: Vec<(u32, Result<Outcome, Unavailable>)>,
}

impl Fixture {
    fn new() -> Self {
        let now = Timestamp::from_micros(1_000_000);
        let mut journal = FaultyJournal::default();
        let desk = Desk::open(journal.load().unwrap(), now);
        let mut fixture = Self { desk, journal, now, answers: Vec::new() };
        fixture.ask(Command::CreateLimit(CreateLimit::new(LimitId(1), "db", 3))).unwrap();
        fixture
    }

    fn sleep(&mut self, span: Span) {
        self.now = self.now + span;
    }

    fn input(&mut self, input: Input<u32>) {
        self.desk.input(input, self.now);
    }

    fn request(&mut self, reply: u32, command: Command) {
        self.input(Input::Request { command, reply });
    }

    /// Does what a thread does when its mailbox is empty.
    fn settle(&mut self) {
        if let Some(changes) = self.desk.commit() {
            self.answers.extend(self.desk.answers());
            self.commit(&changes);
        }
        if self.desk.load_at().is_some_and(|at| at <= self.now) {
            match self.journal.load() {
                Ok(snapshot) => self.desk.loaded(snapshot, Span::ZERO, self.now),
                Err(error) => self.desk.load_failed(&error, self.now),
            }
        }
        self.answers.extend(self.desk.answers());
    }

    fn commit(&mut self, changes: &leasehold_engine::Changes) {
        match self.journal.commit(changes) {
            Ok(()) => self.desk.committed(self.now),
            Err(error) => self.desk.failed(&error, self.now),
        }
    }

    fn answer(&mut self, reply: u32) -> Option<Result<Outcome, Unavailable>> {
        let nth = self.answers.iter().position(|(to, _)| *to == reply)?;
        Some(self.answers.remove(nth).1)
    }

    fn ask(&mut self, command: Command) -> Result<Outcome, Unavailable> {
        self.request(0, command);
        self.settle();
        self.answer(0).expect("no answer")
    }

    fn taken(&mut self) -> Result<u64, Unavailable> {
        match self.ask(taken())? {
            Outcome::Limit(Some(view)) => Ok(view.taken),
            other => panic!("{other:?}"),
        }
    }
}

fn taken() -> Command {
    Command::Read(Query::Limit(LimitRef::Name("db".into()), Scope::All))
}

fn acquire(slots: u64, hold: Hold) -> Acquire {
    Acquire::new([("db", slots)], hold)
}

fn lease(id: u128) -> Command {
    let ttl = Span::from_seconds(60);
    Command::Acquire(acquire(1, Hold::Lease { id: LeaseId(id), holder: None, ttl, notes: None }))
}

fn waiting(waiter: u64) -> Command {
    let until = Timestamp::from_micros(0) + Span::from_seconds(3600);
    let patience = Some(Patience::new(WaiterId(waiter), until));
    Command::Acquire(Acquire { patience, ..acquire(3, Hold::Unleased) })
}

#[test]
fn a_change_that_is_not_durable_has_not_happened() {
    let mut it = Fixture::new();
    it.ask(lease(1)).unwrap();
    it.journal.fail(true);
    assert_eq!(it.ask(lease(2)), Err(Unavailable::Journal));
    assert_eq!(it.taken(), Ok(1));
    it.journal.fail(false);
    it.ask(lease(3)).unwrap();
    assert_eq!(it.taken(), Ok(2));
    assert_eq!(it.journal.leases().len(), 2);
}

#[test]
fn a_journal_that_fails_is_left_alone_until_a_change_is_wanted_or_the_pause_is_over() {
    let mut it = Fixture::new();
    it.ask(lease(1)).unwrap();
    it.journal.fail(true);
    it.ask(lease(2)).unwrap_err();
    let tried = it.journal.commits_begun();
    // The last moment of the pause.
    it.sleep(Span::from_micros(PAUSE.as_micros() - 1));
    for _ in 0..10 {
        assert_eq!(it.taken(), Ok(1));
    }
    assert_eq!(it.journal.commits_begun(), tried);
    it.ask(lease(3)).unwrap_err();
    assert_eq!(it.journal.commits_begun(), tried + 1);
    let due = it.desk.next_wake_up().unwrap();
    assert_eq!(due, it.now + PAUSE);
    it.sleep(Span::from_seconds(1));
    it.desk.wake(it.now);
    it.settle();
    assert_eq!(it.journal.commits_begun(), tried + 2);
}

#[test]
fn a_read_in_a_batch_that_failed_is_answered_from_the_journal() {
    let mut it = Fixture::new();
    it.journal.fail(true);
    it.request(1, lease(1));
    it.request(2, taken());
    it.settle();
    assert_eq!(it.answer(1), Some(Err(Unavailable::Journal)));
    let Some(Ok(Outcome::Limit(Some(view)))) = it.answer(2) else { panic!("no answer") };
    assert_eq!(view.taken, 0);
}

#[test]
fn an_undelivered_grant_is_released_though_the_journal_fails() {
    let mut it = Fixture::new();
    let granted = it.ask(Command::Acquire(acquire(1, Hold::Unleased))).unwrap();
    it.journal.fail(true);
    it.input(Input::Undo(undo(&granted).unwrap()));
    it.settle();
    it.journal.fail(false);
    it.ask(lease(1)).unwrap();
    assert_eq!(it.taken(), Ok(1), "the lease, and no slot without one");
}

#[test]
fn while_the_journal_cannot_be_read_requests_are_refused_and_other_inputs_deferred() {
    let mut it = Fixture::new();
    let granted = it.ask(lease(1)).unwrap();
    it.journal.fail(true);
    it.journal.hide(true);
    assert_eq!(it.ask(lease(2)), Err(Unavailable::Journal));
    assert_eq!(it.taken(), Err(Unavailable::Journal));
    it.input(Input::Undo(undo(&granted).unwrap()));
    it.journal.fail(false);
    it.journal.hide(false);
    assert_eq!(it.desk.next_wake_up(), Some(it.now + RELOAD_DELAY));
    assert_eq!(it.taken(), Err(Unavailable::Journal), "it is not tried again yet");
    it.sleep(RELOAD_DELAY);
    it.settle();
    assert_eq!(it.taken(), Ok(0));
}

#[test]
fn a_ledger_ahead_of_the_journal_is_not_committed_at_the_end() {
    let mut it = Fixture::new();
    it.journal.fail(true);
    it.journal.hide(true);
    it.request(1, lease(1));
    it.request(2, taken());
    it.settle();
    assert_eq!(it.desk.close(it.now), None);
    it.answers.extend(it.desk.answers());
    assert_eq!(it.answer(1), Some(Err(Unavailable::Journal)));
    assert_eq!(it.answer(2), Some(Err(Unavailable::Stopping)));
}

#[test]
fn the_last_commit_carries_the_time_of_the_end() {
    let mut it = Fixture::new();
    it.request(1, waiting(1));
    it.sleep(Span::from_micros(7));
    let changes = it.desk.close(it.now).unwrap();
    assert_eq!(changes.at, it.now);
    it.commit(&changes);
    it.answers.extend(it.desk.answers());
    assert!(matches!(it.answer(1), Some(Ok(_))), "there was room for it");
}

#[test]
fn no_request_waits_once_the_server_is_about_to_stop() {
    let mut it = Fixture::new();
    it.ask(lease(1)).unwrap();
    it.request(1, waiting(1));
    it.settle();
    assert_eq!(it.answer(1), None);
    it.input(Input::Drain);
    it.request(2, waiting(2));
    it.ask(Command::Release { lease: LeaseId(1) }).unwrap();
    for reply in [1, 2] {
        assert_eq!(it.answer(reply), Some(Err(Unavailable::Stopping)));
    }
    assert_eq!(it.taken(), Ok(0));
}

#[test]
fn a_standstill_moves_deadlines_in_the_ledger_and_in_pending_answers() {
    let mut it = Fixture::new();
    it.request(1, lease(1));
    let changes = it.desk.commit().unwrap();
    it.sleep(Span::from_seconds(100));
    it.commit(&changes);
    it.settle();
    let Some(Ok(Outcome::Acquired(Acquired::Granted(grant)))) = it.answer(1) else {
        panic!("no grant")
    };
    assert_eq!(grant.lease.unwrap().deadline, Some(it.now + Span::from_seconds(60)));
    it.desk.next_wake_up();
    it.sleep(Span::from_seconds(100));
    assert_eq!(it.taken(), Ok(1));
    it.sleep(Span::from_seconds(61));
    it.desk.passed_evenly_until(it.now);
    assert_eq!(it.taken(), Ok(0));
}

#[test]
fn no_more_limits_and_leases_are_made_than_are_kept() {
    let mut it = Fixture::new();
    it.desk.bounds = Bounds { limits: 1, leases: 2 };
    let tag = |name: &str, slots| Command::PutTagLimit { id: LimitId(2), name: name.into(), slots };
    assert_eq!(it.ask(tag("tag:other", 1)), Err(Unavailable::TooManyLimits));
    // The existing limit can be changed.
    it.ask(tag("db", 5)).unwrap();
    it.ask(lease(1)).unwrap();
    it.ask(lease(2)).unwrap();
    assert_eq!(it.ask(lease(3)), Err(Unavailable::TooManyLeases));
    it.ask(Command::Renew { lease: LeaseId(1), ttl: Span::from_seconds(60) }).unwrap();
    it.ask(Command::Release { lease: LeaseId(2) }).unwrap();
    it.ask(lease(3)).unwrap();
}
