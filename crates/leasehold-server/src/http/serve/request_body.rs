//! The body of a request. It notes on its connection's [`Line`] whether it is complete.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::{Body, Frame, SizeHint};

use super::line::Line;

#[derive(Debug)]
pub(crate) struct RequestBody<B> {
    body: B,
    line: Arc<Line>,
}

impl<B: Body> RequestBody<B> {
    pub(super) fn new(body: B, line: Arc<Line>) -> Self {
        if body.is_end_stream() {
            line.is_whole();
        }
        Self { body, line }
    }
}

impl<B: Body + Unpin> Body for RequestBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(None) => self.line.is_whole(),
            Poll::Ready(Some(_)) if self.body.is_end_stream() => self.line.is_whole(),
            Poll::Ready(Some(_)) => {}
            Poll::Pending => {
                if self.line.is_cut_short() {
                    // The connection then reads again, finds the end, and drops the request.
                    context.waker().wake_by_ref();
                }
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
