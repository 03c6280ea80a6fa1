//! Against a real Redis and the real peers from PyPI in other processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bytes;
mod connections;
mod exclusion;
mod guards;
mod ids;
mod semaphores;
mod support;
mod workers;
