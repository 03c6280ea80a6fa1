//! Leases as a person looks at them: `/api/leases`. The recorded API has nothing like it.

use uuid::Uuid;

use crate::Timestamp;
use crate::body::body;
use crate::rule::REASON;
use crate::schema::answer;

body! {
    /// Why a lease is revoked.
    pub struct RevokeLease: Parameters {
        /// A sentence that the holder is shown at its next renewal.
        pub reason: Option<String> = optional("reason", REASON);
    }
}

answer! {
    /// A lease that is held.
    pub struct Lease {
        /// The lease's id.
        pub id: Uuid,
        /// What it holds, limit by limit.
        pub limits: Vec<HeldLimit>,
        /// Who holds it, if it said so.
        pub holder: Option<LeaseHolder>,
        /// When it was granted.
        pub created: Timestamp,
        /// When it ends unless it is renewed; `null` for a holder that cannot renew.
        pub deadline: Option<Timestamp>,
        /// Greater than that of every earlier lease.
        pub fencing_token: u64,
    }
}

answer! {
    /// Slots of one limit that a lease holds.
    pub struct HeldLimit {
        /// The limit's id.
        pub id: Uuid,
        /// Its name.
        pub name: String,
        /// How many of its slots are held.
        pub slots: u64,
    }
}

answer! {
    /// Who holds a lease.
    pub struct LeaseHolder {
        /// The kind of holder: `task_run`, `flow_run`, `deployment`, or what the holder said.
        pub r#type: String,
        /// The holder's id within its kind.
        pub id: String,
    }
}

answer! {
    /// A request that waits for a limit.
    pub struct Waiter {
        /// How many are to be granted before it, plus one.
        pub position: u64,
        /// Who waits, if it said so.
        pub holder: Option<LeaseHolder>,
        /// How many slots of the limit it wants.
        pub slots: u64,
        /// Higher goes first.
        pub priority: i64,
        /// Since when it waits.
        pub since: Timestamp,
        /// For how long it has waited, in seconds.
        pub age_seconds: f64,
        /// The names of the limits that have no room for it.
        pub blocked_by: Vec<String>,
    }
}
