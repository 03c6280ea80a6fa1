//! The recorded contract of the Prefect API without HTTP: request bodies and their rules, answers,
//! errors. Knows JSON and nothing of the engine, of HTTP or of time.
//!
//! The recorded server reads JSON as Python does and coerces values as pydantic does: `"3"`, `2.0`
//! and `true` are integers. Its clients see that, in errors that echo their input. No crate keeps
//! the input, the coercions and the bounds that an operator chose, so this one does it: a request
//! body is declared once, with the rule of each field. The declaration reads a body, explains
//! everything that is wrong with it, and writes its JSON Schema ([`Schemas`]).
//!
//! The native API reads its requests in the same way ([`leasehold_api`] has their types).
//!
//! Deliberate deviations from the recorded server are named where they are made.

mod body;
mod declaration;
pub mod error;
pub mod limits;
mod native;
pub mod path;
mod read;
mod rule;
pub mod runs;
mod schema;
mod settings;
pub mod system;
pub mod tags;
pub mod validation;
mod write;

pub use body::{Body, is_json, object};
pub use declaration::Patch;
pub use leasehold_python_json::Json;
pub use schema::Schemas;
pub use settings::Settings;
pub use validation::{ErrorDetail, Invalid, Loc, Refused};
