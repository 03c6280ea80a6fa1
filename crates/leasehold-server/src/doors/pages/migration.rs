//! The migration from a Prefect server: which side grants each limit.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_gateway::Phase;
use maud::{Markup, html};
use uuid::Uuid;

use super::error::Error;
use super::frame::{self, Section};
use super::show;
use super::visitor::Visitor;
use crate::access::gate::PAGES;
use crate::app::App;
use crate::migration::{LimitReport, Report};

pub(super) async fn page(State(app): State<App>, visitor: Visitor) -> Result<Response, Error> {
    let report = app.migration().ok_or(Error::NotFound)?.report().await?;
    let main = html! {
        div.title { h1 { "Migration" } }
        div.card {
            dl.facts {
                div { dt { "Prefect server" } dd { code { (show::visible(&report.upstream)) } } }
                div { dt { "It answers" } dd {
                    @if report.is_reachable { "yes" }
                    @else { span.state.full { "● no: what follows is what was seen last" } }
                } }
                div { dt { "Longest lease seen" }
                    dd { (report.longest_lease_seconds) " s" } }
            }
        }
        p.muted {
            "A limit moves in a second or two. Requests for its slots are held meanwhile, and no \
             lease is lost. To move all limits at once: "
            code { "leasehold migrate prefect advance" } ", and back: "
            code { "leasehold migrate prefect rollback" } "."
        }
        @if report.limits.is_empty() {
            p.nothing { "The Prefect server has no limits." }
        } @else { (table(&visitor, &report)) }
    };
    let page = frame::page(&app, &visitor, Section::Migration, "Migration", &main);
    Ok(visitor.0.answer(StatusCode::OK, page))
}

fn table(visitor: &Visitor, report: &Report) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Table of limits that move" {
            table.migration {
                thead { tr {
                    th scope="col" { "Limit" }
                    th scope="col" { "Phase" }
                    th.number scope="col" { "Taken" }
                    th.number scope="col" { "By leases here" }
                    th.number scope="col" { "Counted there" }
                    th.number scope="col" { "Not explained" }
                    th scope="col" { "Note" }
                    th scope="col" { span.hidden { "Move" } }
                } }
                tbody { @for limit in &report.limits { (row(visitor, limit)) } }
            }
        }
    }
}

fn row(visitor: &Visitor, limit: &LimitReport) -> Markup {
    html! {
        tr id={ "m" (format!("{:032x}", limit.id.0)) } {
            th scope="row" { (show::name(&limit.name)) }
            td data-label="Phase" { (phase(limit.standing.phase))
                @if limit.standing.is_moving { span.muted { ", moving" } } }
            td.number data-label="Taken" {
                (show::number(limit.taken)) " of " (show::number(limit.slots))
            }
            td.number data-label="By leases here" { (show::number(limit.held_here)) }
            td.number data-label="Counted there" { (show::number(limit.standing.foreign)) }
            td.number data-label="Not explained" { (show::number(limit.unexplained)) }
            td.note-column {
                @if limit.phantoms > 0 {
                    div { (show::count(limit.phantoms, "slot")) " that nobody holds" }
                }
                @if let Some(why) = &limit.stays { div { "Stays: " (show::visible(why)) } }
                @if let Some(warning) = &limit.warning { div { (show::visible(warning)) } }
                @if let Some(failure) = &limit.failure {
                    div.state.full { "● " (show::visible(failure)) }
                }
                @let others: Vec<_> =
                    limit.together.iter().filter(|other| **other != limit.name).collect();
                @if !others.is_empty() {
                    div { "Moves together with "
                        @for (at, other) in others.iter().enumerate() {
                            @if at > 0 { ", " } (show::name(other))
                        }
                    }
                }
            }
            td.move-column { (button(visitor, limit)) }
        }
    }
}

/// The button that moves a limit to the other side, if it can move now.
fn button(visitor: &Visitor, limit: &LimitReport) -> Markup {
    let (verb, path) = match limit.standing.phase {
        _ if limit.standing.is_moving => return html! {},
        Phase::Draining | Phase::Leasehold => ("Give back", "give-back"),
        Phase::Upstream | Phase::Returning if limit.stays.is_some() => return html! {},
        Phase::Upstream | Phase::Returning => ("Take over", "take-over"),
    };
    html! {
        form method="post" action={ (PAGES) "/migration/" (path) } {
            (frame::token(visitor))
            input type="hidden" name="limit" value=(Uuid::from_u128(limit.id.0));
            button type="submit" { (verb) span.hidden { " " (show::name(&limit.name)) } }
        }
    }
}

fn phase(phase: Phase) -> Markup {
    let words = match phase {
        Phase::Upstream => "Prefect grants",
        Phase::Draining => "Leasehold grants; Prefect’s leases end",
        Phase::Leasehold => "Leasehold grants",
        Phase::Returning => "on its way back to Prefect",
    };
    html! { (words) }
}
