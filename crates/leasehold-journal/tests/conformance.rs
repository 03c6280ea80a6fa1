//! What every journal promises: each implementation passes this suite.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod postgres;

use leasehold_engine::{
    Acquire, Acquired, Adopt, Certainty, Command, CreateLimit, Fence, GiveBack, Hold, Holder,
    Identified, LeaseId, Ledger, Level, LimitId, LimitRef, Mode, Named, Notes, Origin, Outcome,
    Query, Rate, RequestDigest, Scope, Snapshot, Span, TakenBy, Timestamp, Unheld,
};
use leasehold_journal::{
    CopyError, DatabaseError, FaultyJournal, Journal, LoadError, OpenError, SqliteJournal, copy,
};
use smallvec::smallvec;

use postgres::server::Database;

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

/// Closing it gives the ledger up.
impl Subject for Database {
    fn open(&self) -> Box<dyn Journal> {
        Box::new(Database::open(self))
    }
}

/// Its clones share their rows.
impl Subject for FaultyJournal {
    fn open(&self) -> Box<dyn Journal> {
        Box::new(self.clone())
    }
}

fn subjects() -> Vec<Box<dyn Subject>> {
    vec![
        Box::new(Sqlite(tempfile::tempdir().unwrap())),
        Box::new(FaultyJournal::default()),
        Box::new(Database::new()),
    ]
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn create(id: u128, name: &str, slots: u64, slots_per_second: f64) -> Command {
    let decay = Rate::from_slots_per_second(slots_per_second);
    let limit = CreateLimit::new(LimitId(id), name, slots);
    Command::CreateLimit(CreateLimit { decay, unleased: 1, denied_slots: 7, ..limit })
}

fn acquire(lease: u128, names: &[&str]) -> Command {
    acquire_with(lease, names, None)
}

/// Notes with labels that are not ASCII, and with the digest of a key.
fn notes() -> Notes {
    let labels = [("team", "data"), ("☃", "say \"hi\""), ("empty", "")];
    Notes {
        labels: labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
        request: Some(RequestDigest(u128::MAX / 3)),
    }
}

/// An origin with every field, and with words that are not ASCII.
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
    let hold = Hold::Lease {
        id: LeaseId(lease),
        holder: Some(Holder::new("process", format!("h{lease}"))),
        ttl: Span::from_seconds(60),
        notes: notes.map(Into::into),
    };
    let origin = (lease % 2 == 1).then(|| origin().into());
    let acquire = Acquire::new(names.iter().map(|name| (*name, 1)), hold);
    Command::Acquire(Acquire { origin, ..acquire })
}

fn identify(lease: u128, certainty: Certainty) -> Command {
    let identified = identified(certainty).into();
    Command::Identify { lease: LeaseId(lease), identified }
}

fn adopt(id: u128, name: &str, foreign: u64) -> Command {
    let limit = CreateLimit::new(LimitId(id), name, 5);
    Command::Adopt(Adopt { limit, foreign, occupancy_seconds_average: 0.7, level: Level::ZERO })
}

fn pair(lease: u128, partners: &[u128]) -> Command {
    let partners = partners.iter().copied().map(LeaseId).collect();
    Command::Pair { lease: LeaseId(lease), partners }
}

fn unleased(name: &str, mode: Mode) -> Command {
    Command::Acquire(Acquire { mode, ..Acquire::new([(name, 1)], Hold::Unleased) })
}

/// Commands of many kinds: decay with fractions, leases on two limits, endings, a name used again.
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
            Command::Acquire(Acquire::new(
                [("short-lived", 2)],
                Hold::Holder { id: LeaseId(4), holder: Holder::new("task_run", "t") },
            )),
        ),
        // Slots without a lease, taken by a client, a rate and an operator.
        (14, unleased("plain", Mode::Concurrency)),
        (14, unleased("rate ☃", Mode::RateLimit)),
        (14, Command::ResetLimit { limit: LimitRef::Name("plain".into()), slots: 3, reason: None }),
        (15, acquire_with(5, &["plain"], Some(notes()))),
        (16, acquire_with(6, &["plain"], Some(Notes::default()))),
        (17, Command::Renew { lease: LeaseId(5), ttl: Span::from_seconds(600) }),
        (18, identify(5, Certainty::Likely)),
        (18, identify(1, Certainty::Certain)),
        (18, Command::Release { lease: LeaseId(6) }),
        // A limit that came over from another server, with a lease that lives there, too.
        (19, adopt(5, "tag:moved", 3)),
        (19, acquire(7, &["tag:moved"])),
        (20, Command::SetForeign { limit: LimitId(5), slots: 2 }),
        (20, pair(7, &[u128::MAX, 0])),
        (20, pair(5, &[8])),
        (21, Command::SetForeign { limit: LimitId(5), slots: 0 }),
        (21, Command::SetReturning { limit: LimitId(5), returning: true }),
        (22, Command::SetReturning { limit: LimitId(5), returning: false }),
        (22, pair(5, &[])),
        (70, Command::Tick), // leases 2 and 7 expire
    ]
}

#[test]
fn an_empty_journal_gives_an_empty_snapshot() {
    for subject in subjects() {
        assert_eq!(subject.open().load().unwrap(), Snapshot::default());
    }
}

#[test]
fn after_every_command_the_loaded_state_is_the_committed_one() {
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
fn the_notes_of_a_lease_are_stored() {
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
fn the_origin_of_a_lease_is_stored() {
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
fn slots_without_a_lease_are_stored_with_what_took_them_and_since_when() {
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
fn what_another_server_has_to_do_with_limits_and_leases_is_stored() {
    for subject in subjects() {
        let mut ledger = Ledger::restore(Snapshot::default(), at(0));
        let returning = Command::SetReturning { limit: LimitId(2), returning: true };
        let commands =
            [adopt(1, "moved", 3), adopt(2, "back", 0), acquire(1, &["moved"]), pair(1, &[9, 8])];
        for command in commands.into_iter().chain([acquire(2, &["back"]), returning]) {
            ledger.step(command, at(1));
        }
        subject.open().commit(&ledger.take_changes()).unwrap();
        let kept = subject.open().load().unwrap();
        let limits: Vec<_> = kept.limits.iter().map(|it| (it.foreign, it.returning)).collect();
        assert_eq!(limits, [(3, false), (0, true)]);
        let partners: Vec<_> = kept.leases.into_iter().map(|lease| lease.partners).collect();
        assert_eq!(partners, [vec![LeaseId(9), LeaseId(8)], vec![]]);
    }
}

#[test]
fn a_row_that_was_changed_by_hand_is_damaged() {
    let changes = [
        "UPDATE limits SET foreign_slots = 2 WHERE foreign_slots = 3",
        "UPDATE limits SET foreign_slots = NULL WHERE foreign_slots = 3",
        "UPDATE limits SET foreign_slots = 1 WHERE foreign_slots IS NULL",
        "UPDATE limits SET is_returning = NULL WHERE is_returning = 1",
        "UPDATE limits SET is_returning = 0 WHERE is_returning IS NULL",
        "UPDATE leases SET partners = NULL WHERE partners IS NOT NULL",
        "UPDATE leases SET partners = '8' WHERE partners IS NULL",
    ];
    for change in changes {
        let directory = tempfile::tempdir().unwrap();
        let mut journal = SqliteJournal::open(directory.path()).unwrap();
        let mut ledger = Ledger::restore(Snapshot::default(), at(0));
        let returning = Command::SetReturning { limit: LimitId(1), returning: true };
        let commands = [adopt(1, "moved", 3), adopt(2, "here", 0), acquire(1, &["moved"])];
        let after = [acquire(2, &["here"]), pair(1, &[9]), returning];
        for command in commands.into_iter().chain(after) {
            ledger.step(command, at(1));
        }
        journal.commit(&ledger.take_changes()).unwrap();
        drop(journal);
        let raw = rusqlite::Connection::open(directory.path().join(SqliteJournal::FILE)).unwrap();
        assert_eq!(raw.execute(change, []).unwrap(), 1, "{change}");
        drop(raw);
        let loaded = SqliteJournal::open(directory.path()).unwrap().load();
        assert!(matches!(loaded, Err(LoadError::Damaged { .. })), "{change}: {loaded:?}");
    }
}

#[test]
fn one_commit_of_many_commands_equals_one_commit_each() {
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
fn a_ledger_is_copied_between_all_journals_and_only_to_an_empty_one() {
    let mut ledger = Ledger::restore(Snapshot::default(), at(0));
    for (seconds, command) in commands() {
        ledger.step(command, at(seconds));
    }
    let mut source: Box<dyn Journal> = Box::<FaultyJournal>::default();
    source.commit(&ledger.take_changes()).unwrap();
    // From memory to SQLite, from there to PostgreSQL, and back to SQLite.
    let places: [Box<dyn Subject>; 3] = [
        Box::new(Sqlite(tempfile::tempdir().unwrap())),
        Box::new(Database::new()),
        Box::new(Sqlite(tempfile::tempdir().unwrap())),
    ];
    for place in &places {
        let mut destination = place.open();
        copy(&mut *source, &mut *destination).unwrap();
        let again = copy(&mut *source, &mut *destination).unwrap_err();
        assert!(matches!(again, CopyError::NotEmpty { .. }), "{again}");
        assert_eq!(destination.load().unwrap(), ledger.snapshot());
        source = destination;
    }
}

#[test]
fn a_downtime_moves_only_the_deadlines_that_were_ahead() {
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
fn fencing_tokens_rise_after_all_leases_have_ended() {
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
    assert!(
        matches!(error, OpenError::Database(DatabaseError::Newer { found: 99, .. })),
        "{error}"
    );
}

#[test]
fn a_file_that_is_not_a_journal_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(SqliteJournal::FILE), "not a database, but long enough")
        .unwrap();
    let error = SqliteJournal::open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Database(DatabaseError::Storage { .. })), "{error}");
}

#[test]
fn on_a_full_disk_a_commit_fails_whole_and_succeeds_once_there_is_space() {
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
