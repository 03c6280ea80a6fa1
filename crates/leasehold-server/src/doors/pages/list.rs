//! The list of limits, in two tabs: global limits, and those of task runs by tag.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_engine::LimitView;
use maud::{Markup, html};
use uuid::Uuid;

use self::view::Shown;
use super::error::Error;
use super::form::Fields;
use super::frame::{self, Section};
use super::visitor::Visitor;
use crate::app::App;

mod view;

/// How many limits a page shows.
const PAGE_SIZE: usize = 50;

/// Which limits a tab has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    /// Those that are not of a tag.
    Global,
    /// Those of a tag.
    Tags,
}

/// The order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Name,
    Fullness,
    Changed,
}

impl Order {
    const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::Name, "name", "Name"),
        (Self::Fullness, "fullest", "Fullest first"),
        (Self::Changed, "changed", "Last change"),
    ];

    fn of(text: &str) -> Self {
        Self::ALL.iter().find(|(_, key, _)| *key == text).map_or(Self::Name, |(order, ..)| *order)
    }
}

impl Tab {
    fn has(self, view: &LimitView) -> bool {
        view.limit.tag().is_some() == (self == Self::Tags)
    }
}

pub(super) async fn global(
    State(app): State<App>,
    visitor: Visitor,
    fields: Fields,
) -> Result<Response, Error> {
    list(&app, &visitor, &fields, Tab::Global).await
}

pub(super) async fn tags(
    State(app): State<App>,
    visitor: Visitor,
    fields: Fields,
) -> Result<Response, Error> {
    list(&app, &visitor, &fields, Tab::Tags).await
}

async fn list(app: &App, visitor: &Visitor, fields: &Fields, tab: Tab) -> Result<Response, Error> {
    let all = app.survey().limits().await?;
    let (search, order) = (fields.text("q").trim(), Order::of(fields.text("sort")));
    let wanted = search.to_lowercase();
    let in_tab: Vec<_> = all.iter().filter(|view| tab.has(view)).collect();
    let mut found: Vec<_> = in_tab
        .iter()
        .copied()
        .filter(|view| wanted.is_empty() || is_found(view, &wanted))
        .collect();
    sort(&mut found, order);
    let pages = found.len().div_ceil(PAGE_SIZE).max(1);
    let page = fields.text("page").parse().unwrap_or(1).clamp(1, pages);
    let shown = Shown {
        tab,
        search,
        order,
        page,
        pages,
        counts: [all.len() - count(&all, Tab::Tags), count(&all, Tab::Tags)],
        found: found.len(),
        rows: found.into_iter().skip((page - 1) * PAGE_SIZE).take(PAGE_SIZE).collect(),
        now: app.ledger().clock().now(),
    };
    let main = view::list(visitor, &shown);
    let page = frame::page(app, visitor, Section::Concurrency, "Concurrency", &main);
    Ok(visitor.0.answer(StatusCode::OK, page))
}

fn count(all: &[LimitView], tab: Tab) -> usize {
    all.iter().filter(|view| tab.has(view)).count()
}

/// Whether a limit's name has the text in it, or its id is the text.
fn is_found(view: &LimitView, wanted: &str) -> bool {
    view.limit.name.to_lowercase().contains(wanted)
        || Uuid::from_u128(view.limit.id.0).to_string() == wanted
}

/// Sorts limits that are in the order of their names; equal ones keep it.
fn sort(limits: &mut [&LimitView], order: Order) {
    match order {
        Order::Name => {}
        Order::Fullness => limits.sort_by_key(|view| {
            let free = view.limit.slots.saturating_sub(view.taken);
            (std::cmp::Reverse(view.waiting), !view.limit.active, free, view.taken == 0)
        }),
        Order::Changed => limits.sort_by_key(|view| std::cmp::Reverse(view.limit.updated)),
    }
}

/// The path of a limit's page.
pub(super) fn path(id: leasehold_engine::LimitId) -> String {
    format!("{}/limits/{}", crate::access::gate::PAGES, Uuid::from_u128(id.0))
}

/// The switch of a limit; where limits are not changed here, its state in a word.
pub(super) fn switch(visitor: &Visitor, view: &LimitView, back: &str) -> Markup {
    if !visitor.0.changes_limits {
        return html! { span.muted { @if view.limit.active { "yes" } @else { "no" } } };
    }
    let (to, name) = (!view.limit.active, super::show::visible(&view.limit.name));
    html! {
        form.inline method="post" action={ (path(view.limit.id)) "/switch" } data-inline {
            (frame::token(visitor))
            input type="hidden" name="active" value=(to);
            input type="hidden" name="back" value=(back);
            button.switch type="submit" role="switch" aria-checked=(view.limit.active)
                aria-label={ "Active: " (name) } title=(if to { "Switch on" } else { "Switch off" })
            {
                span.knob aria-hidden="true" {}
            }
        }
    }
}
