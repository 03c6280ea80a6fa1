//! The types of the native API, for the server and for its clients. Requests serialize; answers
//! serialize and deserialize; every type has a JSON Schema.
//!
//! Knows JSON and nothing of the engine, of HTTP or of validation: the server reads requests with
//! `leasehold-prefect`, which explains everything that is wrong with one.

pub mod error;
pub mod events;
pub mod leases;
pub mod migration;
pub mod origin;
mod timestamp;
pub mod unleased;

pub use timestamp::Timestamp;
