//! What the coordinator does when the journal fails, with a journal that fails on demand and a
//! clock that moves on demand.

use leasehold_engine::{
    Acquire, CreateLimit, Hold, LeaseId, LimitId, LimitRef, Missing, Mode, Page, Query, Scope, Want,
};
use leasehold_journal::{FaultyJournal, MemoryJournal};

use super::*;

struct Fixture {
    ledger: Handle,
    running: Running,
    journal: FaultyJournal,
}

impl Fixture {
    /// With one limit, `db`, of three slots.
    async fn new() -> Self {
        let journal = FaultyJournal::default();
        let clock = Clock::manual(Timestamp::from_micros(1_000_000));
        let (ledger, running) = start(journal.clone(), clock).unwrap();
        let limit = CreateLimit::new(LimitId(1), "db", 3);
        ledger.send(Command::CreateLimit(limit)).await.unwrap().keep();
        Self { ledger, running, journal }
    }

    async fn acquire(&self, hold: Hold) -> Result<Answer, Unavailable> {
        self.ledger.send(Command::Acquire(Acquire::new([("db", 1)], hold))).await
    }

    async fn taken(&self) -> Result<u64, Unavailable> {
        let query = Query::Limit(LimitRef::Name("db".into()), Scope::All);
        match self.ledger.send(Command::Read(query)).await?.keep() {
            Outcome::Limit(Some(view)) => Ok(view.taken),
            other => panic!("{other:?}"),
        }
    }

    /// Lets the time pass after which the journal is tried again.
    fn pass_pause(&self) {
        self.ledger.clock().advance(PAUSE);
    }
}

fn lease(id: u128) -> Hold {
    Hold::Lease { id: LeaseId(id), holder: None, ttl: Span::from_seconds(60), notes: None }
}

#[tokio::test]
async fn what_could_not_be_made_durable_has_not_happened() {
    let fixture = Fixture::new().await;
    fixture.acquire(lease(1)).await.unwrap().keep();
    fixture.journal.fail(true);
    assert_eq!(fixture.acquire(lease(2)).await.unwrap_err(), Unavailable::Journal);
    assert_eq!(fixture.taken().await, Ok(1));

    fixture.journal.fail(false);
    fixture.pass_pause();
    while fixture.acquire(lease(3)).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.taken().await, Ok(1), "lease 3 was not kept, and so it was given back");
}

#[tokio::test]
async fn a_journal_that_fails_is_left_alone_until_somebody_wants_a_change() {
    let fixture = Fixture::new().await;
    fixture.acquire(lease(1)).await.unwrap().keep();
    fixture.journal.fail(true);
    assert!(fixture.acquire(lease(2)).await.is_err());
    let tried = fixture.journal.commits_begun();
    for _ in 0..10 {
        assert_eq!(fixture.taken().await, Ok(1), "reads go on");
    }
    assert_eq!(fixture.journal.commits_begun(), tried);
}

#[tokio::test]
async fn a_grant_that_nobody_got_is_given_back_though_the_journal_fails() {
    let fixture = Fixture::new().await;
    let answer = fixture.acquire(Hold::Unleased).await.unwrap();
    fixture.journal.fail(true);
    drop(answer);
    assert!(fixture.acquire(lease(1)).await.is_err(), "by now it was given back in vain");
    fixture.journal.fail(false);
    fixture.pass_pause();
    while fixture.acquire(lease(2)).await.map(Answer::keep).is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.taken().await, Ok(1), "the lease, and no slot without one");
}

#[tokio::test]
async fn a_journal_that_cannot_be_read_keeps_nobody_waiting() {
    let fixture = Fixture::new().await;
    fixture.journal.fail(true);
    fixture.journal.hide(true);
    assert_eq!(fixture.acquire(lease(1)).await.unwrap_err(), Unavailable::Journal);
    assert_eq!(fixture.taken().await, Err(Unavailable::Journal));
    let page = Page { offset: 0, limit: 10 };
    let list = fixture.ledger.send(Command::Read(Query::Limits(Scope::All, page))).await;
    assert_eq!(list.map(Answer::keep), Err(Unavailable::Journal));
    fixture.running.stop().await;
}

/// A coordinator that keeps no more than one limit and two leases.
fn small() -> (Handle, Running) {
    let clock = Clock::manual(Timestamp::from_micros(1_000_000));
    let loaded = load(MemoryJournal::default()).unwrap();
    let (ledger, mut ready) = loaded.prepare(clock);
    ready.coordinator.most = most::Most { limits: 1, leases: 2 };
    (ledger, ready.start().unwrap())
}

#[tokio::test]
async fn no_more_limits_and_leases_are_made_than_are_kept() {
    let (ledger, running) = small();
    let tag = async |name: &str, slots| {
        let put = Command::PutTagLimit { id: LimitId(u128::from(slots)), name: name.into(), slots };
        ledger.send(put).await.map(Answer::keep)
    };
    tag("tag:db", 9).await.unwrap();
    assert_eq!(tag("tag:other", 1).await.unwrap_err(), Unavailable::TooManyLimits);
    // The one that there is can be changed.
    tag("tag:db", 5).await.unwrap();
    let acquire = async |id| {
        let wants = [Want { name: "tag:db".into(), slots: 1 }].into_iter().collect();
        let (mode, missing) = (Mode::Concurrency, Missing::Skip);
        let hold = lease(id);
        let acquire = Acquire { wants, mode, hold, missing, patience: None, origin: None };
        ledger.send(Command::Acquire(acquire)).await.map(Answer::keep)
    };
    acquire(1).await.unwrap();
    acquire(2).await.unwrap();
    assert_eq!(acquire(3).await.unwrap_err(), Unavailable::TooManyLeases);
    let renew = Command::Renew { lease: LeaseId(1), ttl: Span::from_seconds(60) };
    ledger.send(renew).await.unwrap().keep();
    ledger.send(Command::Release { lease: LeaseId(2) }).await.unwrap().keep();
    acquire(3).await.unwrap();
    running.stop().await;
}
