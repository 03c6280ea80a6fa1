//! The migration from a Prefect server: which side grants each limit.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_gateway::Phase;
use maud::{Markup, html};

use super::error::Error;
use super::frame::{self, Section};
use super::show;
use super::visitor::Visitor;
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
            "Limits move by " code { "leasehold migrate prefect advance" } ", and back by "
            code { "leasehold migrate prefect rollback" } "."
        }
        @if report.limits.is_empty() {
            p.nothing { "The Prefect server has no limits." }
        } @else { (table(&report)) }
    };
    let page = frame::page(&app, &visitor, Section::Migration, "Migration", &main);
    Ok(visitor.0.answer(StatusCode::OK, page))
}

fn table(report: &Report) -> Markup {
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
                } }
                tbody { @for limit in &report.limits { (row(limit)) } }
            }
        }
    }
}

fn row(limit: &LimitReport) -> Markup {
    html! {
        tr id={ "m" (format!("{:032x}", limit.id.0)) } {
            th scope="row" { (show::name(&limit.name)) }
            td { (phase(limit.standing.phase))
                @if limit.standing.under_way > 0 { span.muted { " moving" } } }
            td.number { (show::number(limit.taken)) " of " (show::number(limit.slots)) }
            td.number { (show::number(limit.held_here)) }
            td.number { (show::number(limit.standing.foreign)) }
            td.number { (show::number(limit.unexplained)) }
            td {
                @if limit.phantoms > 0 {
                    div { (show::count(limit.phantoms, "slot")) " that nobody holds" }
                }
                @if let Some(why) = &limit.stays { div { "Stays: " (show::visible(why)) } }
                @if let Some(failure) = &limit.failure {
                    div.state.full { "● " (show::visible(failure)) }
                }
            }
        }
    }
}

fn phase(phase: Phase) -> Markup {
    let words = match phase {
        Phase::Upstream => "Prefect grants",
        Phase::Draining => "Leasehold grants, Prefect's leases end",
        Phase::Leasehold => "Leasehold grants",
        Phase::Returning => "on its way back to Prefect",
    };
    html! { (words) }
}
