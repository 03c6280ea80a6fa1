//! Tests of the server through HTTP, in process: the recorded answers of the server that this one
//! replaces, the deliberate changes, and the defects that it must not share.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod attacks;
mod bounds;
mod defects;
mod differences;
mod door;
mod edits;
mod events;
mod fixture;
mod gate;
mod gateway;
mod leases;
mod limit_names;
mod metrics;
mod origins;
mod pages;
mod replay;
mod routing;
mod runs;
mod stuck;
mod trouble;
mod unleased;
mod waiting;
mod web;
