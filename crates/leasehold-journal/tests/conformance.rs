//! What every journal promises, as one suite that each implementation has to pass.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use leasehold_engine::{
    Acquire, Acquired, Certainty, Command, CreateLimit, Fence, GiveBack, Hold, Holder, Identified,
    LeaseId, Ledger, Level, LimitId, LimitRef, Missing, Mode, Named, Notes, Origin, Outcome, Query,
    Rate, RequestDigest, Scope, Snapshot, Span, TakenBy, Timestamp, Unheld, Want,
};
use leasehold_journal::{FaultyJournal, Journal, OpenError, SqliteJournal};
use smallvec::smallvec;

/// A journal that can be closed and opened again.
trait Subject {
    fn open(&self) -> Box<dyn Journal>;
}

struct Sqlite(tempfile::TempDir);

impl Subject for Sqlite {
    fn open(&self) -> Box<dyn Journal> {
        Box::new(SqliteJournal::open(self.0.path()).unwrap())
    }
}

/// Its clones share their rows.
impl Subject for FaultyJournal {
    fn open(&self) -> Box<dyn Journal> {
        Box::new(self.clone())
    }
}

fn subjects() -> Vec<Box<dyn Subject>> {
    vec![Box::new(Sqlite(tempfile::tempdir().unwrap())), Box::new(FaultyJournal::default())]
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn create(id: u128, name: &str, slots: u64, slots_per_second: f64) -> Command {
    Command::CreateLimit(CreateLimit {
        id: LimitId(id),
        name: name.into(),
        slots,
        active: true,
        decay: Rate::from_slots_per_second(slots_per_second),
        unleased: 1,
        denied_slots: 7,
    })
}

fn acquire(lease: u128, names: &[&str]) -> Command {
    acquire_with(lease, names, None)
}

/// What a request says of its lease: words that are no ASCII, and the digest of a key.
fn notes() -> Notes {
    let labels = [("team", "data"), ("☃", "say \"hi\""), ("empty", "")];
    Notes {
        labels: labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        request: Some(RequestDigest(u128::MAX / 3)),
    }
}

/// Where a request comes from: all of it, and words that are no ASCII.
fn origin() -> Origin {
    let named = |id: &str, name: &str| Named { id: Some(id.into()), name: Some(name.into()) };
    Origin {
        address: "2001:db8::7".parse().ok(),
        client: Some("prefect/3.8.8".into()),
        flow: named("f", "nächtlich \"☃\""),
        deployment: Named { id: Some("d".into()), name: None },
        worker: Named { id: None, name: Some("w".into()) },
        identified: None,
    }
}

fn identified(certainty: Certainty) -> Identified {
    let flow_run = Named { id: Some("r".into()), name: Some("brave-fox".into()) };
    Identified { flow_run, task_run: Named::default(), certainty }
}

fn acquire_with(lease: u128, names: &[&str], notes: Option<Notes>) -> Command {
    Command::Acquire(Acquire {
        wants: names.iter().map(|name| Want { name: (*name).into(), slots: 1 }).collect(),
        mode: Mode::Concurrency,
        hold: Hold::Lease {
            id: LeaseId(lease),
            holder: Some(Holder::new("process", format!("h{lease}"))),
            ttl: Span::from_seconds(60),
            notes: notes.map(Into::into),
        },
        missing: Missing::Skip,
        patience: None,
        origin: (lease % 2 == 1).then(|| origin().into()),
    })
}

fn identify(lease: u128, certainty: Certainty) -> Command {
    let identified = identified(certainty).into();
    Command::Identify { lease: LeaseId(lease), identified }
}

fn unleased(name: &str, mode: Mode) -> Command {
    Command::Acquire(Acquire {
        wants: smallvec![Want { name: name.into(), slots: 1 }],
        mode,
        hold: Hold::Unleased,
        missing: Missing::Skip,
        patience: None,
        origin: None,
    })
}

/// Some of everything: decay with fractions, leases on two limits, endings, a name used again.
fn commands() -> Vec<(i64, Command)> {
    vec![
        (1, create(1, "plain", 5, 0.0)),
        (1, create(2, "rate ☃", 10, 0.3)),
        (2, acquire(1, &["plain", "rate ☃"])),
        (3, acquire(2, &["rate ☃"])),
        (4, Command::Renew { lease: LeaseId(1), ttl: Span::from_seconds(600) }),
        (9, acquire(3, &["plain"])),
        (
            10,
            Command::GiveBack(GiveBack {
                names: smallvec!["plain".into()],
                slots: 1,
                occupancy: Some(Span::from_seconds(3)),
            }),
        ),
        (
            11,
            Command::Revoke {
                lease: LeaseId(3),
                reason: Some("maintenance".into()),
                by: Some("ops".into()),
            },
        ),
        (12, create(3, "short-lived", 1, 0.0)),
        (13, Command::DeleteLimit { limit: LimitRef::Id(LimitId(3)), scope: Scope::All }),
        (13, create(4, "short-lived", 2, 0.0)),
        (
            14,
            Command::Acquire(Acquire {
                wants: smallvec![Want { name: "short-lived".into(), slots: 2 }],
                mode: Mode::Concurrency,
                hold: Hold::Holder { id: LeaseId(4), holder: Holder::new("task_run", "t") },
                missing: Missing::Skip,
                patience: None,
                origin: None,
            }),
        ),
        // Slots without a lease, of every origin: a client's, a rate's, an operator's.
        (14, unleased("plain", Mode::Concurrency)),
        (14, unleased("rate ☃", Mode::RateLimit)),
        (14, Command::ResetLimit { limit: LimitRef::Name("plain".into()), slots: 3, reason: None }),
        (15, acquire_with(5, &["plain"], Some(notes()))),
        (16, acquire_with(6, &["plain"], Some(Notes::default()))),
        (17, Command::Renew { lease: LeaseId(5), ttl: Span::from_seconds(600) }),
        (18, identify(5, Certainty::Likely)),
        (18, identify(1, Certainty::Certain)),
        (18, Command::Release { lease: LeaseId(6) }),
        (70, Command::Tick), // lease 2 expires
    ]
}

#[test]
fn an_empty_journal_gives_an_empty_snapshot() {
    for subject in subjects() {
        assert_eq!(subject.open().load().unwrap(), Snapshot::default());
    }
}

#[test]
fn what_is_loaded_is_what_was_committed_after_every_single_command() {
    for subject in subjects() {
        let mut ledger = Ledger::restore(Snapshot::default(), at(0));
        for (seconds, command) in commands() {
            ledger.step(command, at(seconds));
            subject.open().commit(&ledger.take_changes()).unwrap();
            assert_eq!(subject.open().load().unwrap(), ledger.snapshot());
        }
    }
}

#[test]
fn what_was_said_of_a_lease_is_kept() {
    for subject in subjects() {
        let mut ledger = Ledger::restore(Snapshot::default(), at(0));
        ledger.step(create(1, "plain", 5, 0.0), at(1));
        ledger.step(acquire_with(1, &["plain"], Some(notes())), at(1));
        ledger.step(acquire_with(2, &["plain"], Some(Notes::default())), at(1));
        ledger.step(acquire_with(3, &["plain"], None), at(1));
        subject.open().commit(&ledger.take_changes()).unwrap();
        let leases = subject.open().load().unwrap().leases;
        let kept: Vec<_> = leases.into_iter().map(|lease| lease.notes).collect();
        assert_eq!(kept, [Some(notes().into()), Some(Notes::default().into()), None]);
    }
}

#[test]
fn where_a_lease_comes_from_is_kept() {
    for subject in subjects() {
        let mut ledger = Ledger::restore(Snapshot::default(), at(0));
        ledger.step(create(1, "plain", 5, 0.0), at(1));
        for lease in 1..=3 {
            ledger.step(acquire(lease, &["plain"]), at(1));
        }
        ledger.step(identify(3, Certainty::Certain), at(1));
        subject.open().commit(&ledger.take_changes()).unwrap();
        let leases = subject.open().load().unwrap().leases;
        let kept: Vec<_> = leases.into_iter().map(|lease| lease.origin).collect();
        let identified = Some(identified(Certainty::Certain).into());
        let third = Origin { identified, ..origin() };
        assert_eq!(kept, [Some(origin().into()), None, Some(third.into())]);
    }
}

#[test]
fn slots_without_a_lease_are_kept_with_what_took_them_and_since_when() {
    for subject in subjects() {
        let mut ledger = Ledger::restore(Snapshot::default(), at(0));
        ledger.step(create(1, "plain", 9, 0.0), at(1));
        ledger.step(unleased("plain", Mode::Concurrency), at(2));
        let reset = |slots| Command::ResetLimit {
            limit: LimitRef::Name("plain".into()),
            slots,
            reason: None,
        };
        ledger.step(reset(5), at(3));
        subject.open().commit(&ledger.take_changes()).unwrap();
        let kept = subject.open().load().unwrap().limits.remove(0).unleased;
        let part = |taken_by, seconds, slots| Unheld {
            taken_by,
            since: Some(at(seconds)),
            level: Level::from_slots(slots),
        };
        let expected = [
            part(TakenBy::Created, 1, 1),
            part(TakenBy::Incremented, 2, 1),
            part(TakenBy::Reset, 3, 3),
        ];
        assert_eq!(kept.parts(), expected);
    }
}

#[test]
fn one_commit_of_many_commands_is_the_same_as_one_commit_each() {
    for subject in subjects() {
        let mut ledger = Ledger::restore(Snapshot::default(), at(0));
        for (seconds, command) in commands() {
            ledger.step(command, at(seconds));
        }
        subject.open().commit(&ledger.take_changes()).unwrap();
        assert_eq!(subject.open().load().unwrap(), ledger.snapshot());
    }
}

#[test]
fn a_downtime_moves_the_deadlines_that_were_ahead_and_no_others() {
    for subject in subjects() {
        let mut ledger = Ledger::restore(Snapshot::default(), at(0));
        ledger.step(create(1, "plain", 5, 0.0), at(1));
        ledger.step(acquire(1, &["plain"]), at(1)); // until 61
        subject.open().commit(&ledger.take_changes()).unwrap();
        ledger.step(acquire(2, &["plain"]), at(41)); // until 101
        subject.open().commit(&ledger.take_changes()).unwrap();

        // Down from 41 to 1041: lease 1 had 20 s left, lease 2 had 60.
        let mut ledger = Ledger::restore(subject.open().load().unwrap(), at(1041));
        assert_eq!(ledger.next_deadline(), Some(at(1061)));
        subject.open().commit(&ledger.take_changes()).unwrap();
        assert_eq!(subject.open().load().unwrap(), ledger.snapshot());
        let deadlines: Vec<_> =
            ledger.snapshot().leases.iter().map(|lease| lease.deadline).collect();
        assert_eq!(deadlines, [Some(at(1061)), Some(at(1101))]);
    }
}

#[test]
fn fencing_tokens_still_rise_after_every_lease_is_gone() {
    for subject in subjects() {
        let mut ledger = Ledger::restore(Snapshot::default(), at(0));
        ledger.step(create(1, "plain", 5, 0.0), at(1));
        ledger.step(acquire(1, &["plain"]), at(1));
        subject.open().commit(&ledger.take_changes()).unwrap();
        ledger.step(Command::Release { lease: LeaseId(1) }, at(2));
        subject.open().commit(&ledger.take_changes()).unwrap();

        let mut ledger = Ledger::restore(subject.open().load().unwrap(), at(3));
        let Outcome::Acquired(Acquired::Granted(grant)) =
            ledger.step(acquire(2, &["plain"]), at(3)).outcome
        else {
            panic!("not granted");
        };
        assert!(grant.lease.unwrap().fence > Fence(1));
    }
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let first = SqliteJournal::open(directory.path()).unwrap();
    assert!(matches!(SqliteJournal::open(directory.path()), Err(OpenError::Locked { .. })));
    drop(first);
    SqliteJournal::open(directory.path()).unwrap();
}

#[test]
fn a_journal_from_a_newer_version_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    drop(SqliteJournal::open(directory.path()).unwrap());
    let path = directory.path().join(SqliteJournal::FILE);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let error = SqliteJournal::open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
}

#[test]
fn a_file_that_is_no_journal_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(SqliteJournal::FILE), "not a database, but long enough")
        .unwrap();
    let error = SqliteJournal::open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Storage { .. }), "{error}");
}

#[test]
fn without_room_a_commit_fails_whole_and_the_next_succeeds_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let mut journal = SqliteJournal::open(directory.path()).unwrap();
    let mut ledger = Ledger::restore(Snapshot::default(), at(0));
    ledger.step(create(1, "plain", 100_000, 0.0), at(1));
    journal.commit(&ledger.take_changes()).unwrap();
    let before = journal.load().unwrap();

    journal.limit_pages(Some(12)).unwrap();
    for lease in 1..5_000 {
        ledger.step(acquire(lease, &["plain"]), at(2));
    }
    let error = journal.commit(&ledger.take_changes()).unwrap_err();
    assert!(matches!(error, leasehold_journal::CommitError::Full), "{error}");
    assert_eq!(journal.load().unwrap(), before);

    journal.limit_pages(None).unwrap();
    let mut ledger = Ledger::restore(before, at(3));
    assert!(matches!(
        ledger.step(Command::Read(Query::Lease(LeaseId(1))), at(3)).outcome,
        Outcome::Lease(Err(_))
    ));
    ledger.step(acquire(1, &["plain"]), at(3));
    journal.commit(&ledger.take_changes()).unwrap();
    assert_eq!(journal.load().unwrap(), ledger.snapshot());
}
