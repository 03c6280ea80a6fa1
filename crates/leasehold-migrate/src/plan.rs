//! The plan of an import: what becomes of each limit and of each holder. Pure: it reads neither a
//! clock nor a server.

mod holders;
mod limits;
#[cfg(test)]
mod tests;

use leasehold_engine::{Level, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use crate::moment;
use crate::prefect::{Holder, Inventory, Run};

pub(crate) use self::limits::fate_of;

/// What the operator chose.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// What becomes of a limit that is here already and differs.
    pub on_conflict: OnConflict,
    /// Carry the limits of deployments, which nothing but Prefect uses.
    pub deployment_limits: bool,
    /// Carry slots that nobody is known to hold, as slots without a lease.
    pub keep_counts: bool,
    /// When the server stopped: leases that were alive then keep the time that they had left.
    pub stopped_at: Option<Timestamp>,
}

/// What becomes of a limit that is here already and differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// It is shown, and nothing is carried.
    #[default]
    Stop,
    /// The limit here gets the values from there.
    Replace,
    /// The limit here stays as it is.
    Skip,
}

/// What is here already.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// Its limits.
    pub limits: Vec<TargetLimit>,
    /// The ids of its leases.
    pub leases: Vec<Uuid>,
}

/// A limit that is here.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetLimit {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// How many slots it has.
    pub slots: u64,
    /// Whether it limits anything.
    pub active: bool,
    /// How fast it drains, in 10⁻⁹ slots per second.
    pub decay_units: u64,
    /// How many leases hold it.
    pub leases: usize,
}

/// What becomes of everything.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Where it is read from.
    pub from: String,
    /// The version or revision there.
    pub version: String,
    /// The time that it was made for.
    #[serde(serialize_with = "moment::serialize")]
    pub at: Timestamp,
    /// Each limit, ordered by name.
    pub limits: Vec<LimitPlan>,
    /// Each holder, the oldest first.
    pub holders: Vec<HolderPlan>,
    /// What the operator should know besides.
    pub notes: Vec<String>,
}

/// What becomes of a limit.
#[derive(Clone, Debug, Serialize)]
pub struct LimitPlan {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// How many slots it has.
    pub slots: u64,
    /// Whether it limits anything.
    pub active: bool,
    /// How fast it drains.
    pub slot_decay_per_second: f64,
    /// What becomes of it.
    #[serde(flatten)]
    pub fate: Fate,
    /// How many slots are counted there as taken.
    pub taken: u64,
    /// How many of these are carried with their holders.
    pub carried: u64,
    /// How many of these holders are left behind.
    pub left: u64,
    /// How many of these nobody is known to hold.
    pub unknown: u64,
    /// How many slots are carried without a lease, with the fraction that has not drained.
    pub unleased: f64,
    /// The deployments that use it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deployments: Vec<String>,
    /// The limit as it is there.
    #[serde(skip)]
    pub(crate) source: crate::prefect::Limit,
    /// What is carried without a lease.
    #[serde(skip)]
    pub(crate) level: Level,
}

/// What becomes of a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fate", content = "why", rename_all = "snake_case")]
pub enum Fate {
    /// It is created.
    Create,
    /// It is here already, and is the same.
    Same,
    /// It is here already, and gets the values from there. Each difference is named.
    Replace(Vec<String>),
    /// It is here already, and stays as it is.
    Skip(Vec<String>),
    /// It is here already and differs: the operator has to choose.
    Conflict(Vec<String>),
    /// It stays behind.
    LeaveOut(String),
}

/// What becomes of a holder.
#[derive(Clone, Debug, Serialize)]
pub struct HolderPlan {
    /// The id of its lease.
    pub lease: Uuid,
    /// The names of the limits that it holds.
    pub limits: Vec<String>,
    /// How many slots of each.
    pub slots: u64,
    /// The holder, if it was named.
    pub holder: Option<Holder>,
    /// Its run, as far as the server knows it.
    pub run: Option<Run>,
    /// When the lease was granted.
    #[serde(serialize_with = "moment::serialize")]
    pub since: Timestamp,
    /// When it ends here unless it is renewed.
    #[serde(serialize_with = "moment::serialize_option")]
    pub deadline: Option<Timestamp>,
    /// Whether it is carried.
    pub carried: bool,
    /// Why, or why not.
    pub why: String,
    /// The limits that it holds here.
    #[serde(skip)]
    pub(crate) on: Vec<Uuid>,
}

/// Makes the plan.
pub fn plan(inventory: &Inventory, target: &Target, choices: &Choices, now: Timestamp) -> Plan {
    let mut limits = limits::plan(inventory, target, choices);
    let holders = holders::plan(inventory, &limits, target, choices, now);
    limits::count(&mut limits, &holders, inventory, choices, now);
    Plan {
        from: inventory.place.clone(),
        version: inventory.version.clone(),
        at: now,
        limits,
        holders,
        notes: inventory.notes.clone(),
    }
}

impl Fate {
    /// Whether the limit is written here.
    pub fn is_written(&self) -> bool {
        matches!(self, Self::Create | Self::Replace(_))
    }
}

impl Plan {
    /// The names of the limits about which the operator has to choose.
    pub fn conflicts(&self) -> impl Iterator<Item = &str> {
        let conflict = |limit: &&LimitPlan| matches!(limit.fate, Fate::Conflict(_));
        self.limits.iter().filter(conflict).map(|limit| limit.name.as_str())
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        !self.limits.iter().any(|limit| limit.fate.is_written())
            && !self.holders.iter().any(|holder| holder.carried)
    }
}
