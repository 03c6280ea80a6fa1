//! What Prefect clients record of their runs: flows, flow runs, task runs and their states; and the
//! log of events.
//!
//! This is a record, not an orchestrator: it starts no run. A [`Run`] enters a [`State`] when its
//! client proposes the state and the rules of [`transition`] accept it. The state is durable when
//! the
//! [`Transaction`] that wrote it is [committed](Transaction::commit). Points in time arrive as
//! arguments, in microseconds since the Unix epoch.
//!
//! This crate knows nothing of limits and leases, and the ledger works without it.

mod error;
mod event;
mod flow;
mod moment;
mod run;
mod state;
mod store;
pub mod transition;

pub use error::RecordsError;
pub use event::{EventFilter, EventPage, EventRow, LoggedUntil};
pub use flow::Flow;
pub use leasehold_sqlite::OpenError;
pub use moment::{Chart, Moment};
pub use run::{Identity, Run, RunKind};
pub use state::{State, StateType, micros_from_text};
pub use store::{Bounds, Filter, FlowSort, Order, Records, Sort, Transaction};
