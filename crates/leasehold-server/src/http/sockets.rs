//! The open WebSockets. They outlive the requests that opened them. So a stopping server notifies
//! them, and waits for them, separately.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::http::quota::{Crowd, Member};

/// All open sockets of a server.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// Bounds the open sockets, in all and for each address.
    open: Arc<Crowd>,
    /// Each open socket subscribes to this.
    stopping: watch::Sender<bool>,
}

/// The subscription of an open socket to the server's stop.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Sockets {
    /// Admits at most so many sockets.
    pub(crate) fn new(sockets_max: usize) -> Self {
        let open = Crowd::new(sockets_max, sockets_max.div_ceil(2));
        Self { open, stopping: watch::Sender::default() }
    }

    /// Admits a socket until the returned member is dropped. `None` when there are too many.
    pub(crate) fn open(&self, address: Option<IpAddr>) -> Option<Member> {
        self.open.enter(address)
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.open.count()
    }

    /// The subscription of a new socket.
    pub(crate) fn stopping(&self) -> Stopping {
        Stopping(self.stopping.subscribe())
    }

    /// Notifies all sockets that the server stops, and waits until they are closed.
    pub(crate) async fn close(&self) {
        self.stopping.send_replace(true);
        self.stopping.closed().await;
    }
}

impl Stopping {
    /// Resolves when the server stops.
    pub(crate) async fn heard(&mut self) {
        // Without the sender, the server has stopped.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }
}
