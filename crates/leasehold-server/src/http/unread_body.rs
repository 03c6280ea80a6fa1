//! Bodies that no handler reads. An answer that is given before the body of its request has come
//! ends the connection, unless the rest is read: a client that keeps the connection and is not told
//! would lose its next request.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::future::poll_fn;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// As much as this is read of a body that nobody wants, and for so long; else the connection ends.
const BYTES_MAX: u64 = 1 << 18;
const TIMEOUT: Duration = Duration::from_secs(1);

/// Where a body comes back to when its reader drops it before its end.
#[derive(Debug)]
pub(crate) struct Lender<B>(Arc<Mutex<Option<B>>>);

/// A body that its reader need not read.
#[derive(Debug)]
pub(crate) struct Lent<B: HttpBody> {
    body: Option<B>,
    lender: Arc<Mutex<Option<B>>>,
}

/// Lends a body to a handler.
pub(crate) fn lend<B: HttpBody>(body: B) -> (Lent<B>, Lender<B>) {
    let lender = Arc::new(Mutex::new(None));
    (Lent { body: Some(body), lender: lender.clone() }, Lender(lender))
}

impl<B> Lender<B> {
    /// What came back of the body: nothing if it was read to its end.
    pub(crate) fn left(self) -> Option<B> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Reads what is left of a body, or says that the connection ends with this answer.
pub(crate) async fn settle<B>(left: B, is_awaited: bool, response: &mut Response<Body>)
where
    B: HttpBody<Data = Bytes> + Unpin,
{
    let wants_end = response.status() == StatusCode::PAYLOAD_TOO_LARGE
        || response.headers().contains_key(header::CONNECTION);
    if is_awaited || wants_end || !is_read(left).await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Whether a client waits to be asked for its body: one that is refused need not send it.
pub(crate) fn is_awaited(headers: &HeaderMap) -> bool {
    headers.contains_key(header::EXPECT)
}

/// Reads a body to its end, if it is short and comes soon.
async fn is_read<B: HttpBody<Data = Bytes> + Unpin>(mut body: B) -> bool {
    if body.size_hint().lower() > BYTES_MAX {
        return false;
    }
    let read = async {
        let mut bytes = 0;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let Ok(frame) = frame else { return false };
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
            if bytes > BYTES_MAX {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(TIMEOUT, read).await.unwrap_or(false)
}

impl<B: HttpBody + Unpin> HttpBody for Lent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        // At its end, or broken, there is nothing left of it.
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl<B: HttpBody> Drop for Lent<B> {
    fn drop(&mut self) {
        // A reader that knows the length does not ask for more than it.
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.lender.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}
