//! The tables, their version, and the way from an older version to this one.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::store::OpenError;

/// Each step makes one version from the one before; a step that has been released never
/// changes. The version stands in SQLite's `user_version`.
///
/// Points in time are microseconds since the Unix epoch. Ids are UUIDs as 16 bytes. What is
/// looked for has a column; the rest of a run is in its document.
const STEPS: &[&str] = &[
    "
    CREATE TABLE flows (
        id             BLOB PRIMARY KEY,
        name           TEXT NOT NULL UNIQUE,
        created_micros INTEGER NOT NULL,
        details        TEXT NOT NULL
    ) STRICT;

    CREATE TABLE runs (
        id               BLOB PRIMARY KEY,
        kind             TEXT NOT NULL CHECK (kind IN ('flow_run', 'task_run')),
        flow             BLOB,
        parent           BLOB,
        identity         TEXT UNIQUE,
        name             TEXT NOT NULL,
        state_type       TEXT,
        is_over          INTEGER NOT NULL,
        created_micros   INTEGER NOT NULL,
        updated_micros   INTEGER NOT NULL,
        heartbeat_micros INTEGER,
        document         TEXT NOT NULL
    ) STRICT;
    CREATE INDEX runs_by_parent ON runs (parent);
    CREATE INDEX runs_by_flow ON runs (flow);
    CREATE INDEX runs_by_creation ON runs (kind, created_micros);
    CREATE INDEX runs_by_age ON runs (is_over DESC, updated_micros);

    CREATE TABLE states (
        run       BLOB NOT NULL,
        at_micros INTEGER NOT NULL,
        id        BLOB NOT NULL,
        document  TEXT NOT NULL
    ) STRICT;
    CREATE INDEX states_by_run ON states (run, at_micros);
",
    "
    -- AUTOINCREMENT: a number that was told to a subscriber is never another event's.
    CREATE TABLE events (
        number      INTEGER PRIMARY KEY AUTOINCREMENT,
        id          BLOB NOT NULL,
        at_micros   INTEGER NOT NULL,
        kind        TEXT NOT NULL,
        limit_name  TEXT,
        holder_kind TEXT,
        holder_id   TEXT,
        lease       BLOB,
        reason      TEXT,
        document    TEXT
    ) STRICT;
    CREATE INDEX events_by_limit ON events (limit_name, number);
    CREATE INDEX events_by_holder ON events (holder_id, number);
",
    "
    CREATE TABLE blocks (
        id       BLOB PRIMARY KEY,
        key      TEXT NOT NULL UNIQUE,
        document TEXT NOT NULL
    ) STRICT;
",
];

/// "LREC" in ASCII: tells `file` and us that this database holds records of ours.
const APPLICATION_ID: i64 = 0x4c52_4543;

pub(crate) fn prepare(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let storage = |source| OpenError::Storage { path: path.to_owned(), source };
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    let found: i64 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(storage)?;
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    configure(connection).and_then(|()| migrate(connection, found)).map_err(storage)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
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
