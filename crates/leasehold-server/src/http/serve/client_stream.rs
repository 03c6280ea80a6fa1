//! The byte stream of a connection, with requests or as a WebSocket. It owns the connection's place
//! in the quota, and ends if the client does not read what the server has written.
//!
//! The HTTP library takes the end of a client's stream for a hang-up, and drops its request. So
//! this stream hides the end from the library while an answer is due or being written. After a
//! grant it hides the end for a moment longer: if the client was gone before the answer, its system
//! resets the connection in that time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use super::admission::Pass;
use super::head_lines::HeadLines;
use super::line::Line;

/// The server ends a connection whose client reads nothing for so long while bytes wait for it.
const STALL_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a client's system may take to refuse an answer that came after the client was gone.
const REFUSAL_TIME: Duration = Duration::from_millis(250);

/// A connection that knows whether the client's system has reset it.
pub(super) trait Reset {
    /// Whether the client's system has refused what the server sent.
    fn is_reset(&self) -> bool;
}

impl Reset for TcpStream {
    fn is_reset(&self) -> bool {
        !matches!(self.take_error(), Ok(None))
    }
}

/// A connection's place among all connections, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) pass: Pass,
    pub(super) _slot: OwnedSemaphorePermit,
}

pub(super) struct ClientStream<S = TcpStream> {
    stream: S,
    line: Arc<Line>,
    heads: HeadLines,
    /// Runs while written bytes wait for the client to read them.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Runs while the client's system may refuse a grant.
    refusable: Option<Pin<Box<Sleep>>>,
    _place: Option<Place>,
}

impl<S> ClientStream<S> {
    pub(super) fn new(stream: S, line: Arc<Line>, place: Option<Place>) -> Self {
        let heads = HeadLines::default();
        Self { stream, line, heads, stalled: None, refusable: None, _place: place }
    }

    /// Notes the result of a write, and fails it if it has been pending for too long.
    fn heed<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match written {
            Poll::Ready(Ok(_)) => self.stalled = None,
            Poll::Ready(Err(_)) => self.line.is_unwritten(),
            Poll::Pending => {
                let stalled =
                    self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL_TIMEOUT)));
                if stalled.as_mut().poll(context).is_ready() {
                    self.line.is_unwritten();
                    let error = "the client reads nothing of what waits for it";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, error)));
                }
            }
        }
        written
    }
}

impl<S: Reset> ClientStream<S> {
    /// Whether the client's system may still refuse a grant that was just sent. The client has
    /// closed its half of the connection.
    fn may_refuse(&mut self, context: &mut Context<'_>) -> bool {
        if !self.line.carries_grant() {
            return false;
        }
        // The system reports the reset only once.
        if self.stream.is_reset() {
            self.line.was_reset();
            return false;
        }
        let time = &mut self.refusable;
        let time = time.get_or_insert_with(|| Box::pin(tokio::time::sleep(REFUSAL_TIME)));
        time.as_mut().poll(context).is_pending()
    }
}

impl<S: AsyncRead + Reset + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (free, filled) = (buffer.remaining(), buffer.filled().len());
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let is_end = matches!(read, Poll::Ready(Ok(()))) && free > 0 && buffer.remaining() == free;
        // The connection reads again after its answer, and finds the end again.
        if is_end && (self.line.owes_at_end() || self.stalled.is_some()) {
            return Poll::Pending;
        }
        if is_end && self.may_refuse(context) {
            return Poll::Pending;
        }
        match &read {
            Poll::Ready(Ok(())) => {
                let awaited = self.line.awaits_head();
                self.heads.check(awaited, &mut buffer.filled_mut()[filled..]);
                self.line.was_read();
            }
            Poll::Ready(Err(_)) => self.line.was_reset(),
            Poll::Pending => {}
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.heed(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.heed(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S> Drop for ClientStream<S> {
    fn drop(&mut self) {
        self.line.has_ended();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    impl Reset for tokio::io::DuplexStream {
        fn is_reset(&self) -> bool {
            false
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_cut_off_and_one_that_reads_slowly_is_not() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut stream = ClientStream::new(ours, Arc::default(), None);
        let since = tokio::time::Instant::now();
        let slowly = async {
            for _ in 0..3 {
                tokio::time::sleep(STALL_TIMEOUT - Duration::from_secs(1)).await;
                tokio::io::AsyncReadExt::read(&mut theirs, &mut [0; 16]).await.unwrap();
            }
            std::future::pending::<()>().await;
        };
        let error = tokio::select! {
            written = stream.write_all(&[0; 1_024]) => written.unwrap_err(),
            () = slowly => unreachable!("it waits for good"),
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let waited = since.elapsed();
        assert_eq!(waited, 3 * (STALL_TIMEOUT - Duration::from_secs(1)) + STALL_TIMEOUT);
    }
}
