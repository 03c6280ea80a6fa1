//! The WebSockets that are open. They outlive the requests that they began as, so that whoever
//! stops the server tells them, and waits for them, apart from those.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::http::quota::{Crowd, Member};

/// Reaches all sockets of a server.
#[derive(Debug)]
pub(crate) struct Sockets {
    /// Those that are open: not too many, and not too many of one address.
    open: Arc<Crowd>,
    /// Each socket that is open listens.
    stopping: watch::Sender<bool>,
}

/// What a socket keeps for as long as it is open.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Sockets {
    /// So many at the most.
    pub(crate) fn new(sockets_max: usize) -> Self {
        let open = Crowd::new(sockets_max, sockets_max.div_ceil(2));
        Self { open, stopping: watch::Sender::default() }
    }

    /// Lets one open, for as long as what is answered is kept. `None` when there are too many.
    pub(crate) fn open(&self, address: Option<IpAddr>) -> Option<Member> {
        self.open.enter(address)
    }

    /// For a socket that opens.
    pub(crate) fn stopping(&self) -> Stopping {
        Stopping(self.stopping.subscribe())
    }

    /// Tells all sockets that the server stops, and waits until they are closed.
    pub(crate) async fn close(&self) {
        self.stopping.send_replace(true);
        self.stopping.closed().await;
    }
}

impl Stopping {
    /// Resolves when the server stops.
    pub(crate) async fn heard(&mut self) {
        // Should there be nobody left to tell, it has stopped.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }
}
