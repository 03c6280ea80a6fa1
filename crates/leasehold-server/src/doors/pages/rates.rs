//! Rate limits: their level, and what they grant beside what they may.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_engine::LimitView;
use maud::{Markup, html};

use super::error::Error;
use super::frame::{self, Section};
use super::level::next_slot;
use super::visitor::Visitor;
use super::{list, show};
use crate::app::App;

/// How many rate limits the page shows.
const SHOWN_MAX: usize = 200;

pub(super) async fn page(State(app): State<App>, visitor: Visitor) -> Result<Response, Error> {
    let all = app.survey().limits().await?;
    let mut limits: Vec<_> = all.iter().filter(|view| !view.limit.decay.is_none()).collect();
    let count = limits.len();
    limits.sort_by_key(|view| std::cmp::Reverse(view.waiting));
    limits.truncate(SHOWN_MAX);
    let now = app.ledger().clock().now();
    let rates = app.figures().per_second(limits.iter().map(|view| &view.limit.name));
    let rows = limits.iter().zip(rates);
    let main = html! {
        div.title {
            h1 { "Rate limits" }
            @if visitor.0.changes_limits {
                a.button href="/leasehold/new?decay=1" { "New rate limit" }
            }
        }
        @if count == 0 {
            section.empty {
                h2 { "No rate limit yet" }
                p { "A limit whose slots drain by themselves is a rate limit: it grants a burst as \
                     large as its slots, and then as many as drain." }
                pre tabindex="0" aria-label="Example" { code {
                    "from prefect.concurrency.sync import rate_limit\n\nrate_limit(\"api\")"
                } }
            }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Table of rate limits" {
                table.rates {
                    thead { tr {
                        th scope="col" { "Limit" }
                        th.slots-column scope="col" { "Spent" }
                        th scope="col" { "Next slot" }
                        th.number scope="col" { "Grants / s" }
                        th.number scope="col" { "May drain / s" }
                    } }
                    tbody { @for (view, rate) in rows { (row(view, rate, now)) } }
                }
            }
            p.muted { "Grants per second are those of the last ten seconds." }
            @if count > SHOWN_MAX {
                p.muted { "These are " (SHOWN_MAX) " of " (show::number(count as u64)) ", those with \
                 waiters first." }
            }
        }
    };
    let page = frame::page(&app, &visitor, Section::Rates, "Rate limits", &main);
    Ok(visitor.0.answer(StatusCode::OK, page))
}

fn row(view: &LimitView, rate: Option<f64>, now: leasehold_engine::Timestamp) -> Markup {
    let configured = view.limit.decay.as_slots_per_second();
    html! {
        tr id={ "r" (format!("{:032x}", view.limit.id.0)) } {
            th scope="row" { a href=(list::path(view.limit.id)) { (show::name(&view.limit.name)) } }
            td { (show::slots(view)) }
            td {
                @match next_slot(view, now) {
                    Some(at) => (show::countdown(at, now)),
                    None => span.muted { "free now" }
                }
            }
            td.number { @match rate { Some(rate) => (format!("{rate:.2}")), None => span.muted { "–" } } }
            td.number { (configured) }
        }
    }
}
