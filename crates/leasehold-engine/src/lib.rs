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
//!                                                       before any outcome is told
//! ```
//!
//! The crate is deterministic: ids and time arrive as arguments, so the same commands give
//! the same ledger on every machine. It knows nothing of files, sockets, clocks, random
//! numbers, SQL or JSON.

mod admission;
mod changes;
mod command;
mod decay;
mod event;
mod expiry;
mod holder;
mod keys;
mod lease;
mod ledger;
mod limit;
mod limits;
mod origin;
mod outcome;
mod queue;
mod reads;
mod snapshot;
mod tags;
mod time;
mod unleased;

pub use changes::{Changes, Resume, Snapshot, Totals};
pub use command::{
    Acquire, Command, CreateLimit, GiveBack, Hold, LeaseFilter, LimitPatch, LimitRef, Missing,
    Mode, Page, Patience, Query, Scope, Want,
};
pub use decay::{Level, Rate};
pub use event::{Departure, Event, EventKind, Loss};
pub use holder::Holder;
pub use lease::{Ending, Fence, Holding, Holdings, How, Lease, LeaseId, Notes, RequestDigest};
pub use ledger::{Ledger, Step};
pub use limit::{Limit, LimitId, TAG_PREFIX};
pub use origin::{Certainty, Identified, Named, Origin};
pub use outcome::{
    Acquired, Blocker, Created, Deleted, Ended, Gone, Grant, Granted, HeldView, LeaseView,
    LimitView, MinimalLimit, Outcome, Refusal, Renewed, Repeated, StuckOn, Updated, Wait,
};
pub use queue::{Answered, OVERTAKES_MAX, Ticket, WaiterId, WaiterView};
pub use snapshot::Inconsistent;
pub use time::{Span, Timestamp};
pub use unleased::{TakenBy, Unheld, Unleased};
