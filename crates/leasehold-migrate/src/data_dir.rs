//! The data directory of a stopped Leasehold server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use leasehold_engine::{
    Command, CreateLimit, Import, ImportLease, ImportLimit, Ledger, LimitId, Outcome, Timestamp,
};
use leasehold_journal::{CommitError, Journal, LoadError, OpenError, SqliteJournal};
use uuid::Uuid;

use crate::error::causes;
use crate::held;
use crate::plan::{HolderPlan, LimitPlan, Plan, Target, TargetLimit};
use crate::prefect::Inventory;

/// The data directory of a stopped server, locked for as long as this lives.
#[derive(Debug)]
pub struct DataDir {
    journal: SqliteJournal,
    ledger: Ledger,
}

/// What was carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Applied {
    /// How many limits.
    pub limits: usize,
    /// How many holders.
    pub holders: usize,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataDirError {
    /// A server runs on it.
    #[error("a server runs on the data directory {}: stop it first", path.display())]
    Running {
        /// The directory.
        path: PathBuf,
    },
    /// It cannot be opened, read or written.
    #[error("the data directory {} cannot be used: {reason}", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl DataDir {
    /// Whether a directory has a journal.
    pub fn exists(directory: &Path) -> bool {
        directory.join(SqliteJournal::FILE).exists()
    }

    /// Opens the journal in a directory, and creates both if they are missing.
    ///
    /// # Errors
    ///
    /// See [`DataDirError`].
    pub fn open(directory: &Path, now: Timestamp) -> Result<Self, DataDirError> {
        let unusable = |error: &(dyn std::error::Error + 'static)| DataDirError::Unusable {
            path: directory.to_owned(),
            reason: causes(error),
        };
        let mut journal = SqliteJournal::open(directory).map_err(|error| match error {
            OpenError::Locked { path } => DataDirError::Running { path },
            error => unusable(&error),
        })?;
        let snapshot = journal.load().map_err(|error: LoadError| unusable(&error))?;
        let mut ledger = Ledger::restore(snapshot, now);
        ledger.raise_fences(now);
        Ok(Self { journal, ledger })
    }

    /// What lives here.
    pub fn inventory(&self) -> Inventory {
        held::inventory(&self.ledger)
    }

    /// What is here, for the plan.
    pub fn target(&self) -> Target {
        let held = |id| {
            let leases = self.ledger.leases();
            leases.filter(|lease| lease.holdings.iter().any(|held| held.limit == id)).count()
        };
        let limit = |limit: &leasehold_engine::Limit| TargetLimit {
            id: Uuid::from_u128(limit.id.0),
            name: limit.name.to_string(),
            slots: limit.slots,
            active: limit.active,
            decay_units: limit.decay.as_units(),
            leases: held(limit.id),
        };
        Target {
            limits: self.ledger.limits().map(limit).collect(),
            leases: self.ledger.leases().map(|lease| Uuid::from_u128(lease.id.0)).collect(),
        }
    }

    /// Carries out a plan in one commit: all of it, or nothing.
    ///
    /// # Errors
    ///
    /// If it cannot be made durable.
    pub fn apply(&mut self, plan: &Plan, now: Timestamp) -> Result<Applied, CommitError> {
        let step = self.ledger.step(Command::Import(Box::new(import(plan))), now);
        self.journal.commit(&self.ledger.take_changes())?;
        Ok(match step.outcome {
            Outcome::Imported(imported) => {
                Applied { limits: imported.limits, holders: imported.leases.len() }
            }
            _ => Applied::default(),
        })
    }
}

/// What a plan asks of a ledger.
fn import(plan: &Plan) -> Import {
    let limit = |plan: &LimitPlan| {
        let source = &plan.source;
        let is_rate = !source.decay.is_none();
        ImportLimit {
            limit: CreateLimit {
                active: source.active,
                decay: source.decay,
                unleased: if is_rate { 0 } else { plan.level.slots_taken() },
                denied_slots: source.denied,
                ..CreateLimit::new(LimitId(source.id.as_u128()), source.name.as_str(), source.slots)
            },
            created: source.created,
            occupancy_seconds_average: source.occupancy_seconds_average,
            level: plan.level,
        }
    };
    let lease = |plan: &HolderPlan| ImportLease {
        id: leasehold_engine::LeaseId(plan.lease.as_u128()),
        holder: plan.holder.as_ref().map(|holder| {
            let id: Arc<str> = holder.id.to_string().into();
            leasehold_engine::Holder::new(holder.kind.as_str(), id)
        }),
        limits: plan.on.iter().map(|id| LimitId(id.as_u128())).collect(),
        slots: plan.slots,
        created: plan.since,
        deadline: plan.deadline,
    };
    Import {
        limits: plan.limits.iter().filter(|limit| limit.fate.is_written()).map(limit).collect(),
        leases: plan.holders.iter().filter(|holder| holder.carried).map(lease).collect(),
    }
}
