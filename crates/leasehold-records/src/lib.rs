//! What Prefect clients record of their runs: flows, flow runs, task runs and their states.
//!
//! This is a record, not an orchestrator: nothing here starts anything. A [`Run`] enters a
//! [`State`] when its client says so and the rules of [`transition`] let it, and that is
//! durable when the [`Book`] that it was written in is [closed](Book::close). Points in time
//! arrive as arguments, in microseconds since the Unix epoch.
//!
//! Knows nothing of limits, and limits know nothing of it: a ledger without records is whole.

mod error;
mod event;
mod room;
mod rows;
mod run;
mod schema;
mod state;
mod store;
pub mod transition;

pub use error::{OpenError, RecordsError};
pub use event::{EventFilter, EventRow, Found, ToldUntil};
pub use run::{Flow, Identity, Run, RunKind};
pub use state::{State, StateType, micros_from_text};
pub use store::{Book, Bounds, Filter, FlowSort, Order, Records, Sort};
