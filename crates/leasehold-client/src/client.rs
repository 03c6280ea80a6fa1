//! The client: one server, its connections, and what all requests share.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::keeper::Keeper;
use crate::settings::Settings;
use crate::transport::Transport;

/// A client of one server. Clones share its connections and its renewals.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    settings: Settings,
    transport: Arc<Transport>,
    retry_for: Duration,
    keeper: Mutex<Option<Keeper>>,
    /// How many releases are under way in the background.
    under_way: watch::Sender<usize>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", self.settings()).finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) fn new(settings: Settings, transport: Transport, retry_for: Duration) -> Self {
        let inner = Inner {
            settings,
            transport: Arc::new(transport),
            retry_for,
            keeper: Mutex::default(),
            under_way: watch::channel(0).0,
        };
        Self { inner: Arc::new(inner) }
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

    /// Waits until the releases of dropped guards, and those of acquires that were dropped while
    /// they waited, are done, and for `within` at most. A program calls it before it ends.
    pub async fn settle(&self, within: Duration) {
        let mut under_way = self.inner.under_way.subscribe();
        let settled = under_way.wait_for(|under_way| *under_way == 0);
        // What is not done by then expires.
        let _ = tokio::time::timeout(within, settled).await;
    }

    pub(crate) fn in_background(
        &self,
        runtime: &Handle,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let work = (UnderWay::new(self), work);
        runtime.spawn(async move {
            let (under_way, work) = work;
            work.await;
            drop(under_way);
        });
    }

    /// The task that renews this client's leases. After the end of its runtime another one starts.
    pub(crate) fn keeper(&self) -> Keeper {
        let mut keeper = self.inner.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        match &*keeper {
            Some(keeper) if !keeper.has_ended() => keeper.clone(),
            _ => keeper.insert(Keeper::start(Arc::clone(&self.inner.transport))).clone(),
        }
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.inner.transport
    }

    pub(crate) fn retry_for(&self) -> Duration {
        self.inner.retry_for
    }
}

/// A release in the background, until it is dropped.
struct UnderWay(Client);

impl UnderWay {
    fn new(client: &Client) -> Self {
        client.inner.under_way.send_modify(|under_way| *under_way += 1);
        Self(client.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.inner.under_way.send_modify(|under_way| *under_way -= 1);
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
