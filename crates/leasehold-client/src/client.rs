//! The client: one server, its connections, and what all requests share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::settings::Settings;
use crate::transport::Transport;

/// A client of one server. Clones share its connections and its renewals.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    settings: Settings,
    transport: Transport,
    retry_for: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", self.settings()).finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn new(settings: Settings, transport: Transport, retry_for: Duration) -> Self {
        Self { inner: Arc::new(Inner { settings, transport, retry_for }) }
    }

    /// Which server this is, as whom the client speaks to it, and where that is said.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The URL of the API, without a password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.inner.settings.url
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    pub(crate) fn retry_for(&self) -> Duration {
        self.inner.retry_for
    }
}

/// A text as one segment of a path: a limit's name may have slashes and spaces.
#[must_use]
pub fn encoded(segment: &str) -> String {
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_one_segment() {
        assert_eq!(encoded("tag:a/b c?é"), "tag%3Aa%2Fb%20c%3F%C3%A9");
    }
}
