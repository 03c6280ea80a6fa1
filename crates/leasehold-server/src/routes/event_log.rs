//! The log of events: `/api/leasehold/events`, a page at a time or as a stream. "Who held
//! `database` at 03:12, and why did it come back?" is answered here.

use std::convert::Infallible;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use leasehold_api::Timestamp;
use leasehold_api::events::{Event as WireEvent, EventHolder, EventPage, FindEvents};
use leasehold_records::{Event, EventFilter, micros_from_text};

use super::{Routes, otherwise};
use crate::app::App;
use crate::error::{ApiError, json};
use crate::event_log::EventLog;
use crate::extract::ValidQuery;

const EVENT_STREAM: &str = "text/event-stream";
/// Where a stream that was broken off goes on.
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) fn add(routes: Routes) -> Routes {
    routes.add("/api/leasehold/events", otherwise("GET", get(list)))
}

async fn list(
    State(app): State<App>,
    ValidQuery(wanted): ValidQuery<FindEvents>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let log = app.event_log().ok_or(ApiError::PathNotFound)?.clone();
    let mut filter = EventFilter {
        limit: wanted.limit,
        holder: wanted.holder,
        kind: wanted.kind,
        lease: wanted.lease,
        since_micros: point_in_time("since", wanted.since)?,
        until_micros: point_in_time("until", wanted.until)?,
        after: wanted.after.unwrap_or(0),
        is_newest_first: wanted.newest_first.unwrap_or(false),
        limit_count: page_size(wanted.page_size, app.config().bodies.page_size)?,
    };
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::ACCEPT.as_str()).is_some_and(|accept| accept.contains(EVENT_STREAM)) {
        let from = text(LAST_EVENT_ID).and_then(|id| id.parse().ok()).or(wanted.after);
        // Things happen in but one order.
        filter.is_newest_first = false;
        filter.after = match from {
            Some(after) => after,
            None => log.last().await?,
        };
        return Ok(follow(log, filter).into_response());
    }
    let found = log.find(filter.clone()).await?;
    let is_full = u64::try_from(found.len()).is_ok_and(|found| found >= filter.limit_count);
    let next = found.last().map(|event| event.number).filter(|_| is_full);
    let page = EventPage { events: found.iter().map(wire).collect(), next };
    Ok(json(StatusCode::OK, &page))
}

/// No page is empty, and none is larger than the operator allows.
fn page_size(wanted: Option<u64>, most: u64) -> Result<u64, ApiError> {
    let size = wanted.unwrap_or(most);
    if (1..=most).contains(&size) {
        return Ok(size);
    }
    let sentence = format!("Invalid page_size: must be between 1 and {most}.");
    Err(leasehold_api::Invalid::Detail(sentence).into())
}

fn point_in_time(name: &str, text: Option<String>) -> Result<Option<i64>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let wrong = || {
        let sentence = format!("Invalid {name}: '{text}' is no time such as 2026-01-31T03:12:00Z.");
        leasehold_api::Invalid::Detail(sentence)
    };
    Ok(Some(micros_from_text(&text).ok_or_else(wrong)?))
}

/// The events after `filter.after`, and all that come, until the client has gone or the server
/// stops.
fn follow(log: EventLog, filter: EventFilter) -> impl IntoResponse {
    let events = stream::unfold((log, filter, Vec::new()), |(log, mut filter, mut ready)| async {
        if ready.is_empty() {
            ready = log.next(&mut filter).await?;
            ready.reverse();
        }
        let event = ready.pop()?;
        Some((Ok::<_, Infallible>(message(&event)), (log, filter, ready)))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

fn message(event: &Event) -> axum::response::sse::Event {
    let data = serde_json::to_string(&wire(event)).unwrap_or_default();
    axum::response::sse::Event::default()
        .id(event.number.to_string())
        .event(event.kind.replace(['\r', '\n'], " "))
        .data(data)
}

fn wire(event: &Event) -> WireEvent {
    WireEvent {
        number: event.number,
        id: event.id,
        occurred: Timestamp(event.at_micros),
        kind: event.kind.clone(),
        limit: event.limit.clone(),
        holder: event
            .holder
            .as_ref()
            .map(|(kind, id)| EventHolder { kind: kind.clone(), id: id.clone() }),
        lease: event.lease,
        reason: event.reason.clone(),
        sent: event.document.clone().unwrap_or_default(),
    }
}
