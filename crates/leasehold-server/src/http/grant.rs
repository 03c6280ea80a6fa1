//! An answer that carries a grant. Until its bytes have been handed to the connection, the grant
//! is given back when the answer is dropped. A connection may take care of it from then on, until
//! it knows that the client has read the answer.

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

/// A grant on its way to its client. It is given back when nothing is left that carries it.
#[derive(Clone, Debug)]
pub(crate) struct Carried(Arc<Carriage>);

#[derive(Debug)]
struct Carriage {
    undo: Mutex<Option<Undo>>,
    /// A connection takes care of it.
    is_claimed: AtomicBool,
    /// Its answer was handed to the connection.
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

    /// Takes the grant of an answer, if it carries one, to take care of it.
    pub(crate) fn claim(response: &mut Response) -> Option<Self> {
        let grant = response.extensions_mut().remove::<Self>()?;
        grant.0.is_claimed.store(true, Ordering::Relaxed);
        Some(grant)
    }

    /// The client has its answer.
    pub(crate) fn keep(self) {
        if let Some(undo) = self.take() {
            undo.keep();
        }
    }

    /// The client will never have its answer.
    pub(crate) fn give_back(self) {
        drop(self.take());
    }

    /// Nothing else is known than whether the answer was handed to the connection.
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

/// The 200 of a grant. A client that hung up before it was written holds nothing (defect D08).
pub(crate) fn granted(body: &impl Serialize, undo: Undo) -> Response {
    granted_as(StatusCode::OK, body, undo)
}

/// As [`granted`], with another status.
pub(crate) fn granted_as(status: StatusCode, body: &impl Serialize, undo: Undo) -> Response {
    let Ok(bytes) = serde_json::to_vec(body) else { return Error::Unexpected.into_response() };
    let grant = Carried::new(undo);
    let body = GrantBody { bytes: Some(bytes.into()), grant: grant.clone() };
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
