//! How the page of a limit looks.

use leasehold_engine::{Lease, LeaseView, Origin, WaiterView};
use maud::{Markup, html};
use uuid::Uuid;

use super::shown::{SHOWN_MAX, Shown};
use super::{chart, why};
use crate::access::gate::PAGES;
use crate::doors::convert::unleased;
use crate::doors::pages::level::next_slot;
use crate::doors::pages::revoke::lease_text;
use crate::doors::pages::visitor::Visitor;
use crate::doors::pages::{list, log, show};

pub(super) fn limit(visitor: &Visitor, shown: &Shown<'_>) -> Markup {
    let view = shown.view;
    let path = list::path(view.limit.id);
    let why = why::sentences(shown);
    let is_tag = view.limit.tag().is_some();
    html! {
        p.crumbs {
            a href=(if is_tag { "/leasehold/tags" } else { PAGES }) {
                @if is_tag { "Task Run limits" } @else { "Global limits" }
            }
        }
        div.title {
            h1 { (show::name(shown.name())) }
            div.actions {
                @if visitor.0.changes_limits {
                    (list::switch(visitor, view, &path))
                    a.button href={ (path) "/edit" } { "Edit" }
                }
                a.button href={ (path) "/reset" } { "Reset" }
                @if visitor.0.changes_limits {
                    a.button href={ (path) "/delete" } { "Delete" }
                }
            }
        }
        div.card {
            (show::slots(view))
            dl.facts {
                @if !view.limit.decay.is_none() {
                    div { dt { "Drains" } dd { (view.limit.decay.as_slots_per_second()) " slots / s" } }
                    @if let Some(next) = next_slot(view, shown.now) {
                        div { dt { "Next slot" } dd { (show::countdown(next, shown.now)) } }
                    }
                } @else {
                    div { dt { "Held on average" }
                        dd { (format!("{:.1} s", view.limit.occupancy_seconds_average)) } }
                }
                div { dt { "Changed" } dd { (show::ago(view.limit.updated, shown.now)) } }
                div { dt { "Created" } dd { (show::ago(view.limit.created, shown.now)) } }
                div { dt { "Id" } dd { code { (Uuid::from_u128(view.limit.id.0)) } } }
            }
        }
        @if !why.is_empty() {
            section.why aria-labelledby="why" {
                h2 #why { @if view.limit.active { "Why is it full?" } @else { "Why does it refuse nothing?" } }
                @for sentence in &why { p { (sentence) } }
            }
        }
        (holders(shown))
        (waiters(shown))
        @if let Some((hour, day)) = &shown.charts {
            (chart::charts(hour, day, view.limit.slots))
        }
        (events(shown))
    }
}

fn holders(shown: &Shown<'_>) -> Markup {
    let leases = &shown.held.leases;
    let parts = unleased::of_limit(shown.view);
    html! {
        section aria-labelledby="holders" {
            h2 #holders { "Holders " span.count { (leases.len()) } }
            @if leases.is_empty() && parts.is_empty() { p.nothing { "Nothing holds a slot." } }
            @if !leases.is_empty() {
                div.scroll tabindex="0" role="region" aria-label="Table of holders" {
                    table.holders {
                        thead { tr {
                            th scope="col" { "Holder" }
                            th.number scope="col" { "Slots" }
                            th scope="col" { "Since" }
                            th scope="col" { "Deadline" }
                            th.number scope="col" { "Fencing token" }
                            th scope="col" { span.hidden { "Revoke" } }
                        } }
                        tbody { @for held in leases { (holder(shown, held)) } }
                    }
                }
                @if leases.len() == SHOWN_MAX {
                    p.muted { "These are the oldest " (SHOWN_MAX) "." }
                }
            }
            @for part in &parts { p.note { (part.detail) } }
        }
    }
}

fn holder(shown: &Shown<'_>, held: &LeaseView) -> Markup {
    let lease = &held.lease;
    let slots = lease.holdings.iter().find(|it| it.limit == shown.view.limit.id);
    let others = held.names.iter().filter(|name| **name != shown.view.limit.name);
    let labels = lease.notes.iter().flat_map(|notes| &notes.labels);
    html! {
        tr id={ "h" (format!("{:032x}", lease.id.0)) } {
            th scope="row" {
                (who(shown, lease))
                @if lease.holdings.len() > 1 {
                    div.muted { "also holds "
                        @for (at, name) in others.enumerate() {
                            @if at > 0 { ", " } (show::name(name))
                        }
                    }
                }
                @for (name, value) in labels {
                    span.label { bdi { (show::visible(name)) ": " (show::visible(value)) } }
                }
            }
            td.number data-label="Slots" { (show::number(slots.map_or(0, |it| it.slots))) }
            td data-label="Since" { (show::ago(lease.created, shown.now)) }
            td data-label="Deadline" {
                @match lease.deadline {
                    Some(deadline) => (show::countdown(deadline, shown.now)),
                    None => span.muted { "none" }
                }
            }
            td.number data-label="Fencing token" { code { (lease.fence.0) } }
            td {
                a.quiet href={ (list::path(shown.view.limit.id)) "/leases/" (lease_text(lease.id)) "/revoke" }
                    aria-label={ "Revoke the lease " (lease_text(lease.id)) } { "Revoke" }
            }
        }
    }
}

/// The holder of a lease: its run by name and state where it is recorded, else what it said.
fn who(shown: &Shown<'_>, lease: &Lease) -> Markup {
    let run = lease.holder.as_ref().and_then(|holder| shown.runs.get(&*holder.id));
    html! {
        @if let Some(run) = run {
            b { (show::name(&run.name)) }
            @if let Some(state) = &run.state { " " span.run-state { (show::visible(state)) } }
            @if let Some(flow_run) = &run.flow_run {
                div.muted { "in flow run " (show::name(flow_run)) }
            }
        }
        div { (show::holder(lease.holder.as_ref())) }
        @if let Some(origin) = &lease.origin { (from(origin)) }
    }
}

/// Where a request came from.
fn from(origin: &Origin) -> Markup {
    let identified = origin.identified.as_ref();
    let runs = identified.map(|it| [("flow run", &it.flow_run), ("task run", &it.task_run)]);
    html! {
        @for (kind, run) in runs.into_iter().flatten() {
            @if let Some(name) = run.name.as_ref().or(run.id.as_ref()) {
                div.muted { (kind) " " (show::name(name)) }
            }
        }
        @if identified.is_none() && let Some(flow) = &origin.flow.name {
            div.muted { "flow " (show::name(flow)) }
        }
        @if let Some(address) = origin.address {
            div.muted { "from " (address)
                @if let Some(client) = &origin.client { " · " (show::visible(client)) } }
        }
    }
}

fn waiters(shown: &Shown<'_>) -> Markup {
    if shown.waiters.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="waiters" {
            h2 #waiters { "Waiters " span.count { (shown.view.waiting) } }
            div.scroll tabindex="0" role="region" aria-label="Table of waiters" {
                table.waiters {
                    thead { tr {
                        th.number.place scope="col" { "Place" }
                        th scope="col" { "Waiter" }
                        th.number scope="col" { "Slots" }
                        th scope="col" { "Since" }
                        th scope="col" { "Blocked by" }
                    } }
                    tbody {
                        @for (at, waiter) in shown.waiters.iter().enumerate() {
                            (waiter_row(shown, at + 1, waiter))
                        }
                    }
                }
            }
        }
    }
}

fn waiter_row(shown: &Shown<'_>, place: usize, waiter: &WaiterView) -> Markup {
    let run = waiter.holder.as_ref().and_then(|holder| shown.runs.get(&*holder.id));
    html! {
        tr id={ "w" (waiter.ticket.0) } {
            td.number.place data-label="Place" { (place) @if waiter.priority != 0 { div.muted { "priority " (waiter.priority) } } }
            th scope="row" {
                @if let Some(run) = run { b { (show::name(&run.name)) } }
                div { (show::holder(waiter.holder.as_ref())) }
                @if let Some(origin) = &waiter.origin { (from(origin)) }
            }
            td.number data-label="Slots" { (show::number(waiter.slots)) }
            td data-label="Since" { (show::ago(waiter.since, shown.now)) }
            td data-label="Blocked by" {
                @for blocker in &waiter.blockers {
                    div {
                        a href=(list::path(blocker.limit.id)) { (show::name(&blocker.limit.name)) }
                        @if blocker.is_kept { span.muted { " keeps its slots for an older one" } }
                    }
                }
                @if !waiter.stuck.is_empty() {
                    div.state.full { "● " (show::visible(&leasehold_node::stuck_reason(&waiter.stuck))) }
                }
            }
        }
    }
}

fn events(shown: &Shown<'_>) -> Markup {
    let Some(events) = &shown.events else { return html! {} };
    html! {
        section aria-labelledby="events" {
            h2 #events { "Events" }
            @if events.is_empty() { p.nothing { "Nothing has happened that is still in the log." } }
            @else { (log::table(events, false, shown.now)) }
        }
    }
}
