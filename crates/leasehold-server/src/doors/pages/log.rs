//! The log of events: a page with filters, and the table that pages of limits have as well.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_engine::Timestamp;
use leasehold_records::{EventFilter, EventPage, EventRow};
use maud::{Markup, html};

use super::error::Error;
use super::form::Fields;
use super::frame::{self, Section};
use super::show;
use super::visitor::Visitor;
use crate::app::App;

/// How many events a page has.
const PAGE_SIZE: u64 = 100;
const PATH: &str = "/leasehold/events";
/// The kinds that can be chosen: what they begin with, and their name.
const KINDS: [(&str, &str); 9] = [
    ("", "All kinds"),
    ("lease", "Leases"),
    ("lease.expired", "Leases that expired"),
    ("lease.revoked", "Leases that were revoked"),
    ("lease.repossessed", "Leases that were repossessed"),
    ("waiter", "Waiters"),
    ("limit", "Limits"),
    ("slots", "Slots without a lease"),
    ("prefect", "Events of clients"),
];

pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    fields: Fields,
) -> Result<Response, Error> {
    let found = match app.event_log() {
        None => None,
        Some(log) => Some(log.find(filter(&fields)).await?),
    };
    let now = app.ledger().clock().now();
    let main = html! {
        div.title { h1 { "Events" } }
        @match &found {
            None => p.nothing { "This server keeps no log." },
            Some(found) => {
                (form(&fields))
                @if found.events.is_empty() {
                    p.nothing { "No event in the log is like this." }
                } @else {
                    (table(&found.events, true, now))
                    (pager(&fields, found))
                }
            }
        }
    };
    let page = frame::page(&app, &visitor, Section::Events, "Events", &main);
    Ok(visitor.0.answer(StatusCode::OK, page))
}

fn filter(fields: &Fields) -> EventFilter {
    let text = |name: &str| {
        let text = fields.text(name).trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    EventFilter {
        limit: text("limit"),
        holder: text("holder"),
        kind: text("kind"),
        after: fields.text("after").parse().unwrap_or(0),
        is_newest_first: true,
        limit_count: PAGE_SIZE,
        bytes_max: Some(1 << 20),
        ..EventFilter::default()
    }
}

fn form(fields: &Fields) -> Markup {
    html! {
        form.search method="get" action=(PATH) data-search {
            label { span.hidden { "Kind" }
                select name="kind" {
                    @for (kind, name) in KINDS {
                        option value=(kind) selected[kind == fields.text("kind")] { (name) }
                    }
                }
            }
            label { span.hidden { "Limit" }
                input name="limit" value=(show::visible(fields.text("limit"))) autocomplete="off"
                    placeholder="Limit, by its full name" spellcheck="false";
            }
            label { span.hidden { "Holder" }
                input name="holder" value=(show::visible(fields.text("holder"))) autocomplete="off"
                    placeholder="Holder, by its id" spellcheck="false";
            }
            button type="submit" { "Show" }
        }
    }
}

fn pager(fields: &Fields, found: &EventPage) -> Markup {
    let at = |after: Option<u64>| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for name in ["kind", "limit", "holder"] {
            if !fields.text(name).is_empty() {
                query.append_pair(name, fields.text(name));
            }
        }
        if let Some(after) = after {
            query.append_pair("after", &after.to_string());
        }
        format!("{PATH}?{}", query.finish())
    };
    let last = found.events.last().map(|event| event.number);
    html! {
        nav.pager aria-label="Pages" {
            @if !fields.text("after").is_empty() { a href=(at(None)) { "← Newest" } }
            @if found.is_cut { a rel="next" href=(at(last)) { "Older →" } }
        }
    }
}

/// Events in the order in which they are given, with the names of their limits or without.
pub(super) fn table(events: &[EventRow], has_limits: bool, now: Timestamp) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Table of events" {
            table.events {
                thead { tr {
                    th scope="col" { "When" }
                    th scope="col" { "What" }
                    @if has_limits { th scope="col" { "Limit" } }
                    th scope="col" { "Whose" }
                    th scope="col" { "Why" }
                } }
                tbody { @for event in events { (row(event, has_limits, now)) } }
            }
        }
    }
}

fn row(event: &EventRow, has_limits: bool, now: Timestamp) -> Markup {
    html! {
        tr id={ "e" (event.number) } {
            td data-label="When" { (show::ago(Timestamp::from_micros(event.at_micros), now)) }
            td data-label="What" { code { (show::visible(&event.kind)) } }
            @if has_limits {
                td data-label="Limit" { @if let Some(limit) = &event.limit { (show::name(limit)) } }
            }
            td data-label="Whose" {
                @if let Some((kind, id)) = &event.holder {
                    span.kind { bdi { (show::visible(&kind.replace('_', " "))) } }
                    " " code { bdi { (show::visible(id)) } }
                } @else if let Some(lease) = event.lease {
                    span.kind { "lease" } " " code { (lease) }
                }
            }
            td data-label="Why" { @if let Some(reason) = &event.reason { bdi { (show::visible(reason)) } } }
        }
    }
}
