//! The Leasehold server.
//!
//! Handlers parse and validate, send a command to the [`coordinator`], and render its
//! outcome. The coordinator alone owns the ledger; `clock` alone reads the time, and `ids` alone
//! makes ids. `doors` has one folder for each API; what the doors share is below them.

mod access;
mod acquire;
pub mod app;
pub mod clock;
pub mod config;
pub mod coordinator;
mod doors;
pub mod event_log;
mod http;
mod ids;
mod liveness;
mod notices;
pub mod records;
mod stuck;

pub use access::gate::{AllowedHost, Gated, NoName, Origin};
pub use access::peer;
pub use app::App;
pub use clock::Clock;
pub use config::Config;
pub use http::serve;
pub use liveness::evidence;
