//! One WebSocket: reading texts, sending messages, and closing.

use std::pin::Pin;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use tokio::time::{Sleep, sleep};

use crate::http::sockets::Stopping;

/// The server gives up a client that does not read a message within this time.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the server waits for the client's answer to a close frame.
pub(super) const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a socket stays open at least when the server stops. Prefect's clients up to 3.4 send a
/// ping as soon as a socket is open. If it closes before they have the answer, they never connect
/// again; if it closes later, they do.
const OPEN_MIN: Duration = Duration::from_millis(250);

/// Close codes of RFC 6455 and of its registry.
pub(super) const GOING_AWAY: u16 = 1001;
pub(super) const PROTOCOL_ERROR: u16 = 1002;
pub(super) const POLICY_VIOLATION: u16 = 1008;
/// What a Prefect server sends when it stops: subscribers connect again. On 1001 they would stop,
/// as at the end of all events.
pub(super) const SERVICE_RESTART: u16 = 1012;

/// How many bytes of reason a close frame has room for.
const REASON_BYTES_MAX: usize = 123;

const STOPPING: &str = "the server stops";

/// A WebSocket that sends a close frame when the server stops.
pub(super) struct Socket {
    socket: WebSocket,
    stopping: Stopping,
    /// Over when the socket may close.
    youth: Pin<Box<Sleep>>,
    /// The code of that close frame.
    goodbye: u16,
    has_said_goodbye: bool,
}

/// The client is gone, or it reads nothing.
#[derive(Debug, PartialEq)]
pub(super) struct Gone;

impl Socket {
    pub(super) fn new(socket: WebSocket, stopping: Stopping, goodbye: u16) -> Self {
        Self {
            socket,
            stopping,
            youth: Box::pin(sleep(OPEN_MIN)),
            goodbye,
            has_said_goodbye: false,
        }
    }

    /// The next text, or `None` when the client is gone. Meanwhile the library answers pings and
    /// close frames: it writes such an answer when the socket is read again. After the server has
    /// sent a close frame, texts still arrive until the client answers it.
    pub(super) async fn next_text(&mut self) -> Option<Utf8Bytes> {
        loop {
            let has_to_go = async {
                self.stopping.heard().await;
                self.youth.as_mut().await;
            };
            let received = tokio::select! {
                received = self.socket.recv() => received?,
                () = has_to_go, if !self.has_said_goodbye => {
                    self.say_goodbye().await;
                    continue;
                }
            };
            match received {
                Ok(Message::Text(text)) => return Some(text),
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_)) => {}
                Ok(Message::Binary(_)) | Err(_) => return None,
            }
        }
    }

    pub(super) async fn send(&mut self, message: Message) -> Result<(), Gone> {
        in_time(self.socket.send(message)).await
    }

    pub(super) async fn close(&mut self, code: u16, reason: &str) {
        self.has_said_goodbye = true;
        // A client that is gone already needs no good-bye.
        let reason = reason.get(..reason.floor_char_boundary(REASON_BYTES_MAX)).unwrap_or_default();
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = self.send(Message::Close(Some(frame))).await;
        let _ = tokio::time::timeout(GOODBYE_TIMEOUT, self.next_text()).await;
    }

    /// Closes the socket as when the server stops: no more events will come.
    pub(super) async fn end(&mut self) {
        self.close(self.goodbye, STOPPING).await;
    }

    async fn say_goodbye(&mut self) {
        self.has_said_goodbye = true;
        let frame = CloseFrame { code: self.goodbye, reason: STOPPING.into() };
        let _ = self.send(Message::Close(Some(frame))).await;
    }
}

async fn in_time<E>(sending: impl Future<Output = Result<(), E>>) -> Result<(), Gone> {
    match tokio::time::timeout(SEND_TIMEOUT, sending).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Gone),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_subscriber_that_never_reads_is_disconnected() {
        let since = tokio::time::Instant::now();
        let never_read = std::future::pending::<Result<(), Infallible>>();
        assert_eq!(in_time(never_read).await, Err(Gone));
        assert_eq!(since.elapsed(), SEND_TIMEOUT);
    }
}
