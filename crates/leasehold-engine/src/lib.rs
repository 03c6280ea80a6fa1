//! The rules of limits and leases.
//!
//! A **limit** has slots; a **lease** holds slots on one or more limits for a **holder**,
//! until its **deadline**. Occupancy is the sum of the live leases (and of the slots that
//! clients without leases took): there is no second counter that could drift from it.
//!
//! ```text
//!   Command, now ──▶ Ledger::step ──▶ Step { outcome, expired }
//!                        │
//!                        └─ Ledger::take_changes ──▶ Changes, to be made durable
//!                                                       before any outcome is sent
//! ```
//!
//! The crate is deterministic: ids and time arrive as arguments, so the same commands give
//! the same ledger on every machine. It knows nothing of files, sockets, clocks, random
//! numbers, SQL or JSON.
//!
//! Modules go from the bottom up: the vocabulary (`time`, `decay`, `limit`, `lease`, `holder`,
//! `ticket`, `command`, `outcome`, `event`, `changes`), then the `queue` as plain data, the `ledger`
//! with its indices, and the `rules`. A module imports lower ones only.

mod changes;
mod command;
mod decay;
mod event;
mod holder;
mod lease;
mod ledger;
mod limit;
mod origin;
mod outcome;
mod queue;
mod rules;
mod snapshot;
mod ticket;
mod time;
mod unleased;

pub use changes::{Changes, Resume, Snapshot, Totals};
pub use command::{
    Acquire, Command, CreateLimit, GiveBack, Hold, LeaseFilter, LimitPatch, LimitRef, Missing,
    Mode, Page, Patience, Query, Scope, Want,
};
pub use decay::{Level, Rate};
pub use event::{Event, EventKind, Loss};
pub use holder::Holder;
pub use lease::{
    EndReason, Ending, Fence, Holding, Holdings, Lease, LeaseId, Notes, RequestDigest,
};
pub use ledger::Ledger;
pub use limit::{Limit, LimitId, TAG_PREFIX};
pub use origin::{Certainty, Identified, Named, Origin};
pub use outcome::{
    Acquired, Answered, Blocker, Created, Deleted, Ended, Gone, Grant, Granted, HeldView,
    LeaseView, LimitView, MinimalLimit, Outcome, Refusal, Renewed, Repeated, StuckOn, Updated,
    Wait, WaiterView,
};
pub use queue::OVERTAKES_MAX;
pub use rules::Step;
pub use snapshot::Inconsistent;
pub use ticket::{Departure, Ticket, WaiterId};
pub use time::{Span, Timestamp};
pub use unleased::{TakenBy, Unheld, Unleased};
