//! Carries limits and their holders from a Prefect server to Leasehold, and back, while nothing
//! runs.
//!
//! ```text
//!   Place ──▶ source::read ──▶ Inventory ─┐
//!                                         ├─▶ plan ──▶ Plan ──▶ DataDir::apply, one commit
//!   DataDir ─────────────────▶ Target ────┘
//! ```
//!
//! A [`Place`] is a running server's API or a stopped server's database. It is read and never
//! written, except by an export. The plan is pure: what becomes of each limit and each holder
//! follows from what was read, what is here, the operator's choices and the time. The crate prints
//! nothing and asks nobody.

mod api;
mod data_dir;
mod database;
mod error;
mod export;
mod held;
mod holder_lease;
pub mod moment;
mod place;
mod plan;
mod prefect;
mod record;
mod revision;
mod source;

pub use api::Api;
pub use data_dir::{Applied, DataDir, DataDirError};
pub use error::Error;
pub use export::{
    ExportChoices, ExportError, ExportHolder, ExportLimit, ExportPlan, Exported, Receiver, Way,
    export_to_api, export_to_database, plan_export,
};
pub use place::{LeasePlace, Place, PlaceError, is_secret, without_password};
pub use plan::{Choices, Fate, HolderPlan, LimitPlan, OnConflict, Plan, Target, TargetLimit, plan};
pub use prefect::{Deployment, Holder, Inventory, Lease, Limit, Run};
pub use record::{Record, RecordError, State};
pub use revision::Shape;
pub use source::{Reading, read};

pub use leasehold_engine::Timestamp;
