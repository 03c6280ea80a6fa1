//! The recorded contract of the Prefect API without HTTP: request bodies and their rules, answers,
//! errors. It knows JSON, but not the engine, HTTP or time.
//!
//! The recorded server reads JSON as Python does and coerces values as pydantic does: `"3"`, `2.0`
//! and `true` are integers. Its clients see that in errors that echo their input. No other crate
//! keeps the input, the coercions and the bounds that an operator chose. So this crate declares
//! each request body once, with the rule of each field. A declaration reads a body, explains
//! everything that is wrong with it, and writes its JSON Schema ([`Schemas`]).
//!
//! The native API reads its requests in the same way ([`leasehold_api`] has their types).
//!
//! A comment beside the code names each deliberate deviation from the recorded server.

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
