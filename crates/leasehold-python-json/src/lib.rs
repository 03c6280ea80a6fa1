//! JSON and floats as Python's standard library reads and writes them. The Prefect door needs them
//! because its clients see how their input was read; the Redis locks need them because lock ids are
//! hashes of what `json.dumps` wrote, and lock values are what `repr` printed.
//!
//! Knows nothing of pydantic, HTTP or Redis.

mod float;
mod json;
mod read;
mod write;

pub use float::{float, repr};
pub use json::{Json, Text};
pub use read::JsonError;
