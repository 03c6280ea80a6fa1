//! Tag limits: `/api/concurrency_limits`, a view of the limits named `tag:<tag>`.

use uuid::Uuid;

use crate::Timestamp;
use crate::body::body;
use crate::rule::{COUNT, ID, ListOf, ListOfAtMost, NAMED, NAMES_MAX, TAG};
use crate::schema::answer;

body! {
    /// A new tag limit, or a new number for one that exists.
    pub struct CreateTagLimit: Model {
        /// The tag.
        pub tag: String = required("tag", TAG);
        /// How many task runs with the tag may run at once.
        pub concurrency_limit: u64 = required("concurrency_limit", COUNT);
    }
}

body! {
    /// Takes one slot of each tag for a task run.
    pub struct TagIncrement: Parameters {
        /// The bare tags.
        pub names: Vec<String> = required("names", ListOfAtMost(NAMES_MAX, NAMED));
        /// The task run that holds the slots.
        pub task_run_id: Uuid = required("task_run_id", ID);
    }
}

body! {
    /// Gives back a task run's slots of the given tags.
    pub struct TagDecrement: Parameters {
        /// The bare tags.
        pub names: Vec<String> = required("names", ListOfAtMost(NAMES_MAX, NAMED));
        /// The task run that holds the slots.
        pub task_run_id: Uuid = required("task_run_id", ID);
    }
}

body! {
    /// Frees a tag's slots, but for those of the task runs that are given.
    pub struct ResetTag: Parameters {
        /// The only holders after the reset; none when absent.
        pub slot_override: Option<Vec<Uuid>> = optional("slot_override", ListOf(ID));
    }
}

answer! {
    /// A tag limit.
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
    }
}
