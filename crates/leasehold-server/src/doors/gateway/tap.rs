//! Requests that tell whether a holder still lives. They are passed on as they are, and what their
//! answers say of runs is noted as evidence, as if this server had given them.

mod about;

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use leasehold_records::RunKind;
use serde_json::Value;
use uuid::Uuid;

pub(super) use self::about::{About, about};
use super::Gateway;
use crate::access::peer::Peer;
use crate::app::App;
use crate::http;
use crate::liveness::passed::Passed;

/// What is longer is passed on unread.
const READ_BYTES_MAX: usize = 4 << 20;

/// Passes a request on and reads its answer. A client that hangs up ends neither: the upstream may
/// have done what was asked.
pub(super) async fn pass(gateway: &Gateway, request: Request, about: About) -> Response {
    let gateway = gateway.clone();
    let passing = tokio::spawn(async move { pass_and_read(&gateway, request, about).await });
    passing.await.unwrap_or_else(|_| http::Error::Unexpected.into_response())
}

async fn pass_and_read(gateway: &Gateway, mut request: Request, about: About) -> Response {
    // An answer that is not compressed can be read.
    request.headers_mut().remove(header::ACCEPT_ENCODING);
    let address = request.extensions().get::<Peer>().map(|peer| peer.address());
    let sent = Arc::new(Mutex::new(Vec::new()));
    if about == About::Events {
        request = request.map(|body| copied(body, sent.clone()));
    }
    let response = match gateway.upstream.send(request).await {
        Ok(response) => response,
        Err(error) => return error.into_response(),
    };
    if !response.status().is_success() {
        return response;
    }
    if about == About::Events {
        let sent = std::mem::take(&mut *sent.lock().unwrap_or_else(PoisonError::into_inner));
        for event in serde_json::from_slice::<Vec<Value>>(&sent).unwrap_or_default() {
            gateway.app.hear(&event.to_string(), address).await;
        }
        return response;
    }
    let (head, body) = response.into_parts();
    let (bytes, body) = read(body).await;
    if let Some(bytes) = bytes {
        heed(&gateway.app, about, &bytes).await;
    }
    Response::from_parts(head, body)
}

/// Reads a body whole, if it is short enough, and gives back one with the same bytes.
async fn read(mut body: Body) -> (Option<Vec<u8>>, Body) {
    let (mut frames, mut bytes) = (Vec::new(), Vec::new());
    while let Some(frame) = body.frame().await {
        let is_broken = frame.is_err();
        if let Some(data) = frame.as_ref().ok().and_then(Frame::data_ref) {
            bytes.extend_from_slice(data);
        }
        frames.push(frame);
        if is_broken || bytes.len() > READ_BYTES_MAX {
            let rest = stream::iter(frames).chain(BodyStream::new(body));
            return (None, Body::new(StreamBody::new(rest)));
        }
    }
    let whole = Bytes::from(bytes.clone());
    (Some(bytes), Body::from(whole))
}

/// The same body; its bytes are copied as they pass, if there are not too many.
fn copied(body: Body, copy: Arc<Mutex<Vec<u8>>>) -> Body {
    let frames = BodyStream::new(body).map(move |frame| {
        if let Some(data) = frame.as_ref().ok().and_then(Frame::data_ref) {
            let mut copy = copy.lock().unwrap_or_else(PoisonError::into_inner);
            if copy.len() + data.len() <= READ_BYTES_MAX {
                copy.extend_from_slice(data);
            }
        }
        frame
    });
    Body::new(StreamBody::new(frames))
}

async fn heed(app: &App, about: About, bytes: &[u8]) {
    let (Some(recorder), Some(witness)) = (app.recorder(), app.witness()) else { return };
    let ledger = app.ledger();
    let passed = Passed { clock: ledger.clock(), ledger, recorder, witness };
    let said: Value = serde_json::from_slice(bytes).unwrap_or_default();
    match about {
        About::State(kind, id) => entered(&passed, kind, id, &said).await,
        About::States => {
            for result in said["results"].as_array().into_iter().flatten() {
                if let Some(id) = id_in(&result["flow_run_id"]) {
                    entered(&passed, RunKind::FlowRun, id, result).await;
                }
            }
        }
        About::Creation(kind) => passed.created(kind, &said).await,
        About::Deletion(kind, id) => deleted(&passed, kind, id).await,
        About::Deletions => {
            for id in said["deleted"].as_array().into_iter().flatten().filter_map(id_in) {
                deleted(&passed, RunKind::FlowRun, id).await;
            }
        }
        About::Events => {}
    }
}

/// A run enters the proposed state, or the one that the upstream puts in its place. If its client
/// is to wait or to abort, it stays where it is.
async fn entered(passed: &Passed<'_>, kind: RunKind, id: Uuid, result: &Value) {
    if matches!(result["status"].as_str(), Some("ACCEPT" | "REJECT")) {
        passed.entered(kind, id, &result["state"]).await;
    }
}

async fn deleted(passed: &Passed<'_>, kind: RunKind, id: Uuid) {
    if let Err(error) = passed.deleted(kind, id).await {
        let kind = kind.as_str();
        tracing::warn!(%error, kind, %id, "a run was deleted, and may still hold slots");
    }
}

fn id_in(id: &Value) -> Option<Uuid> {
    id.as_str()?.parse().ok()
}
