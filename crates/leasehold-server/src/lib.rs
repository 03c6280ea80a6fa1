//! The Leasehold server.
//!
//! Handlers parse and validate, send a command to the ledger, which `leasehold-node` runs, and render
//! its outcome. `ids` alone makes ids. `doors` has one folder for each API; what the doors share is
//! below them.

mod access;
mod acquire;
pub mod app;
pub mod config;
mod doors;
pub mod event_log;
mod http;
mod ids;
mod liveness;
pub mod records;

pub use access::gate::{AllowedHost, Gated, NoName, Origin};
pub use access::peer;
pub use app::App;
pub use config::Config;
pub use http::serve;
pub use liveness::evidence;
