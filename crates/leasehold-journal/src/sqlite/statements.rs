//! The statements over whole rows. What is written carries the checksum of its columns, and what is
//! read says, as its last column, whether the checksum is right.

/// Time, next token, and how many limits and leases there are.
pub(super) const UPDATE_LEDGER: &str = "\
    UPDATE ledger SET at_micros = ?1, next_fence = ?2, commits = commits + 1, limits = ?3, \
    leases = ?4, \
    sum = row_sum(?1, ?2, commits + 1, ?3, ?4)";

pub(super) const READ_LEDGER: &str = "\
    SELECT at_micros, next_fence, commits, limits, leases, \
    sum = row_sum(at_micros, next_fence, commits, limits, leases) \
    FROM ledger";

/// After a downtime.
pub(super) const MOVE_DEADLINES: &str = "\
    UPDATE leases SET deadline_micros = deadline_micros + ?2, \
    sum = row_sum(fence, id, holder_kind, holder_id, holdings, created_micros, \
    deadline_micros + ?2, notes, origin) \
    WHERE deadline_micros > ?1";

pub(super) const PUT_LIMIT: &str = "\
    INSERT OR REPLACE INTO limits (id, name, slots, active, decay_nanos_per_second, \
    created_micros, updated_micros, denied_slots, occupancy_seconds_average, settled_micros, \
    unleased, sum) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, row_sum(?1, ?2, ?3, ?4, ?5, ?6, \
    ?7, ?8, ?9, ?10, ?11))";

pub(super) const READ_LIMITS: &str = "\
    SELECT id, name, slots, active, decay_nanos_per_second, created_micros, updated_micros, \
    denied_slots, occupancy_seconds_average, settled_micros, unleased, \
    sum = row_sum(id, name, slots, active, decay_nanos_per_second, created_micros, \
    updated_micros, denied_slots, occupancy_seconds_average, settled_micros, unleased) \
    FROM limits";

pub(super) const PUT_LEASE: &str = "\
    INSERT OR REPLACE INTO leases (fence, id, holder_kind, holder_id, holdings, \
    created_micros, deadline_micros, notes, origin, sum) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, row_sum(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9))";

/// Oldest first.
pub(super) const READ_LEASES: &str = "\
    SELECT fence, id, holder_kind, holder_id, holdings, created_micros, deadline_micros, \
    notes, origin, \
    sum = row_sum(fence, id, holder_kind, holder_id, holdings, created_micros, \
    deadline_micros, notes, origin) \
    FROM leases ORDER BY fence";

pub(super) const PUT_ENDING: &str = "\
    INSERT OR REPLACE INTO endings (fence, lease, at_micros, how, reason, revoked_by, sum) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, row_sum(?1, ?2, ?3, ?4, ?5, ?6))";

/// Oldest first.
pub(super) const READ_ENDINGS: &str = "\
    SELECT fence, lease, at_micros, how, reason, revoked_by, \
    sum = row_sum(fence, lease, at_micros, how, reason, revoked_by) \
    FROM endings ORDER BY at_micros, fence";
