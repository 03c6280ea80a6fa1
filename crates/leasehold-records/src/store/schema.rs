//! The tables, and the way from an older version to this one.

use leasehold_sqlite::Schema;

pub(super) const SCHEMA: Schema = Schema {
    // "LREC" in ASCII.
    application_id: 0x4c52_4543,
    steps: STEPS,
};

/// Points in time are microseconds since the Unix epoch. Ids are UUIDs as 16 bytes. What searches
/// and orders need has a column; the rest of a run is in its document.
pub(super) const STEPS: &[&str] = &[
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
    "
    -- What lists search and order by has columns: no statement looks into a document.
    ALTER TABLE runs ADD COLUMN state_name TEXT;
    ALTER TABLE runs ADD COLUMN state_micros INTEGER;
    ALTER TABLE runs ADD COLUMN expected_micros INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE runs ADD COLUMN start_micros INTEGER;
    ALTER TABLE runs ADD COLUMN due_micros INTEGER;
    ALTER TABLE runs ADD COLUMN end_micros INTEGER;
    ALTER TABLE runs ADD COLUMN total_run_micros INTEGER NOT NULL DEFAULT 0;
    UPDATE runs SET expected_micros = created_micros;
    UPDATE runs SET
        state_name = document ->> '$.state.name',
        state_micros = document ->> '$.state.at_micros',
        expected_micros = coalesce(document ->> '$.expected_micros', created_micros),
        start_micros = document ->> '$.start_micros',
        due_micros = CASE WHEN state_type IN ('SCHEDULED', 'PENDING') THEN
            CAST(round((julianday(document ->> '$.state.details.scheduled_time') - 2440587.5)
                * 86400000) AS INTEGER) * 1000 END,
        end_micros = document ->> '$.end_micros',
        total_run_micros = coalesce(document ->> '$.total_run_micros', 0)
    WHERE json_valid(document);

    -- The running runs of a flow, the newest first, without its other runs.
    DROP INDEX runs_by_flow;
    CREATE INDEX runs_by_flow ON runs (flow, state_type, id);
    DROP INDEX runs_by_creation;
    CREATE INDEX runs_by_kind ON runs (kind, id);

    DROP INDEX states_by_run;
    CREATE UNIQUE INDEX states_by_run ON states (run, at_micros, id);

    -- The number of the last event, and how much is in the log: in one row that each writer of
    -- events changes, so that numbers rise in the order of commits.
    CREATE TABLE log (
        only_row      INTEGER PRIMARY KEY CHECK (only_row = 1),
        last_number   INTEGER NOT NULL,
        ledger_events INTEGER NOT NULL,
        ledger_bytes  INTEGER NOT NULL,
        client_events INTEGER NOT NULL,
        client_bytes  INTEGER NOT NULL
    ) STRICT;
    INSERT INTO log SELECT
        1,
        coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0),
        count(*) FILTER (WHERE document IS NULL),
        coalesce(sum(bytes) FILTER (WHERE document IS NULL), 0),
        count(*) FILTER (WHERE document IS NOT NULL),
        coalesce(sum(bytes) FILTER (WHERE document IS NOT NULL), 0)
    FROM (SELECT document, 128 + octet_length(kind) + coalesce(octet_length(limit_name), 0)
        + coalesce(octet_length(holder_kind), 0) + coalesce(octet_length(holder_id), 0)
        + coalesce(octet_length(reason), 0) + coalesce(octet_length(document), 0)
        + coalesce(octet_length(origin), 0) AS bytes FROM events);
",
    "
    -- The points of the charts of limits.
    CREATE TABLE moments (
        limit_name   TEXT NOT NULL,
        seconds      INTEGER NOT NULL,
        begin_micros INTEGER NOT NULL,
        taken        INTEGER NOT NULL,
        waiting      INTEGER NOT NULL,
        granted      INTEGER NOT NULL,
        refused      INTEGER NOT NULL,
        PRIMARY KEY (limit_name, seconds, begin_micros)
    ) STRICT;
    CREATE INDEX moments_by_age ON moments (seconds, begin_micros);
",
];
