//! What is counted by route.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use leasehold_engine::Timestamp;
use leasehold_node::{Clock, Histogram};
use pin_project_lite::pin_project;
use tower::Service;

/// The upper bounds of the time until an answer, in microseconds.
const MICROS: &[u64] = &[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
    30_000_000,
];
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "other"];
/// The statuses that this server answers. The last one stands for all others.
const STATUSES: [u16; 25] = [
    200, 201, 204, 303, 304, 307, 400, 401, 403, 404, 405, 408, 409, 410, 413, 415, 422, 423, 426,
    500, 501, 502, 503, 504, 0,
];

/// The counters of a route.
#[derive(Debug)]
pub(crate) struct RouteFigures {
    /// The path, with its parameters by name. Empty for requests without a route.
    pub(crate) path: String,
    counts: Box<[[AtomicU64; STATUSES.len()]; METHODS.len()]>,
    /// How long answers took, in microseconds.
    pub(crate) micros: Histogram,
}

impl Default for RouteFigures {
    fn default() -> Self {
        Self::new("")
    }
}

impl RouteFigures {
    pub(super) fn new(path: &str) -> Self {
        Self { path: path.to_owned(), counts: Box::default(), micros: Histogram::new(MICROS) }
    }

    /// Counts an answer.
    pub(crate) fn count(&self, method: &Method, status: StatusCode) {
        self.add(place_of(method), status);
    }

    fn add(&self, method: usize, status: StatusCode) {
        let known = STATUSES.iter().position(|known| *known == status.as_u16());
        let status = known.unwrap_or(STATUSES.len() - 1);
        self.counts[method][status].fetch_add(1, Ordering::Relaxed);
    }

    /// How many answers there were, by method and status.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u16, u64)> {
        METHODS.iter().zip(&*self.counts).flat_map(|(method, counts)| {
            let counts = STATUSES.iter().zip(counts);
            counts.map(|(status, count)| (*method, *status, count.load(Ordering::Relaxed)))
        })
    }
}

fn place_of(method: &Method) -> usize {
    let known = METHODS.iter().position(|known| *known == method.as_str());
    known.unwrap_or(METHODS.len() - 1)
}

/// A route whose answers are counted.
#[derive(Clone)]
pub(crate) struct Counted<S> {
    pub(crate) inner: S,
    pub(crate) figures: Arc<RouteFigures>,
    pub(crate) clock: Clock,
}

impl<S> Service<Request> for Counted<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Answering {
            method: place_of(request.method()),
            since: self.clock.now(),
            answer: self.inner.call(request),
            figures: self.figures.clone(),
            clock: self.clock.clone(),
        }
    }
}

pin_project! {
    /// An answer that is counted when it is there.
    pub(crate) struct Answering<F> {
        #[pin]
        answer: F,
        method: usize,
        since: Timestamp,
        figures: Arc<RouteFigures>,
        clock: Clock,
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Answering<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Poll::Ready(Ok(answer)) = this.answer.poll(context) else { return Poll::Pending };
        this.figures.add(*this.method, answer.status());
        this.figures.micros.record(this.clock.now().since(*this.since).as_micros());
        Poll::Ready(Ok(answer))
    }
}
