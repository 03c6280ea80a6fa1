//! An answer that carries a grant: until its bytes have been handed to the connection, the
//! grant is given back when the answer is dropped.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::Response;
use http_body::{Frame, SizeHint};
use serde::Serialize;

use crate::coordinator::Undo;
use crate::error::{APPLICATION_JSON, ApiError};

struct GrantBody {
    bytes: Option<Bytes>,
    undo: Option<Undo>,
}

/// The 200 of a grant. A client that hung up before it was written holds nothing (defect D08).
pub(crate) fn granted(body: &impl Serialize, undo: Undo) -> Result<Response, ApiError> {
    granted_as(StatusCode::OK, body, undo)
}

/// As [`granted`], with another status.
pub(crate) fn granted_as(
    status: StatusCode,
    body: &impl Serialize,
    undo: Undo,
) -> Result<Response, ApiError> {
    let bytes = serde_json::to_vec(body).map_err(|_| ApiError::Unexpected)?;
    let body = GrantBody { bytes: Some(bytes.into()), undo: Some(undo) };
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, APPLICATION_JSON);
    Ok(response)
}

impl http_body::Body for GrantBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(undo) = self.undo.take() {
            undo.keep();
        }
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
