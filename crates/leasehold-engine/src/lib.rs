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
//! From the bottom up: the vocabulary (`time`, `decay`, `unleased`, `limit`, `holder`, `origin`,
//! `lease`, `ticket`, `acquire`, `query`, `command`, `refusal`, `view`, `outcome`, `event`,
//! `changes`, `snapshot`), then the `queue` as plain data, the `ledger` with its indices, and the
//! `rules`. A module imports lower ones only.

mod acquire;
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
mod query;
mod queue;
mod refusal;
mod rules;
mod snapshot;
mod ticket;
mod time;
mod unleased;
mod view;

pub use acquire::{Acquire, GiveBack, Hold, Missing, Mode, Patience, Want};
pub use changes::{Changes, Resume, Snapshot, Totals};
pub use command::{Adopt, Command, CreateLimit, Import, ImportLease, ImportLimit, LimitPatch};
pub use decay::{Level, Rate};
pub use event::{Event, EventKind, Loss};
pub use holder::Holder;
pub use lease::{
    EndReason, Ending, Fence, Holding, Holdings, Lease, LeaseId, Notes, RequestDigest,
};
pub use ledger::Ledger;
pub use limit::{Limit, LimitId, MinimalLimit, TAG_PREFIX};
pub use origin::{Certainty, Identified, Named, Origin};
pub use outcome::{
    Acquired, Answered, Created, Deleted, Ended, Gone, Grant, Granted, Imported, Outcome, Renewed,
    Repeated, Updated,
};
pub use query::{LeaseFilter, LimitRef, Page, Query, Scope};
pub use queue::OVERTAKES_MAX;
pub use refusal::{Blocker, Refusal, StuckOn, Wait};
pub use rules::Step;
pub use snapshot::Inconsistent;
pub use ticket::{Departure, Ticket, WaiterId};
pub use time::{Span, Timestamp};
pub use unleased::{TakenBy, Unheld, Unleased};
pub use view::{HeldView, LeaseView, LimitView, WaiterView};
