//! The tables, and the way from an older version to this one.

use leasehold_sqlite::Schema;

pub(crate) const SCHEMA: Schema = Schema {
    // "LREC" in ASCII.
    application_id: 0x4c52_4543,
    steps: STEPS,
};

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
    "
    -- Where the request for the lease came from, as JSON.
    ALTER TABLE events ADD COLUMN origin TEXT;
",
];
