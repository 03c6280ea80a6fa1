//! HTTP below every door: connections, bodies, errors that all doors share, and the access log.

pub(crate) mod access_log;
pub(crate) mod address;
pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod error;
pub(crate) mod grant;
pub(crate) mod quota;
pub(crate) mod serve;
pub(crate) mod sockets;
pub(crate) mod unread_body;

pub(crate) use error::{Error, UPGRADE_REQUIRED};
