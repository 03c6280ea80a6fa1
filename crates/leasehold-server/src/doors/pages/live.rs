//! Tells a page that something has changed: a stream that sends no content, only that it is time to
//! look again.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use leasehold_node::{Events, Unavailable};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::error::Error;
use super::visitor::Visitor;
use crate::access::origin::Origin;
use crate::app::App;
use crate::http::quota::Member;
use crate::http::sockets::Stopping;

/// The least time between two messages to a page: shorter than a person notices.
const PAUSE: Duration = Duration::from_millis(400);
/// How long a stream is silent at most: intermediaries close connections that are.
const SILENCE_MAX: Duration = Duration::from_secs(15);
const BEGIN: Bytes = Bytes::from_static(b"retry: 2000\n\n");
const CHANGED: Bytes = Bytes::from_static(b"event: changed\ndata:\n\n");
const KEEP_ALIVE: Bytes = Bytes::from_static(b":\n\n");

struct Following {
    events: Receiver<Events>,
    stopping: Stopping,
    has_begun: bool,
    _member: Member,
}

pub(super) async fn changes(
    State(app): State<App>,
    _: Visitor,
    origin: Origin,
) -> Result<Response, Error> {
    let member = app.streams().enter(origin.counted());
    let member = member.ok_or(Error::Unavailable(Unavailable::Overloaded))?;
    let following = Following {
        events: app.ledger().subscribe(),
        stopping: app.sockets().stopping(),
        has_begun: false,
        _member: member,
    };
    let frames = stream::unfold(following, |mut following| async {
        let frame = following.next().await?;
        Some((Ok::<_, Infallible>(frame), following))
    });
    let headers =
        [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(frames)).into_response())
}

impl Following {
    /// The next frame; `None` when the server stops.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.has_begun {
            self.has_begun = true;
            return Some(BEGIN);
        }
        tokio::select! {
            frame = changed(&mut self.events) => frame,
            () = self.stopping.heard() => None,
        }
    }
}

async fn changed(events: &mut Receiver<Events>) -> Option<Bytes> {
    match tokio::time::timeout(SILENCE_MAX, events.recv()).await {
        Err(_) => return Some(KEEP_ALIVE),
        Ok(Err(RecvError::Closed)) => return None,
        Ok(Ok(_) | Err(RecvError::Lagged(_))) => {}
    }
    // One frame stands for all that happens in this time.
    tokio::time::sleep(PAUSE).await;
    *events = events.resubscribe();
    Some(CHANGED)
}
