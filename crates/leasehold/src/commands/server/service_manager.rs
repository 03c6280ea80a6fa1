//! The service manager that started the server, such as systemd: the socket that it passes, and
//! what the server tells it. Without its variables (`LISTEN_FDS`, `NOTIFY_SOCKET`, `WATCHDOG_USEC`)
//! nothing here does anything.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use leasehold_server::Server;
use listenfd::ListenFd;
use sd_notify::NotifyState;

/// The shortest time between two signs of life.
const PULSE_MIN: Duration = Duration::from_millis(100);

/// The socket that the service manager listens on and passes on, so that it outlives this process:
/// while the server restarts, clients wait in its backlog. `None` if it passes none.
///
/// # Errors
/// If it passes several, or something other than a TCP socket that listens.
pub(super) fn socket() -> io::Result<Option<TcpListener>> {
    let mut passed = ListenFd::from_env();
    match passed.len() {
        0 => Ok(None),
        1 => {
            let listener = passed.take_tcp_listener(0)?;
            listener.as_ref().map_or(Ok(()), |socket| socket.set_nonblocking(true))?;
            Ok(listener)
        }
        several => Err(io::Error::other(format!("{several} sockets were passed"))),
    }
}

/// Says that the server answers on its socket.
pub(super) fn ready() {
    notify(NotifyState::Ready);
}

/// Says that the server stops.
pub(super) fn stopping() {
    notify(NotifyState::Stopping);
}

/// Shows twice in each period of the watchdog that this process lives: that its runtime runs, and
/// that the ledger's thread of the server answers, if there is one.
pub(super) async fn pulse(server: Option<&Server>) -> Infallible {
    let Some(period) = sd_notify::watchdog_enabled() else { return pending().await };
    let mut pulse = tokio::time::interval((period / 2).max(PULSE_MIN));
    loop {
        pulse.tick().await;
        if let Some(server) = server {
            server.heartbeat().await;
        }
        notify(NotifyState::Watchdog);
    }
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be notified");
    }
}
