//! The event log: `/api/leasehold/events`, page by page or as a stream. It answers "Who held
//! `database` at 03:12, and why was it released?".

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use leasehold_api::Timestamp;
use leasehold_api::events::{Event, EventHolder, EventPage, FindEvents};
use leasehold_records::{EventFilter, EventRow, micros_from_text};
use serde_json::value::RawValue;

use crate::access::origin::Origin;
use crate::app::App;
use crate::doors::groups::EVENTS;
use crate::doors::native::error::Error;
use crate::doors::native::extract::ValidQuery;
use crate::doors::operation::get;
use crate::doors::routes::Routes;
use crate::event_log::EventLog;
use crate::http::answer::json;
use crate::http::quota::Member;

const EVENT_STREAM: &str = "text/event-stream";
/// How long a stream is silent before it sends a keep-alive.
const KEEP_ALIVE_PERIOD: Duration = Duration::from_secs(15);
const KEEP_ALIVE: Bytes = Bytes::from_static(b":\n\n");
/// About how many bytes a page has at most. A larger event is a page of its own.
const PAGE_BYTES_MAX: u64 = 4 << 20;
/// The header with which an interrupted stream resumes.
const LAST_EVENT_ID: &str = "last-event-id";

pub(super) fn add(routes: Routes) -> Routes {
    routes.tagged(EVENTS).add(
        get("/api/leasehold/events", list)
            .named("list_events", "Page through what happened, or follow it")
            .about(
                "With `Accept: text/event-stream` the connection stays open and sends what happens \
                 from now on, or after `Last-Event-ID`.",
            )
            .query::<FindEvents>()
            .answers::<EventPage>(200, "A page of events.")
            .records(),
    )
}

async fn list(
    State(app): State<App>,
    origin: Origin,
    ValidQuery(wanted): ValidQuery<FindEvents>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let log = app.event_log().ok_or(Error::PATH_NOT_FOUND)?.clone();
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
        bytes_max: Some(PAGE_BYTES_MAX),
    };
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text(header::ACCEPT.as_str()).is_some_and(|accept| accept.contains(EVENT_STREAM)) {
        let from = text(LAST_EVENT_ID).and_then(|id| id.parse().ok()).or(wanted.after);
        // A stream sends events in the order in which they happen.
        filter.is_newest_first = false;
        filter.after = match from {
            Some(after) => after,
            None => log.last().await?,
        };
        let member = app.streams().enter(origin.counted());
        let member = member.ok_or(Error::OVERLOADED)?;
        return Ok(follow(&log, filter, member).into_response());
    }
    let found = log.find(filter).await?;
    let next = found.events.last().map(|event| event.number).filter(|_| found.is_cut);
    let page = EventPage { events: found.events.into_iter().map(wire).collect(), next };
    Ok(json(StatusCode::OK, &page))
}

/// The page size that a request wants: at least 1, and at most what the operator allows.
fn page_size(wanted: Option<u64>, most: u64) -> Result<u64, Error> {
    let size = wanted.unwrap_or(most);
    if (1..=most).contains(&size) {
        return Ok(size);
    }
    let sentence = format!("Invalid page_size: must be between 1 and {most}.");
    Err(leasehold_prefect::Invalid::Detail(sentence).into())
}

fn point_in_time(name: &str, text: Option<String>) -> Result<Option<i64>, Error> {
    let Some(text) = text else { return Ok(None) };
    let wrong = || {
        let sentence = format!("Invalid {name}: '{text}' is no time such as 2026-01-31T03:12:00Z.");
        leasehold_prefect::Invalid::Detail(sentence)
    };
    Ok(Some(micros_from_text(&text).ok_or_else(wrong)?))
}

/// The events after `filter.after` and all new ones, until the client disconnects or the server
/// stops. A client that does not read occupies no memory beyond what is already being sent.
fn follow(log: &EventLog, filter: EventFilter, member: Member) -> impl IntoResponse {
    let following = (log.follow(filter), member);
    let events = stream::unfold(following, |(mut events, member)| async {
        let frame = match tokio::time::timeout(KEEP_ALIVE_PERIOD, events.next()).await {
            Ok(entry) => entry?.frame(frame),
            Err(_) => KEEP_ALIVE,
        };
        Some((Ok::<_, Infallible>(frame), (events, member)))
    });
    let headers = [(header::CONTENT_TYPE, EVENT_STREAM), (header::CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(events))
}

/// An event as a frame of the stream.
fn frame(event: &EventRow) -> Bytes {
    let kind = event.kind.replace(['\r', '\n'], " ");
    let data = serde_json::to_string(&wire(event.clone())).unwrap_or_default();
    format!("id: {}\nevent: {kind}\ndata: {data}\n\n", event.number).into()
}

fn wire(event: EventRow) -> Event {
    Event {
        number: event.number,
        id: event.id,
        occurred: Timestamp(event.at_micros),
        kind: event.kind,
        limit: event.limit,
        holder: event.holder.map(|(kind, id)| EventHolder { kind, id }),
        lease: event.lease,
        origin: event.origin.and_then(|text| serde_json::from_str(&text).ok()),
        reason: event.reason,
        sent: event.document.and_then(|text| RawValue::from_string(text).ok()),
    }
}
