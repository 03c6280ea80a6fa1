//! The statements over whole rows. The last column of a row is the checksum of the others.

/// Time, next token, and how many commits, limits and leases there are.
pub(super) const UPDATE_LEDGER: &str = "\
    UPDATE ledger SET at_micros = ?1, next_fence = ?2, commits = ?3, limits = ?4, leases = ?5, \
    sum = ?6";

pub(super) const READ_LEDGER: &str = "\
    SELECT at_micros, next_fence, commits, limits, leases, sum FROM ledger";

/// After a downtime.
pub(super) const MOVE_DEADLINES: &str = "\
    UPDATE leases SET deadline_micros = deadline_micros + ?2, \
    sum = row_sum(fence, id, holder_kind, holder_id, holdings, created_micros, \
    deadline_micros + ?2, notes, origin, partners) \
    WHERE deadline_micros > ?1";

pub(super) const PUT_LIMIT: &str = "\
    INSERT OR REPLACE INTO limits (id, name, slots, active, decay_nanos_per_second, \
    created_micros, updated_micros, denied_slots, occupancy_seconds_average, settled_micros, \
    unleased, foreign_slots, is_returning, sum) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

pub(super) const READ_LIMITS: &str = "\
    SELECT id, name, slots, active, decay_nanos_per_second, created_micros, updated_micros, \
    denied_slots, occupancy_seconds_average, settled_micros, unleased, foreign_slots, is_returning, \
    sum \
    FROM limits";

pub(super) const PUT_LEASE: &str = "\
    INSERT OR REPLACE INTO leases (fence, id, holder_kind, holder_id, holdings, \
    created_micros, deadline_micros, notes, origin, partners, sum) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";

/// Oldest first.
pub(super) const READ_LEASES: &str = "\
    SELECT fence, id, holder_kind, holder_id, holdings, created_micros, deadline_micros, \
    notes, origin, partners, sum \
    FROM leases ORDER BY fence";

pub(super) const PUT_ENDING: &str = "\
    INSERT OR REPLACE INTO endings (fence, lease, at_micros, how, reason, revoked_by, sum) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// Oldest first.
pub(super) const READ_ENDINGS: &str = "\
    SELECT fence, lease, at_micros, how, reason, revoked_by, sum \
    FROM endings ORDER BY at_micros, fence";
