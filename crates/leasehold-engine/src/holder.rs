//! Who holds a lease.

use std::sync::Arc;

/// Who holds a lease: a kind (`task_run`, `flow_run`, `process`, …) and an id within it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// What kind of thing holds the lease.
    pub kind: Arc<str>,
    /// Which one of its kind.
    pub id: Arc<str>,
}

impl Holder {
    /// The kind of the holders that the tag API knows.
    pub const TASK_RUN: &str = "task_run";
    /// The kind of the flow runs that clients' own events name.
    pub const FLOW_RUN: &str = "flow_run";

    /// A holder of this kind with this id.
    pub fn new(kind: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }
}
