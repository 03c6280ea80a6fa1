//! The real program, end to end: started on a port of its own and a directory of its own,
//! spoken to over TCP, and stopped. One binary, so that it is linked once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod connections;
mod crash;
mod disk;
mod failures;
mod http;
mod options;
mod output;
mod program;
mod stop;
