//! Who grants which limit, while limits move between an upstream Prefect server and Leasehold.
//!
//! The crate decides, and does nothing: time, answers and counts arrive as arguments, decisions
//! leave as data. It knows neither HTTP nor the ledger, so that a simulation can drive it through
//! crashes and lost answers.
//!
//! ```text
//!   a request for slots ──▶ Custody::route ──▶ here, there, both, or hold it for a moment
//!   an operator's wish  ──▶ Custody::advance, Custody::roll_back
//!   time, counts, results ▶ Custody::{step, counted, done} ──▶ Act: what the shell does next
//! ```
//!
//! **One side grants.** At each moment either the upstream grants the slots of a limit or Leasehold
//! does. In between, requests are held. Before Leasehold grants, the upstream has answered every
//! request that was passed on to it, and what it counts then is held here as *foreign* slots.
//! Before the upstream grants again, it counts a *cover* for each lease that is still held here.
//!
//! **A count errs upwards.** What the upstream counts of our own covers is subtracted from its
//! count only if it was certainly counted for the whole time of the reading.
//!
//! [`Watched`] knows the leases that were seen passing. They explain a count, and decide nothing.

mod counting;
mod custody;
mod lost;
mod phase;
mod route;
mod suspects;
mod together;
mod watched;

pub use counting::{Count, Counting};
pub use custody::{Act, Adopted, Custody, Done, Known, Standing};
pub use lost::Lost;
pub use phase::{Failure, Phase, Refused};
pub use route::{Held, Passage, Route};
pub use suspects::Suspects;
pub use together::Together;
pub use watched::{Seen, Watched};
