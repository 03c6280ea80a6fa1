//! What a Prefect server has of limits, whichever way it was read.

use std::collections::BTreeMap;
use std::fmt;

use leasehold_engine::{Rate, Span, TAG_PREFIX, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::revision::Shape;

/// The limits of deployments are named so, with the deployment's id.
pub(crate) const DEPLOYMENT_PREFIX: &str = "deployment:";

/// Everything that was read.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Where it was read, without a password.
    pub place: String,
    /// The server's version, or the revision of its database.
    pub version: String,
    /// Where limits are in its database.
    pub shape: Option<Shape>,
    /// All limits, ordered by name. Those of tags are named `tag:<tag>`.
    pub limits: Vec<Limit>,
    /// All leases that are known.
    pub leases: Vec<Lease>,
    /// The runs that leases are held for, as far as the server knows them.
    pub runs: BTreeMap<Holder, Run>,
    /// The deployments that have a limit.
    pub deployments: Vec<Deployment>,
    /// What the reader should know of how it was read.
    pub notes: Vec<String>,
}

/// A limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// How many slots it has.
    pub slots: u64,
    /// Whether it limits anything.
    pub active: bool,
    /// How many slots it counts as taken, at `counted_at`.
    pub taken: u64,
    /// From when on the count drains.
    pub counted_at: Timestamp,
    /// How many slots it refused.
    pub denied: u64,
    /// How fast its slots drain.
    pub decay: Rate,
    /// How long a slot is held on average.
    pub occupancy_seconds_average: f64,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
}

/// A holder: the kind and the id of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Holder {
    /// `task_run`, `flow_run` or `deployment`.
    pub kind: String,
    /// Its id.
    pub id: Uuid,
}

/// Slots that are held.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    /// Its id.
    pub id: Uuid,
    /// On which limits.
    pub limits: Vec<Uuid>,
    /// How many slots on each of them.
    pub slots: u64,
    /// Its holder, if it was named.
    pub holder: Option<Holder>,
    /// When it was granted.
    pub created: Timestamp,
    /// When it ends unless it is renewed. `None` for holders that cannot renew.
    pub deadline: Option<Timestamp>,
}

/// A run that holds something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// The type of its state, such as `RUNNING`. `None` if it has none.
    pub state: Option<String>,
}

/// A deployment that has a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The limit that it refers to.
    pub limit: Option<Uuid>,
}

impl Limit {
    /// The id of the deployment that the limit belongs to.
    pub fn deployment(&self) -> Option<&str> {
        self.name.strip_prefix(DEPLOYMENT_PREFIX)
    }

    /// The tag that the limit is for.
    pub fn tag(&self) -> Option<&str> {
        self.name.strip_prefix(TAG_PREFIX)
    }
}

impl Holder {
    pub(crate) const TASK_RUN: &str = "task_run";
    pub(crate) const FLOW_RUN: &str = "flow_run";

    pub(crate) fn task_run(id: Uuid) -> Self {
        Self { kind: Self::TASK_RUN.to_owned(), id }
    }

    pub(crate) fn flow_run(id: Uuid) -> Self {
        Self { kind: Self::FLOW_RUN.to_owned(), id }
    }
}

impl Lease {
    /// Prefect gives a lease of a hundred years to holders that cannot renew. Nobody renews each
    /// ten years.
    const LONGEST: Span = Span::from_seconds(10 * 365 * 86_400);

    /// A deadline as Prefect has it; `None` if it stands for none.
    pub(crate) fn deadline(created: Timestamp, deadline: Timestamp) -> Option<Timestamp> {
        (deadline.since(created) < Self::LONGEST).then_some(deadline)
    }
}

impl Run {
    /// Whether the run is over: it holds nothing.
    pub fn is_over(&self) -> bool {
        let over = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"];
        self.state.as_deref().is_some_and(|state| over.contains(&state))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.replace('_', " "), self.id)
    }
}
