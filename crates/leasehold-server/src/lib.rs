//! The Leasehold server.
//!
//! Handlers parse and validate, send a command to the [`coordinator`], and render its
//! outcome. The coordinator alone owns the ledger; `convert` alone knows both wire types and
//! engine types; `error` alone turns failures into HTTP; `clock` alone reads the time.

mod access_log;
mod acquire;
mod agent;
pub mod app;
pub mod clock;
pub mod config;
mod convert;
pub mod coordinator;
mod crowd;
mod csrf;
mod error;
pub mod event_log;
pub mod evidence;
mod extract;
mod gate;
mod grant;
mod identity;
mod introductions;
mod joins;
mod lease_id;
mod notices;
mod observe;
mod origin;
pub mod peer;
mod places;
mod rarely;
pub mod records;
mod released;
mod retry;
mod routes;
pub mod serve;
mod sockets;
mod stuck;
mod twins;

pub use app::App;
pub use clock::Clock;
pub use config::Config;
pub use gate::{AllowedHost, Gated, NoName, Origin};
