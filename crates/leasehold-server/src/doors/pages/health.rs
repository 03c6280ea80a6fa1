//! How the server is: its journal, its connections, what is full, and where time goes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_engine::{LimitView, Timestamp};
use leasehold_node::Histogram;
use maud::{Markup, html};

use super::error::Error;
use super::frame::{self, Section};
use super::visitor::Visitor;
use super::{list, show};
use crate::app::App;
use crate::figures::RouteFigures;

/// How many full limits, and how many routes, the page shows.
const SHOWN_MAX: usize = 10;

pub(super) async fn page(State(app): State<App>, visitor: Visitor) -> Result<Response, Error> {
    let all = app.survey().limits().await?;
    let now = app.ledger().clock().now();
    let main = html! {
        div.title { h1 { "Health" } }
        (server(&app, now))
        (full(&all, now))
        (time(&app.figures().routes()))
    };
    let page = frame::page(&app, &visitor, Section::Health, "Health", &main);
    Ok(visitor.0.answer(StatusCode::OK, page))
}

fn server(app: &App, now: Timestamp) -> Markup {
    let figures = app.ledger().figures();
    let commits = count(&figures.commit_micros);
    let failed = figures.failed_commits.load(Ordering::Relaxed);
    let (connections, connections_max) = app.connections();
    let missed = app.figures().missed_batches();
    let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    let number = |number: usize| show::number(number as u64);
    html! {
        div.card {
            dl.facts {
                (fact("Version", html! { (env!("CARGO_PKG_VERSION")) }))
                @if let Some(started) = app.figures().started() {
                    (fact("Started", show::ago(started, now)))
                }
                (fact("Commits", html! { (show::number(commits)) }))
                (fact("A commit takes", html! { (mean_ms(&figures.commit_micros)) }))
                (fact("Failed commits", html! {
                    @if failed == 0 { "none" }
                    @else { span.state.full { "● " (show::number(failed)) } }
                }))
                (fact("Commands that wait", html! { (number(app.ledger().commands_waiting())) }))
                (fact("Connections", html! { (number(connections)) " of " (number(connections_max)) }))
                (fact("WebSockets", html! { (number(app.sockets().count())) }))
                (fact("Requests held open", html! { (number(app.acquirer().held_open())) }))
                (fact("Log", html! {
                    @if app.event_log().is_some() { "kept" } @else { "not kept" }
                }))
                @if missed > 0 {
                    (fact("Events not counted", html! { (show::number(missed)) " batches" }))
                }
            }
        }
        @if failed > 0 {
            p.note { "The journal could not be written. The log of the server says why: a full disk, \
                 for example. Nothing that was acknowledged is lost." }
        }
    }
}

/// The limits that hold requests up, those that wait longest first.
fn full(all: &[LimitView], now: Timestamp) -> Markup {
    let is_full = |view: &&LimitView| view.limit.active && view.taken >= view.limit.slots;
    let mut full: Vec<_> = all.iter().filter(is_full).collect();
    let count = full.len();
    full.sort_by_key(|view| (view.oldest_waiter.is_none(), view.oldest_waiter));
    full.truncate(SHOWN_MAX);
    html! {
        section aria-labelledby="full" {
            h2 #full { "What is full " span.count { (show::number(count as u64)) } }
            @if full.is_empty() { p.nothing { "Every limit has a free slot." } }
            @else {
                div.scroll tabindex="0" role="region" aria-label="Table of full limits" {
                    table {
                        thead { tr {
                            th scope="col" { "Limit" } th scope="col" { "Slots" }
                            th scope="col" { "Waits since" } th scope="col" { "Oldest lease" }
                        } }
                        tbody { @for view in full { (full_row(view, now)) } }
                    }
                }
            }
        }
    }
}

fn full_row(view: &LimitView, now: Timestamp) -> Markup {
    let ago = |at: Option<Timestamp>| {
        html! {
            @match at { Some(at) => (show::ago(at, now)), None => span.muted { "–" } }
        }
    };
    html! {
        tr {
            th scope="row" { a href=(list::path(view.limit.id)) { (show::name(&view.limit.name)) } }
            td { (show::slots(view)) }
            td { (ago(view.oldest_waiter)) }
            td { (ago(view.oldest_lease)) }
        }
    }
}

/// The routes that took the most time together.
fn time(routes: &[Arc<RouteFigures>]) -> Markup {
    let mut routes: Vec<_> = routes.iter().filter(|route| count(&route.micros) > 0).collect();
    routes.sort_by_key(|route| std::cmp::Reverse(route.micros.sum()));
    routes.truncate(SHOWN_MAX);
    html! {
        section aria-labelledby="time" {
            h2 #time { "Where time goes" }
            p.muted { "Requests that are held open while they wait are part of it." }
            @if !routes.is_empty() {
                div.scroll tabindex="0" role="region" aria-label="Table of routes" {
                    table {
                        thead { tr {
                            th scope="col" { "Route" } th.number scope="col" { "Requests" }
                            th.number scope="col" { "Each takes" }
                        } }
                        tbody {
                            @for route in routes {
                                tr {
                                    th scope="row" { code { (route.path) } }
                                    td.number { (show::number(count(&route.micros))) }
                                    td.number { (mean_ms(&route.micros)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn count(histogram: &Histogram) -> u64 {
    histogram.counts().map(|(_, count)| count).sum()
}

/// The mean of a histogram of microseconds.
fn mean_ms(histogram: &Histogram) -> String {
    match count(histogram) {
        0 => "–".to_owned(),
        count => match histogram.sum() as f64 / count as f64 / 1e3 {
            ms if ms < 1_000.0 => format!("{ms:.2} ms"),
            ms => format!("{:.1} s", ms / 1e3),
        },
    }
}
