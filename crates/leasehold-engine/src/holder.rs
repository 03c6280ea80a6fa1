//! Holders of leases.

use std::sync::Arc;

/// A holder of leases: a kind (`task_run`, `flow_run`, `process`, …) and an id within it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// Its kind.
    pub kind: Arc<str>,
    /// Its id within its kind.
    pub id: Arc<str>,
}

impl Holder {
    /// The kind of holders in the API of tags.
    pub const TASK_RUN: &str = "task_run";
    /// The kind of the flow runs that clients' events name.
    pub const FLOW_RUN: &str = "flow_run";

    /// A holder of this kind with this id.
    pub fn new(kind: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }
}
