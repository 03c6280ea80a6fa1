//! What a journal in PostgreSQL does when its server, its connection or another node gets in the
//! way. The server is a real one.

pub(crate) mod server;

use std::time::Duration;

use leasehold_engine::{
    Acquire, Command, CreateLimit, Hold, Holder, LeaseId, Ledger, LimitId, Snapshot, Span,
    Timestamp,
};
use leasehold_journal::{
    CommitError, Journal, LoadError, Node, PostgresError, PostgresJournal, PostgresSettings,
};

use server::proxy::{Cut, Proxy};
use server::{Database, node};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// A ledger with one limit.
fn ledger() -> Ledger {
    let mut ledger = Ledger::restore(Snapshot::default(), at(0));
    ledger.step(Command::CreateLimit(CreateLimit::new(LimitId(1), "a\0b", 1_000)), at(1));
    ledger
}

fn acquire(ledger: &mut Ledger, lease: u128) {
    let hold = Hold::Lease {
        id: LeaseId(lease),
        holder: Some(Holder::new("process\0", "\u{1}h\\0")),
        ttl: Span::from_seconds(60),
        notes: None,
    };
    ledger.step(Command::Acquire(Acquire::new([("a\0b", 1)], hold)), at(2));
}

/// Commits a lease, and checks that the journal has exactly the ledger.
fn commits(journal: &mut PostgresJournal, ledger: &mut Ledger, lease: u128) {
    acquire(ledger, lease);
    journal.commit(&ledger.take_changes()).unwrap();
    assert_eq!(journal.load().unwrap(), ledger.snapshot());
}

fn why(error: CommitError) -> PostgresError {
    let CommitError::Storage(error) = error else { panic!("{error}") };
    *error.downcast().unwrap()
}

#[test]
fn a_second_node_is_refused_until_the_first_gives_the_ledger_up() {
    let database = Database::new();
    let takeover = Duration::from_secs(2);
    let quick = Node { takeover, ..node("one") };
    let mut first = PostgresJournal::open(database.settings(), quick).unwrap();
    let mut ledger = ledger();
    commits(&mut first, &mut ledger, 1);
    let error = database.open_as("two").unwrap_err();
    assert!(matches!(&error, PostgresError::Owned { owner, .. } if owner == "one"), "{error}");
    // An idle owner stays the owner.
    std::thread::sleep(2 * takeover);
    assert!(matches!(database.open_as("two"), Err(PostgresError::Owned { .. })));
    drop(first);
    let mut second = database.open_as("two").unwrap();
    assert_eq!(second.load().unwrap(), ledger.snapshot());
}

#[test]
fn a_node_that_was_paused_past_a_takeover_can_write_nothing() {
    let database = Database::new();
    let mut first = database.open();
    let mut ledger = ledger();
    commits(&mut first, &mut ledger, 1);
    let mut second = loop {
        database.psql("UPDATE leasehold.ledger SET owned_until = now() - INTERVAL '1 second'");
        // The first node may renew in between.
        match database.open_as("two") {
            Ok(second) => break second,
            Err(error) => assert!(matches!(error, PostgresError::Owned { .. }), "{error}"),
        }
    };
    let before = second.load().unwrap();
    acquire(&mut ledger, 2);
    let error = why(first.commit(&ledger.take_changes()).unwrap_err());
    assert!(matches!(&error, PostgresError::Deposed { owner, .. } if owner == "two"), "{error}");
    assert!(matches!(first.load(), Err(LoadError::Storage(_))));
    assert!(*first.deposed().borrow());
    drop(first);
    assert_eq!(second.load().unwrap(), before);
    let mut ledger = Ledger::restore(before, at(3));
    commits(&mut second, &mut ledger, 3);
}

#[test]
fn commits_go_on_after_backends_are_killed_and_after_a_restart_of_the_server() {
    let server = std::sync::Arc::new(server::Server::start());
    let database = Database::on(server.clone());
    let mut journal = database.open();
    let mut ledger = ledger();
    commits(&mut journal, &mut ledger, 1);
    for lease in 2..6 {
        database.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = \
             'leasehold'",
        );
        commits(&mut journal, &mut ledger, lease);
    }
    server.restart();
    commits(&mut journal, &mut ledger, 6);
}

#[test]
fn a_commit_whose_answer_is_lost_has_happened_once() {
    for cut in [Cut::AfterCommit, Cut::BeforeCommit] {
        let database = Database::new();
        let proxy = Proxy::start(database.server.socket());
        let host = proxy.host().display().to_string();
        let address = format!("postgres://test@/{}?sslmode=disable", database.name);
        let variable = |name: &str| (name == "PGHOST").then(|| host.clone());
        let settings = PostgresSettings::read(&address, None, variable).unwrap();
        let mut journal = PostgresJournal::open(settings, node("one")).unwrap();
        let mut ledger = ledger();
        commits(&mut journal, &mut ledger, 1);
        for lease in 2..5 {
            proxy.cut(cut);
            commits(&mut journal, &mut ledger, lease);
            assert!(proxy.has_cut());
        }
        let commits = database.psql("SELECT commits FROM leasehold.ledger");
        assert_eq!(commits, "4", "{cut:?}");
    }
}

#[test]
fn a_database_that_accepts_no_writes_is_refused_and_used_again_later() {
    let database = Database::new();
    let mut journal = database.open();
    let mut ledger = ledger();
    commits(&mut journal, &mut ledger, 1);
    let set = |value: &str| {
        let name = &database.name;
        database
            .psql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}"));
        database.server.psql(
            "postgres",
            &format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            ),
        );
    };
    set("on");
    acquire(&mut ledger, 2);
    let error = why(journal.commit(&ledger.take_changes()).unwrap_err());
    assert!(matches!(error, PostgresError::ReadOnly), "{error}");
    database.server.psql(
        "postgres",
        &format!("ALTER DATABASE {} SET default_transaction_read_only = off", database.name),
    );
    let mut ledger = Ledger::restore(journal.load().unwrap(), at(3));
    commits(&mut journal, &mut ledger, 3);
}

#[test]
fn a_database_with_fewer_commits_than_were_acknowledged_gets_no_more() {
    let database = Database::new();
    let mut journal = database.open();
    let mut ledger = ledger();
    commits(&mut journal, &mut ledger, 1);
    let backup = "CREATE TABLE backup AS SELECT * FROM leasehold.ledger";
    database.psql(backup);
    commits(&mut journal, &mut ledger, 2);
    database.psql(
        "UPDATE leasehold.ledger SET commits = b.commits, leases = b.leases, sum = b.sum, \
         at_micros = b.at_micros, next_fence = b.next_fence FROM backup b",
    );
    acquire(&mut ledger, 3);
    let error = why(journal.commit(&ledger.take_changes()).unwrap_err());
    assert!(matches!(error, PostgresError::Lost { found: 1, acknowledged: 2 }), "{error}");
    let error = journal.load().unwrap_err();
    assert!(!matches!(error, LoadError::Full), "{error}");
}

#[test]
fn a_schema_of_a_newer_version_and_a_setting_that_loses_commits_are_refused() {
    let database = Database::new();
    drop(database.open());
    let epoch = database.psql("SELECT epoch FROM leasehold.ledger");
    database.psql("UPDATE leasehold.version SET version = 99");
    let error = database.open_as("one").unwrap_err();
    assert!(matches!(error, PostgresError::Newer { found: 99, .. }), "{error}");
    assert_eq!(database.psql("SELECT epoch FROM leasehold.ledger"), epoch);

    let settings = database.settings_with("&options=-c%20synchronous_commit%3Doff");
    let error = PostgresJournal::open(settings, node("one")).unwrap_err();
    assert!(error.to_string().contains("synchronous_commit = off"), "{error}");
}

#[test]
fn a_row_that_was_changed_by_hand_is_damaged() {
    let database = Database::new();
    let mut journal = database.open();
    let mut ledger = ledger();
    commits(&mut journal, &mut ledger, 1);
    database.psql("UPDATE leasehold.leases SET holder_id = 'somebody else'");
    let error = journal.load().unwrap_err();
    assert!(matches!(error, LoadError::Damaged { table: "leases", .. }), "{error}");
}
