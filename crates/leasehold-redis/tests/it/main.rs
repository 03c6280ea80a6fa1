//! Against a real Redis and the real peers from PyPI in other processes.

mod bytes;
mod exclusion;
mod guards;
mod ids;
mod semaphores;
mod support;
mod workers;
