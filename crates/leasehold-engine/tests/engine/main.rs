//! The rules of the engine as claims (one module for each command), and the invariants of
//! its design as properties.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod acquire;
mod decay;
mod edits;
mod events;
mod evidence;
mod fixture;
mod foreign;
mod import;
mod keys;
mod leases;
mod limits;
mod origin;
mod position;
mod properties;
mod queue;
mod reads;
mod restart;
mod stuck;
mod tags;
mod unleased;
