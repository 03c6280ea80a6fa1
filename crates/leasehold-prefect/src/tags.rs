//! Tag limits: `/api/concurrency_limits`, a view of the limits named `tag:<tag>`.

use leasehold_api::Timestamp;
use leasehold_api::unleased::SlotsWithoutLease;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::declaration::body;
use crate::rule::{COUNT, ID, ListOf, ListOfAtMost, NAMED, NAMES_MAX, TAG};

body! {
    /// A new tag limit, or a new number for one that exists.
    pub struct CreateTagLimit: Model {
        /// The tag.
        pub tag: String = required(TAG);
        /// How many task runs with the tag may run at once.
        pub concurrency_limit: u64 = required(COUNT);
    }
}

body! {
    /// Takes one slot of each tag for a task run.
    pub struct TagIncrement: Parameters {
        /// The bare tags.
        pub names: Vec<String> = required(ListOfAtMost(NAMES_MAX, NAMED));
        /// The task run that holds the slots.
        pub task_run_id: Uuid = required(ID);
    }
}

body! {
    /// Gives back a task run's slots of the given tags.
    pub struct TagDecrement: Parameters {
        /// The bare tags.
        pub names: Vec<String> = required(ListOfAtMost(NAMES_MAX, NAMED));
        /// The task run that holds the slots.
        pub task_run_id: Uuid = required(ID);
    }
}

body! {
    /// Frees a tag's slots, except those of the given task runs.
    pub struct ResetTag: Parameters {
        /// The only holders after the reset; none when absent.
        pub slot_override: Option<Vec<Uuid>> = optional(ListOf(ID));
    }
}

/// A tag limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TagLimit {
    /// The limit's id, which never changes.
    pub id: Uuid,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed by an operator.
    pub updated: Timestamp,
    /// The tag.
    pub tag: String,
    /// How many task runs with the tag may run at once.
    pub concurrency_limit: u64,
    /// The task runs that hold a slot.
    pub active_slots: Vec<Uuid>,
    /// The slots that no task run and no lease holds. Clients of Prefect do not know this field; it
    /// is only there if there are such slots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots_without_lease: Vec<SlotsWithoutLease>,
}
