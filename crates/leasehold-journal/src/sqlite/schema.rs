//! The tables, their version, and the way from an older version to this one.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::OpenError;

/// Each step makes one version from the one before; a step that has been released never
/// changes. The version stands in SQLite's `user_version`.
///
/// Points in time are microseconds since the Unix epoch. Ids are UUIDs as 16 bytes. Amounts
/// of slots that may have a fraction are two numbers: whole slots, and 10⁻¹⁵ slots.
const STEPS: &[&str] = &[
    "
    CREATE TABLE ledger (
        only_row    INTEGER PRIMARY KEY CHECK (only_row = 1),
        at_micros   INTEGER NOT NULL,
        next_fence  INTEGER NOT NULL
    ) STRICT;
    INSERT INTO ledger VALUES (1, 0, 0);

    CREATE TABLE limits (
        id                        BLOB PRIMARY KEY,
        name                      TEXT NOT NULL,
        slots                     INTEGER NOT NULL,
        active                    INTEGER NOT NULL,
        decay_nanos_per_second    INTEGER NOT NULL,
        created_micros            INTEGER NOT NULL,
        updated_micros            INTEGER NOT NULL,
        denied_slots              INTEGER NOT NULL,
        occupancy_seconds_average REAL NOT NULL,
        unleased_slots            INTEGER NOT NULL,
        unleased_fraction         INTEGER NOT NULL,
        settled_micros            INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- By fence and not by id: new leases then go to the end of the table.
    CREATE TABLE leases (
        fence           INTEGER PRIMARY KEY,
        id              BLOB NOT NULL,
        holder_kind     TEXT,
        holder_id       TEXT,
        holdings        TEXT NOT NULL,
        created_micros  INTEGER NOT NULL,
        deadline_micros INTEGER
    ) STRICT;

    CREATE TABLE endings (
        fence     INTEGER PRIMARY KEY,
        lease     BLOB NOT NULL,
        at_micros INTEGER NOT NULL,
        how       TEXT NOT NULL CHECK (how IN ('expired', 'revoked')),
        reason    TEXT
    ) STRICT;
",
    "
    -- Leases also end because their holders are known to be gone; `reason` is the evidence then.
    ALTER TABLE endings RENAME TO endings_before;
    CREATE TABLE endings (
        fence     INTEGER PRIMARY KEY,
        lease     BLOB NOT NULL,
        at_micros INTEGER NOT NULL,
        how       TEXT NOT NULL CHECK (how IN ('expired', 'revoked', 'repossessed')),
        reason    TEXT
    ) STRICT;
    INSERT INTO endings SELECT * FROM endings_before;
    DROP TABLE endings_before;
",
    "
    -- What was said of a lease beyond who holds it, as JSON; NULL for most.
    ALTER TABLE leases ADD COLUMN notes TEXT;

    -- Holders are told who took their lease away.
    ALTER TABLE endings RENAME TO endings_before;
    CREATE TABLE endings (
        fence      INTEGER PRIMARY KEY,
        lease      BLOB NOT NULL,
        at_micros  INTEGER NOT NULL,
        how        TEXT NOT NULL CHECK (how IN ('expired', 'revoked', 'repossessed', 'released')),
        reason     TEXT,
        revoked_by TEXT
    ) STRICT;
    INSERT INTO endings SELECT *, NULL FROM endings_before;
    DROP TABLE endings_before;
",
];

/// "LEAS" in ASCII: tells `file` and us that this database is a journal of ours.
const APPLICATION_ID: i64 = 0x4c45_4153;

pub(super) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let storage = |source| OpenError::Storage { path: path.to_owned(), source };
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    // Nothing is written before we know that the file is ours.
    let (found, is_ours) = identify(connection).map_err(storage)?;
    if !is_ours {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    configure(connection).and_then(|()| migrate(connection, found)).map_err(storage)
}

/// The version of the schema, and whether the file is a journal, or empty and becomes one.
fn identify(connection: &Connection) -> rusqlite::Result<(i64, bool)> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let is_empty: bool =
        connection
            .query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))?;
    let is_ours = pragma("application_id")? == APPLICATION_ID || is_empty;
    Ok((pragma("user_version")?, is_ours))
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // An operator who looks at the file with `sqlite3` may hold it for a moment.
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

fn migrate(connection: &mut Connection, found: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(found).unwrap_or(0);
    for (step, version) in STEPS.iter().zip(1_i64..).skip(done) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use leasehold_engine::How;

    use super::*;

    #[test]
    fn a_journal_of_the_first_version_keeps_its_endings() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(STEPS[0]).unwrap();
        let insert = "INSERT INTO endings VALUES (7, x'00', 5, 'revoked', 'maintenance')";
        connection.execute_batch(insert).unwrap();
        migrate(&mut connection, 1).unwrap();
        let kept = "SELECT how || ' ' || reason FROM endings WHERE fence = 7 AND at_micros = 5";
        let kept: String = connection.query_row(kept, [], |row| row.get(0)).unwrap();
        assert_eq!(kept, "revoked maintenance");
    }

    #[test]
    fn a_journal_of_the_second_version_keeps_its_leases_and_its_endings() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(STEPS[0]).unwrap();
        connection.execute_batch(STEPS[1]).unwrap();
        let id = "x'000102030405060708090a0b0c0d0e0f'";
        let rows = format!(
            "INSERT INTO leases VALUES (8, {id}, 'task_run', 't', '[]', 5, 65);
             INSERT INTO leases VALUES (9, {id}, NULL, NULL, '[]', 5, NULL);
             INSERT INTO endings VALUES (6, {id}, 4, 'repossessed', 'its run is over');
             INSERT INTO endings VALUES (7, {id}, 5, 'revoked', 'maintenance');"
        );
        connection.execute_batch(&rows).unwrap();
        migrate(&mut connection, 2).unwrap();
        let kept = crate::sqlite::rows::load(&connection).unwrap();
        let leases: Vec<_> =
            kept.leases.iter().map(|l| (l.fence.0, l.deadline.is_some())).collect();
        assert_eq!(leases, [(8, true), (9, false)]);
        assert!(kept.leases.iter().all(|lease| lease.notes.is_none()));
        let how: Vec<_> = kept.endings.into_iter().map(|ending| ending.how).collect();
        let repossessed = How::Repossessed { evidence: "its run is over".into() };
        assert_eq!(
            how,
            [repossessed, How::Revoked { reason: Some("maintenance".into()), by: None }]
        );
    }
}
