//! The way back: what becomes of each limit and each lease of Leasehold at a Prefect server. The
//! plan is pure.

mod api;
mod database;
mod lease_files;
#[cfg(test)]
mod tests;

use leasehold_engine::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::moment;
use crate::plan::{Fate, OnConflict, Target, TargetLimit, fate_of};
use crate::prefect::{Holder, Inventory, Lease, Limit};
use crate::revision::Shape;

pub use api::{ExportError, Exported, export_to_api};
pub use database::export_to_database;

/// What the Prefect server can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// A running server: it grants leases of its own.
    Api,
    /// A database, and a directory with its leases if that is given.
    Database {
        /// Where limits are in it.
        shape: Shape,
        /// Whether leases can be written.
        has_lease_files: bool,
    },
}

/// What the operator chose.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExportChoices {
    /// What becomes of a limit that is there already and differs.
    pub on_conflict: OnConflict,
    /// Only add to limits that are there: none is created.
    pub only_add: bool,
    /// Count slots that no lease holds, and those of leases that cannot be written there: nothing
    /// there returns these.
    pub keep_counts: bool,
}

/// What becomes of everything.
#[derive(Clone, Debug, Serialize)]
pub struct ExportPlan {
    /// Where it goes.
    pub to: String,
    /// The version or revision there.
    pub version: String,
    /// The time that it was made for.
    #[serde(serialize_with = "moment::serialize")]
    pub at: Timestamp,
    /// Each limit, ordered by name.
    pub limits: Vec<ExportLimit>,
    /// Each lease, the oldest first.
    pub holders: Vec<ExportHolder>,
    /// What the operator should know besides.
    pub notes: Vec<String>,
}

/// What becomes of a limit.
#[derive(Clone, Debug, Serialize)]
pub struct ExportLimit {
    /// Its id there.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// How many slots it has.
    pub slots: u64,
    /// What becomes of it.
    #[serde(flatten)]
    pub fate: Fate,
    /// How many slots without a lease are carried.
    pub unleased: u64,
    /// How many slots are counted as taken there afterwards. `None` if that does not change.
    pub taken: Option<u64>,
    /// The limit as it is here.
    #[serde(skip)]
    pub(crate) source: Limit,
    /// How many slots are counted there before.
    #[serde(skip)]
    pub(crate) taken_before: u64,
}

/// What becomes of a lease.
#[derive(Clone, Debug, Serialize)]
pub struct ExportHolder {
    /// Its id.
    pub lease: Uuid,
    /// The names of its limits.
    pub limits: Vec<String>,
    /// How many slots of each.
    pub slots: u64,
    /// Its holder, if it was named.
    pub holder: Option<Holder>,
    /// When it ends unless it is renewed.
    #[serde(serialize_with = "moment::serialize_option")]
    pub deadline: Option<Timestamp>,
    /// What becomes of it.
    #[serde(flatten)]
    pub way: Way,
    /// The lease with the ids that its limits have there.
    #[serde(skip)]
    pub(crate) source: Lease,
}

/// What becomes of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "way", content = "why", rename_all = "snake_case")]
pub enum Way {
    /// A lease with the same id is written.
    Lease,
    /// The server is asked for a lease of its own, with the time that is left.
    Granted,
    /// Its task run is written among the holders of the tag.
    TaskRun,
    /// Its slots are counted, and nothing returns them.
    Count,
    /// It stays behind.
    Left(String),
}

/// Makes the plan. `here` is what Leasehold has, `there` what the Prefect server has.
pub fn plan_export(
    here: &Inventory,
    there: &Inventory,
    receiver: Receiver,
    choices: ExportChoices,
    now: Timestamp,
) -> ExportPlan {
    let target = target(there);
    let mut limits: Vec<_> = here
        .limits
        .iter()
        .map(|limit| plan_limit(limit, here, there, &target, receiver, choices))
        .collect();
    let holders: Vec<_> = here
        .leases
        .iter()
        .map(|lease| plan_holder(lease, &limits, there, receiver, choices))
        .collect();
    for limit in &mut limits {
        limit.taken = count(limit, &holders, receiver, choices);
    }
    let (to, version) = (there.place.clone(), there.version.clone());
    ExportPlan { to, version, at: now, limits, holders, notes: there.notes.clone() }
}

impl ExportPlan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        let changes = |limit: &ExportLimit| limit.fate.is_written() || limit.unleased > 0;
        let goes = |holder: &ExportHolder| !matches!(holder.way, Way::Left(_));
        !self.limits.iter().any(changes) && !self.holders.iter().any(goes)
    }

    /// The names of the limits about which the operator has to choose.
    pub fn conflicts(&self) -> impl Iterator<Item = &str> {
        let conflict = |limit: &&ExportLimit| matches!(limit.fate, Fate::Conflict(_));
        self.limits.iter().filter(conflict).map(|limit| limit.name.as_str())
    }
}

/// What is there, as the plan of an import has it.
fn target(there: &Inventory) -> Target {
    let limit = |limit: &Limit| TargetLimit {
        id: limit.id,
        name: limit.name.clone(),
        slots: limit.slots,
        active: limit.active,
        decay_units: limit.decay.as_units(),
        leases: 0,
    };
    Target { limits: there.limits.iter().map(limit).collect(), leases: Vec::new() }
}

fn plan_limit(
    limit: &Limit,
    here: &Inventory,
    there: &Inventory,
    target: &Target,
    receiver: Receiver,
    choices: ExportChoices,
) -> ExportLimit {
    let known = there.limits.iter().find(|known| known.name == limit.name);
    let id = known.map_or(limit.id, |known| known.id);
    let tags_only = matches!(receiver, Receiver::Database { shape: Shape::TagsOnly, .. });
    let fate = if tags_only && limit.tag().is_none() {
        Fate::LeaveOut("this version of Prefect has limits of tags alone".to_owned())
    } else if limit.deployment().is_some() && known.is_none() {
        Fate::LeaveOut("there is no such deployment".to_owned())
    } else if choices.only_add && known.is_none() {
        Fate::LeaveOut("it is not there".to_owned())
    } else {
        fate_of(&Limit { id, ..limit.clone() }, target, choices.on_conflict)
    };
    let leases = here.leases.iter().filter(|lease| lease.limits.contains(&limit.id));
    let leased: u64 = leases.map(|lease| lease.slots).sum();
    let is_carried = choices.keep_counts
        && limit.decay.is_none()
        && !matches!(fate, Fate::LeaveOut(_) | Fate::Conflict(_));
    ExportLimit {
        unleased: if is_carried { limit.taken.saturating_sub(leased) } else { 0 },
        id,
        name: limit.name.clone(),
        slots: limit.slots,
        fate,
        taken: None,
        source: limit.clone(),
        taken_before: known.map_or(0, |known| known.taken),
    }
}

fn plan_holder(
    lease: &Lease,
    limits: &[ExportLimit],
    there: &Inventory,
    receiver: Receiver,
    choices: ExportChoices,
) -> ExportHolder {
    let held = |id: &Uuid| {
        limits.iter().find(|limit| limit.source.id == *id && limit.source.decay.is_none())
    };
    let held: Vec<_> = lease.limits.iter().filter_map(held).filter(|it| it.is_there()).collect();
    let is_tag = held.iter().all(|limit| limit.source.tag().is_some());
    let is_task_run = lease.holder.as_ref().is_some_and(|holder| holder.kind == Holder::TASK_RUN);
    let way = match receiver {
        _ if held.is_empty() => Way::Left("none of its limits is there".to_owned()),
        _ if there.leases.iter().any(|known| known.id == lease.id) => {
            Way::Left("it is there already".to_owned())
        }
        Receiver::Api => Way::Granted,
        Receiver::Database { shape: Shape::TwoTables | Shape::TagsOnly, .. }
            if is_tag && is_task_run && lease.slots == 1 =>
        {
            Way::TaskRun
        }
        Receiver::Database { has_lease_files: true, .. } => Way::Lease,
        Receiver::Database { .. } if choices.keep_counts => Way::Count,
        Receiver::Database { .. } => Way::Left(
            "Prefect would never free its slots: give --leases, or count them with --keep-counts"
                .to_owned(),
        ),
    };
    ExportHolder {
        lease: lease.id,
        limits: held.iter().map(|limit| limit.name.clone()).collect(),
        slots: lease.slots,
        holder: lease.holder.clone(),
        deadline: lease.deadline,
        way,
        source: Lease { limits: held.iter().map(|limit| limit.id).collect(), ..lease.clone() },
    }
}

impl ExportLimit {
    /// Whether the limit is there afterwards.
    fn is_there(&self) -> bool {
        !matches!(self.fate, Fate::LeaveOut(_) | Fate::Conflict(_))
    }
}

/// How many slots are counted as taken afterwards. Leases add to what is counted there: what a
/// server still counts for leases of its own, it returns itself.
fn count(
    limit: &ExportLimit,
    holders: &[ExportHolder],
    receiver: Receiver,
    choices: ExportChoices,
) -> Option<u64> {
    if !limit.is_there() || receiver == Receiver::Api {
        return None;
    }
    if !limit.source.decay.is_none() {
        return Some(limit.source.taken);
    }
    let slots = |way: &Way| -> u64 {
        let on = holders.iter().filter(|it| it.way == *way && it.source.limits.contains(&limit.id));
        on.map(|holder| holder.slots).sum()
    };
    let (leases, counts) = (slots(&Way::Lease), slots(&Way::Count));
    match receiver {
        // Without its leases, what a stopped server counts is nobody's.
        Receiver::Database { has_lease_files: false, .. } if choices.keep_counts => {
            Some(counts + limit.unleased)
        }
        _ if leases + limit.unleased > 0 => Some(limit.taken_before + leases + limit.unleased),
        _ => None,
    }
}
