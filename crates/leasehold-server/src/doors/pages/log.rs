//! The log of events, as a table.

use leasehold_engine::Timestamp;
use leasehold_records::EventRow;
use maud::{Markup, html};

use super::show;

/// Events in the order in which they are given.
pub(super) fn table(events: &[EventRow], now: Timestamp) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Table of events" {
            table.events {
                thead { tr {
                    th scope="col" { "When" }
                    th scope="col" { "What" }
                    th scope="col" { "Whose" }
                    th scope="col" { "Why" }
                } }
                tbody { @for event in events { (row(event, now)) } }
            }
        }
    }
}

fn row(event: &EventRow, now: Timestamp) -> Markup {
    html! {
        tr id={ "e" (event.number) } {
            td { (show::ago(Timestamp::from_micros(event.at_micros), now)) }
            td { code { (show::visible(&event.kind)) } }
            td {
                @if let Some((kind, id)) = &event.holder {
                    span.kind { bdi { (show::visible(&kind.replace('_', " "))) } }
                    " " code { bdi { (show::visible(id)) } }
                } @else if let Some(lease) = event.lease {
                    span.kind { "lease" } " " code { (lease) }
                }
            }
            td { @if let Some(reason) = &event.reason { (show::visible(reason)) } }
        }
    }
}
