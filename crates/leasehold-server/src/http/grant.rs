//! An answer that carries a grant. If the answer is dropped before the connection takes its bytes,
//! the grant is given back. A connection may take over the grant, and keep it pending until it
//! knows that the client has read the answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body::{Frame, SizeHint};
use leasehold_node::Undo;
use serde::Serialize;

use crate::http::Error;
use crate::http::answer::APPLICATION_JSON;

struct GrantBody {
    bytes: Option<Bytes>,
    grant: Carried,
}

/// A grant on its way to its client. It is given back when its last copy is dropped, unless
/// [`Self::keep`] was called.
#[derive(Clone, Debug)]
pub(crate) struct Carried(Arc<Carriage>);

#[derive(Debug)]
struct Carriage {
    undo: Mutex<Option<Undo>>,
    /// A connection has taken it over.
    is_claimed: AtomicBool,
    /// The connection has taken the answer's bytes.
    is_written: AtomicBool,
}

impl Carried {
    fn new(undo: Undo) -> Self {
        Self(Arc::new(Carriage {
            undo: Mutex::new(Some(undo)),
            is_claimed: AtomicBool::new(false),
            is_written: AtomicBool::new(false),
        }))
    }

    /// Takes over the grant that an answer carries, if any.
    pub(crate) fn claim(response: &mut Response) -> Option<Self> {
        let grant = response.extensions_mut().remove::<Self>()?;
        grant.0.is_claimed.store(true, Ordering::Relaxed);
        Some(grant)
    }

    /// Another answer that carries this grant.
    pub(crate) fn answer(self, status: StatusCode, bytes: Bytes) -> Response {
        self.0.is_claimed.store(false, Ordering::Relaxed);
        carry(self, status, bytes)
    }

    /// The client has received its answer.
    pub(crate) fn keep(self) {
        if let Some(undo) = self.take() {
            undo.keep();
        }
    }

    /// The client will not receive its answer.
    pub(crate) fn give_back(self) {
        drop(self.take());
    }

    /// Keeps the grant if the connection has taken the answer's bytes, else gives it back.
    pub(crate) fn keep_if_written(self) {
        if self.0.is_written.load(Ordering::Relaxed) { self.keep() } else { self.give_back() }
    }

    fn written(&self) {
        self.0.is_written.store(true, Ordering::Relaxed);
        if !self.0.is_claimed.load(Ordering::Relaxed) {
            self.clone().keep();
        }
    }

    fn take(&self) -> Option<Undo> {
        self.0.undo.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The 200 of a grant. A client that hung up before the answer was written holds nothing (defect
/// D08).
pub(crate) fn granted(body: &impl Serialize, undo: Undo) -> Response {
    granted_as(StatusCode::OK, body, undo)
}

/// As [`granted`], with another status.
pub(crate) fn granted_as(status: StatusCode, body: &impl Serialize, undo: Undo) -> Response {
    let Ok(bytes) = serde_json::to_vec(body) else { return Error::Unexpected.into_response() };
    carry(Carried::new(undo), status, bytes.into())
}

fn carry(grant: Carried, status: StatusCode, bytes: Bytes) -> Response {
    let body = GrantBody { bytes: Some(bytes), grant: grant.clone() };
    let mut response = Response::new(Body::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, APPLICATION_JSON);
    response.extensions_mut().insert(grant);
    response
}

impl http_body::Body for GrantBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.grant.written();
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
