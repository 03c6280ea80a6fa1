//! `leasehold server`: started on a port of its own and a directory of its own, spoken to over
//! TCP, and stopped.

mod access_log;
mod attacks;
mod backup;
mod connections;
mod crash;
mod damage;
mod disk;
mod failures;
pub(crate) mod http;
mod keep_alive;
mod options;
mod output;
pub(crate) mod program;
mod proxy;
mod restore;
mod socket;
mod standstill;
mod start;
mod stop;
mod takeover;
mod units;
