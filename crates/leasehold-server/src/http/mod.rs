//! HTTP below every door: connections, bodies, errors that all doors share, and the access log.

pub(crate) mod access_log;
pub(crate) mod error;
pub(crate) mod extract;
pub(crate) mod grant;
pub(crate) mod log_throttle;
pub(crate) mod quota;
pub mod serve;
pub(crate) mod sockets;
