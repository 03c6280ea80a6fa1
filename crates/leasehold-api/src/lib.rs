//! Wire types of the HTTP API and their validation. Knows JSON and nothing of the engine, of HTTP
//! or of time.
//!
//! A request body is declared once, with the rule of each field ([`limits`], [`tags`],
//! [`leases`]). The same declaration reads a body, explains what is wrong with it and writes its
//! JSON Schema ([`schema`]).
//!
//! The rules are those of the limits contract: the API was recorded from a server that reads JSON
//! as Python does and coerces values as pydantic does (`"3"`, `2.0` and `true` are integers), and
//! its clients see the answers. Everything that differs on purpose is named where it is done.

mod body;
pub mod error;
pub mod events;
pub mod leases;
pub mod limits;
pub mod origin;
pub mod path;
mod rule;
pub mod runs;
pub mod schema;
pub mod system;
pub mod tags;
pub mod timestamp;
pub mod unleased;
pub mod validation;

pub use body::{Body, Patch, Settings, is_json};
pub use leasehold_python_json::Json;
pub use rule::opaque::object;
pub use schema::schemas;
pub use timestamp::Timestamp;
pub use validation::{Invalid, missing_query};
