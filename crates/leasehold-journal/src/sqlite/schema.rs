//! The tables, and the way from an older version to this one.

use leasehold_sqlite::Schema;

pub(super) const SCHEMA: Schema = Schema {
    // "LEAS" in ASCII.
    application_id: 0x4c45_4153,
    steps: STEPS,
};

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
    "
    -- How many commits there were: compared with how many were acknowledged, it tells a loss.
    ALTER TABLE ledger ADD COLUMN commits INTEGER NOT NULL DEFAULT 0;
",
    "
    -- Where the request for a lease came from, as JSON; NULL if nothing is known.
    ALTER TABLE leases ADD COLUMN origin TEXT;
",
    "
    -- The slots that no lease holds say by what they were taken, and since when: a list in JSON.
    ALTER TABLE limits ADD COLUMN unleased TEXT NOT NULL DEFAULT '[]';
    UPDATE limits SET unleased = json_array(json_object(
        'by', 'unknown', 'slots', unleased_slots, 'fraction', unleased_fraction))
    WHERE unleased_slots > 0 OR unleased_fraction > 0;
    ALTER TABLE limits DROP COLUMN unleased_slots;
    ALTER TABLE limits DROP COLUMN unleased_fraction;
",
    "
    -- Each row carries a checksum, and the ledger says how many rows there are.
    ALTER TABLE ledger ADD COLUMN limits INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE ledger ADD COLUMN leases INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE ledger ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE limits ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE leases ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE endings ADD COLUMN sum INTEGER NOT NULL DEFAULT 0;
    UPDATE ledger SET
        limits = (SELECT count(*) FROM limits), leases = (SELECT count(*) FROM leases);
    UPDATE ledger SET sum = row_sum(at_micros, next_fence, commits, limits, leases);
    UPDATE limits SET sum = row_sum(id, name, slots, active, decay_nanos_per_second, created_micros, updated_micros,
        denied_slots, occupancy_seconds_average, settled_micros, unleased);
    UPDATE leases SET sum = row_sum(fence, id, holder_kind, holder_id, holdings, created_micros,
        deadline_micros, notes, origin);
    UPDATE endings SET sum = row_sum(fence, lease, at_micros, how, reason, revoked_by);
",
    "
    -- Limits that move between this server and another one. NULL for all others, so that the sums of
    -- their rows stay: slots that the other server counts, and 1 for a limit on its way back.
    ALTER TABLE limits ADD COLUMN foreign_slots INTEGER;
    ALTER TABLE limits ADD COLUMN is_returning INTEGER;
    -- The leases on another server that live and end with a lease: ids in hex, with commas between.
    ALTER TABLE leases ADD COLUMN partners TEXT;
",
];

#[cfg(test)]
mod tests {
    use leasehold_engine::{EndReason, Level, TakenBy, Timestamp, Unheld};
    use rusqlite::Connection;

    use super::*;

    /// A journal as an older version left it.
    fn journal_of(version: i64) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        leasehold_sqlite::add_row_sum(&connection).unwrap();
        connection.execute_batch(&STEPS[..version as usize].concat()).unwrap();
        connection.pragma_update(None, "application_id", SCHEMA.application_id).unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
        connection
    }

    #[test]
    fn a_journal_of_the_first_version_keeps_its_endings() {
        let mut connection = journal_of(1);
        let insert = "INSERT INTO endings VALUES (7, x'00', 5, 'revoked', 'maintenance')";
        connection.execute_batch(insert).unwrap();
        SCHEMA.prepare(&mut connection).unwrap();
        let kept = "SELECT how || ' ' || reason FROM endings WHERE fence = 7 AND at_micros = 5";
        let kept: String = connection.query_row(kept, [], |row| row.get(0)).unwrap();
        assert_eq!(kept, "revoked maintenance");
    }

    #[test]
    fn a_journal_of_the_third_version_keeps_its_slots_without_a_lease() {
        let mut connection = journal_of(3);
        let limit = |id: u8, name: &str, slots: u64, fraction: u64| {
            format!(
                "INSERT INTO limits VALUES
                 (x'{id:032x}', '{name}', 5, 1, 0, 1, 2, 0, 2.0, {slots}, {fraction}, 3);"
            )
        };
        let rows = [limit(1, "held", 3, 0), limit(2, "rate", 1, 500), limit(3, "free", 0, 0)];
        connection.execute_batch(&rows.concat()).unwrap();
        SCHEMA.prepare(&mut connection).unwrap();
        let limits = super::super::rows::load(&connection).unwrap().limits;
        let kept: Vec<_> = limits
            .iter()
            .map(|limit| (&*limit.name, limit.unleased.parts().to_vec(), limit.settled))
            .collect();
        let unknown = |level| vec![Unheld { taken_by: TakenBy::Unknown, since: None, level }];
        let settled = Timestamp::from_micros(3);
        let expected = [
            ("held", unknown(Level::from_slots(3)), settled),
            ("rate", unknown(Level::from_slots(1) + Level::from_units(500)), settled),
            ("free", Vec::new(), settled),
        ];
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_journal_of_the_seventh_version_keeps_the_sums_of_its_rows() {
        let mut connection = journal_of(7);
        let rows = "
            INSERT INTO limits VALUES (x'00000000000000000000000000000001', 'db', 5, 1, 0, 1, 2, 0, 2.0,
                3, '[]', 0);
            INSERT INTO leases VALUES (8, x'000102030405060708090a0b0c0d0e0f', NULL, NULL,
                '[{\"limit\":\"1\",\"slots\":1}]', 5, 65, NULL, NULL, 0);
            UPDATE limits SET sum = row_sum(id, name, slots, active, decay_nanos_per_second,
                created_micros, updated_micros, denied_slots, occupancy_seconds_average,
                settled_micros, unleased);
            UPDATE leases SET sum = row_sum(fence, id, holder_kind, holder_id, holdings,
                created_micros, deadline_micros, notes, origin);
            UPDATE ledger SET next_fence = 9, limits = 1, leases = 1;
            UPDATE ledger SET sum = row_sum(at_micros, next_fence, commits, limits, leases);";
        connection.execute_batch(rows).unwrap();
        SCHEMA.prepare(&mut connection).unwrap();
        let kept = crate::sqlite::rows::load(&connection).unwrap();
        assert_eq!((kept.limits[0].foreign, kept.limits[0].returning), (0, false));
        assert!(kept.leases[0].partners.is_empty());
    }

    #[test]
    fn a_journal_of_the_second_version_keeps_its_leases_and_its_endings() {
        let mut connection = journal_of(2);
        let id = "x'000102030405060708090a0b0c0d0e0f'";
        let rows = format!(
            "INSERT INTO leases VALUES (8, {id}, 'task_run', 't', '[]', 5, 65);
             INSERT INTO leases VALUES (9, x'101112131415161718191a1b1c1d1e1f', NULL, NULL, '[]', 5,
                 NULL);
             UPDATE ledger SET next_fence = 10;
             INSERT INTO endings VALUES (6, {id}, 4, 'repossessed', 'its run is over');
             INSERT INTO endings VALUES (7, {id}, 5, 'revoked', 'maintenance');"
        );
        connection.execute_batch(&rows).unwrap();
        SCHEMA.prepare(&mut connection).unwrap();
        let kept = crate::sqlite::rows::load(&connection).unwrap();
        let leases: Vec<_> =
            kept.leases.iter().map(|l| (l.fence.0, l.deadline.is_some())).collect();
        assert_eq!(leases, [(8, true), (9, false)]);
        assert!(kept.leases.iter().all(|lease| lease.notes.is_none() && lease.origin.is_none()));
        let how: Vec<_> = kept.endings.into_iter().map(|ending| ending.how).collect();
        let repossessed = EndReason::Repossessed { evidence: "its run is over".into() };
        assert_eq!(
            how,
            [repossessed, EndReason::Revoked { reason: Some("maintenance".into()), by: None }]
        );
    }
}
