//! Bodies that no handler reads. If the server answers before it has read a request's body, it must
//! read the rest, or end the connection and say so in the answer. Otherwise the client would keep
//! the connection and lose its next request.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::future::poll_fn;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// How much of an unread body the server reads, and for how long. Otherwise the connection ends.
const BYTES_MAX: u64 = 1 << 18;
const TIMEOUT: Duration = Duration::from_secs(1);

/// Receives a body back when its reader drops it before its end.
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
    /// The rest of the body, or `None` if it was read to its end.
    pub(crate) fn left(self) -> Option<B> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Reads the rest of a body. If it cannot, the answer says that the connection ends.
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

/// Whether the client sends `Expect`: it waits for the server's consent before it sends its body.
pub(crate) fn is_awaited(headers: &HeaderMap) -> bool {
    headers.contains_key(header::EXPECT)
}

/// Reads a body to its end. `false` if it is too long, too slow or broken.
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
        // A body that has ended or is broken has no rest.
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
        // A reader that knows the length does not poll for the end.
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            *self.lender.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}
