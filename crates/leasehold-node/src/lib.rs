//! Runs a ledger on its journal: takes commands in, makes their changes durable, and answers.
//!
//! ```text
//!   Handle ──inputs──▶ thread ──inputs, time──▶ Desk { Ledger }
//!      ▲                 │                        │
//!      └────answers──────┴──────── answers ◀──────┤
//!                        └─ Journal ◀── changes ◀─┘
//! ```
//!
//! The [`Desk`] decides everything, and does nothing by itself: it reads no clock, writes no file
//! and never waits. The thread around it does all of that, and decides nothing. The simulator
//! replaces the thread by simulated time, storage and clients, and runs the same desk.

mod chain;
mod clock;
mod desk;
mod figures;
mod handle;
mod mailbox;
mod notices;
mod stuck;
mod thread;

pub use chain::chain;
pub use clock::Clock;
pub use desk::{Answers, Desk, Input, Stepped, Unavailable, undo};
pub use figures::{Figures, Histogram};
pub use handle::{Events, Handle, Observer, Wait};
pub use mailbox::Undo;
pub use notices::Notices;
pub use stuck::reason as stuck_reason;
pub use thread::{Loaded, Ready, Running, load, start};
