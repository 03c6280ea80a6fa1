//! The Leasehold server.
//!
//! [`Server`] is the composition. A handler parses and validates a request, sends a command to the
//! ledger, which `leasehold-node` runs, and renders the outcome. Only `ids` makes ids. `doors` has
//! one folder for each API; the modules that the doors share are below them.

mod access;
mod acquire;
mod app;
pub mod config;
mod doors;
mod event_log;
mod figures;
mod http;
mod ids;
mod liveness;
mod log_throttle;
mod migration;
mod records;
mod router;
mod server;
mod standby;
mod survey;
mod upstream;

pub use access::pages::{AllowedHost, NoName, Origin};
pub use access::peer;
pub use config::Config;
pub use router::HttpService;
pub use server::{Options, Server, StartError};
pub use standby::stand_by;
pub use upstream::{NoTls, UpstreamRefused};
