//! The tables, and the way from an older version to this one. Only what PostgreSQL, CockroachDB and
//! YugabyteDB have alike.

use tokio_postgres::Client;

use super::error::PostgresError;

/// Each step migrates one version to the next. A step that has been released never changes.
///
/// Points in time of the ledger are microseconds since the Unix epoch; those of ownership are the
/// database's own.
const STEPS: &[&str] = &["
    CREATE TABLE leasehold.version (
        only_row BIGINT PRIMARY KEY CHECK (only_row = 1),
        version  BIGINT NOT NULL
    );

    -- Who may write stands in the row that every commit writes: one change checks and renews it.
    CREATE TABLE leasehold.ledger (
        only_row    BIGINT PRIMARY KEY CHECK (only_row = 1),
        at_micros   BIGINT NOT NULL,
        next_fence  BIGINT NOT NULL,
        commits     BIGINT NOT NULL,
        limits      BIGINT NOT NULL,
        leases      BIGINT NOT NULL,
        sum         BIGINT NOT NULL,
        epoch       BIGINT NOT NULL,
        owner       TEXT NOT NULL,
        instance    TEXT NOT NULL,
        owned_since TIMESTAMPTZ NOT NULL,
        owned_until TIMESTAMPTZ NOT NULL
    );

    CREATE TABLE leasehold.limits (
        id                        BYTEA PRIMARY KEY,
        name                      TEXT NOT NULL,
        slots                     BIGINT NOT NULL,
        active                    BIGINT NOT NULL,
        decay_nanos_per_second    BIGINT NOT NULL,
        created_micros            BIGINT NOT NULL,
        updated_micros            BIGINT NOT NULL,
        denied_slots              BIGINT NOT NULL,
        occupancy_seconds_average DOUBLE PRECISION NOT NULL,
        settled_micros            BIGINT NOT NULL,
        unleased                  TEXT NOT NULL,
        foreign_slots             BIGINT,
        is_returning              BIGINT,
        sum                       BIGINT NOT NULL
    );

    CREATE TABLE leasehold.leases (
        fence           BIGINT PRIMARY KEY,
        id              BYTEA NOT NULL,
        holder_kind     TEXT,
        holder_id       TEXT,
        holdings        TEXT NOT NULL,
        created_micros  BIGINT NOT NULL,
        deadline_micros BIGINT,
        notes           TEXT,
        origin          TEXT,
        partners        TEXT,
        sum             BIGINT NOT NULL
    );

    CREATE TABLE leasehold.endings (
        fence      BIGINT PRIMARY KEY,
        lease      BYTEA NOT NULL,
        at_micros  BIGINT NOT NULL,
        how        TEXT NOT NULL,
        reason     TEXT,
        revoked_by TEXT,
        sum        BIGINT NOT NULL
    );
"];

/// How many versions there are.
pub(super) fn known() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// The version of the schema; `None` if there is none. A newer one is refused.
pub(super) async fn version(client: &Client) -> Result<Option<i64>, PostgresError> {
    let tables = "SELECT count(*) FROM pg_catalog.pg_tables \
                  WHERE schemaname = 'leasehold' AND tablename = 'version'";
    if client.query_typed_one(tables, &[]).await?.try_get::<_, i64>(0)? == 0 {
        return Ok(None);
    }
    let row = client.query_typed_one("SELECT version FROM leasehold.version", &[]).await?;
    let found = row.try_get(0)?;
    let known = known();
    if found > known { Err(PostgresError::Newer { found, known }) } else { Ok(Some(found)) }
}

/// Creates the schema in its newest version, with an empty ledger that nobody owns.
pub(super) async fn create(client: &Client, ledger_sum: i64) -> Result<(), PostgresError> {
    let schemas = "SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = 'leasehold'";
    let exists = client.query_typed_one(schemas, &[]).await?.try_get::<_, i64>(0)? > 0;
    // With `IF NOT EXISTS`, too, PostgreSQL asks for the right to create schemas.
    let schema = if exists { "" } else { "CREATE SCHEMA leasehold;" };
    let known = known();
    let ledger = format!(
        "INSERT INTO leasehold.version VALUES (1, {known});
         INSERT INTO leasehold.ledger VALUES
             (1, 0, 0, 0, 0, 0, {ledger_sum}, 0, '', '', now(), now());"
    );
    let all = format!("BEGIN; {schema} {} {ledger} COMMIT", STEPS.concat());
    let created = client.batch_execute(&all).await;
    if created.is_err() {
        // The error that is returned says why.
        let _ = client.batch_execute("ROLLBACK").await;
    }
    Ok(created?)
}

/// Brings an older schema up to date. Only the owner of the ledger does so: a node of an older
/// version that owned it before can no longer write.
pub(super) async fn migrate(client: &Client, found: i64) -> Result<(), PostgresError> {
    let done = usize::try_from(found).unwrap_or(0);
    for (step, version) in STEPS.iter().zip(1_i64..).skip(done) {
        let step = format!(
            "BEGIN; {step}; UPDATE leasehold.version SET version = {version} \
             WHERE version = {version} - 1; COMMIT"
        );
        client.batch_execute(&step).await?;
    }
    Ok(())
}
