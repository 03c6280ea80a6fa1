//! The WebSockets that are open. They outlive the requests that they began as, so that whoever
//! stops the server tells them, and waits for them, apart from those.

use tokio::sync::watch;

/// Reaches all sockets of a server.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// Each socket that is open listens.
    stopping: watch::Sender<bool>,
}

/// What a socket keeps for as long as it is open.
#[derive(Clone, Debug)]
pub(crate) struct Stopping(watch::Receiver<bool>);

impl Sockets {
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
