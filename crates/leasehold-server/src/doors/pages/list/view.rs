//! How the list of limits looks.

use leasehold_engine::{LimitView, Timestamp};
use maud::{Markup, html};

use super::{Order, PAGE_SIZE, Tab};
use crate::access::gate::PAGES;
use crate::doors::pages::show;
use crate::doors::pages::visitor::Visitor;

/// A page of the list.
pub(super) struct Shown<'list> {
    pub(super) tab: Tab,
    pub(super) search: &'list str,
    pub(super) order: Order,
    pub(super) page: usize,
    pub(super) pages: usize,
    /// How many limits there are: global ones, and those of tags.
    pub(super) counts: [usize; 2],
    pub(super) found: usize,
    pub(super) rows: Vec<&'list LimitView>,
    pub(super) now: Timestamp,
}

impl Shown<'_> {
    fn path(&self) -> &'static str {
        match self.tab {
            Tab::Global => "/leasehold",
            Tab::Tags => "/leasehold/tags",
        }
    }

    fn new_path(&self) -> &'static str {
        match self.tab {
            Tab::Global => "/leasehold/new",
            Tab::Tags => "/leasehold/new?kind=tag",
        }
    }

    /// The address of a page of the same list.
    fn at(&self, page: usize) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if !self.search.is_empty() {
            query.append_pair("q", self.search);
        }
        if self.order != Order::Name {
            query.append_pair("sort", key(self.order));
        }
        if page > 1 {
            query.append_pair("page", &page.to_string());
        }
        let query = query.finish();
        if query.is_empty() { self.path().to_owned() } else { format!("{}?{query}", self.path()) }
    }
}

pub(super) fn list(visitor: &Visitor, shown: &Shown<'_>) -> Markup {
    let [global, tags] = shown.counts;
    let total = if shown.tab == Tab::Global { global } else { tags };
    html! {
        div.title {
            h1 { "Concurrency" }
            @if visitor.0.changes_limits {
                a.button href=(shown.new_path()) {
                    @if shown.tab == Tab::Global { "New limit" } @else { "New tag limit" }
                }
            }
        }
        nav.tabs aria-label="Kinds of limits" {
            (tab(PAGES, "Global", global, shown.tab == Tab::Global))
            (tab("/leasehold/tags", "Task Run", tags, shown.tab == Tab::Tags))
        }
        @if !visitor.0.changes_limits {
            p.muted {
                "These are the limits that Leasehold counts. All limits, and which server grants \
                 each, are on the page " a href="/leasehold/migration" { "Migration" }
                ". Change a limit on Prefect’s own pages: that reaches both servers."
            }
        }
        @if total == 0 && visitor.0.changes_limits {
            (empty(shown.tab))
        } @else if total == 0 {
            p.nothing { "Leasehold counts no limit of this kind yet." }
        } @else {
            (search(shown))
            @if shown.rows.is_empty() {
                p.nothing { "No limit has “" (show::name(shown.search)) "” in its name. "
                    a href=(shown.path()) { "Show all" } }
            } @else {
                (table(visitor, shown))
                (pager(shown))
            }
        }
    }
}

fn tab(path: &str, name: &str, count: usize, is_current: bool) -> Markup {
    html! {
        a href=(path) aria-current=[is_current.then_some("page")] {
            (name) " " span.count { (show::number(count as u64)) }
        }
    }
}

fn search(shown: &Shown<'_>) -> Markup {
    html! {
        form.search role="search" method="get" action=(shown.path()) data-search {
            label { span.hidden { "Search by name" }
                input type="search" name="q" value=(shown.search) placeholder="Search by name"
                    autocomplete="off" spellcheck="false";
            }
            label { span.hidden { "Order" }
                select name="sort" {
                    @for (order, key, name) in Order::ALL {
                        option value=(key) selected[order == shown.order] { (name) }
                    }
                }
            }
            button type="submit" { "Show" }
        }
    }
}

fn table(visitor: &Visitor, shown: &Shown<'_>) -> Markup {
    let back = shown.at(shown.page);
    html! {
        table.limits {
            thead { tr {
                th scope="col" { @if shown.tab == Tab::Global { "Limit" } @else { "Tag" } }
                th.slots-column scope="col" { "Slots" }
                th.active-column scope="col" { "Active" }
                @if shown.tab == Tab::Global { th.wide.number scope="col" { "Decay" } }
                th.wide scope="col" { "Changed" }
            } }
            tbody {
                @for view in &shown.rows { (row(visitor, shown, view, &back)) }
            }
        }
    }
}

fn row(visitor: &Visitor, shown: &Shown<'_>, view: &LimitView, back: &str) -> Markup {
    let limit = &view.limit;
    html! {
        tr id={ "l" (format!("{:032x}", limit.id.0)) } {
            th scope="row" {
                a href=(super::path(limit.id)) {
                    (show::name(limit.tag().unwrap_or(&limit.name)))
                }
            }
            td { (show::slots(view)) }
            td.active-column { (super::switch(visitor, view, back)) }
            @if shown.tab == Tab::Global {
                td.wide.number {
                    @if limit.decay.is_none() { span.muted { "none" } }
                    @else { (limit.decay.as_slots_per_second()) " / s" }
                }
            }
            td.wide { (show::ago(limit.updated, shown.now)) }
        }
    }
}

fn pager(shown: &Shown<'_>) -> Markup {
    let first = (shown.page - 1) * PAGE_SIZE + 1;
    let last = first + shown.rows.len() - 1;
    html! {
        nav.pager aria-label="Pages" {
            @if shown.page > 1 {
                a rel="prev" href=(shown.at(shown.page - 1)) { "← Before" }
            }
            span { (show::number(first as u64)) "–" (show::number(last as u64)) " of "
                (show::number(shown.found as u64)) }
            @if shown.page < shown.pages {
                a rel="next" href=(shown.at(shown.page + 1)) { "After →" }
            }
        }
    }
}

/// What to do when there is no limit yet.
fn empty(tab: Tab) -> Markup {
    let (sentence, code) = match tab {
        Tab::Global => (
            "A limit says how many may do something at once. Make one, then hold a slot of it \
             while you work:",
            "from prefect.concurrency.sync import concurrency\n\nwith concurrency(\"database\", \
             occupy=1):\n    query()",
        ),
        Tab::Tags => (
            "The limit of a tag says how many task runs with this tag run at once. Make one, then \
             give the tag to a task:",
            "from prefect import task\n\n@task(tags=[\"database\"])\ndef query(): ...",
        ),
    };
    html! {
        section.empty {
            h2 { @if tab == Tab::Global { "No limit yet" } @else { "No tag has a limit yet" } }
            p { (sentence) }
            pre tabindex="0" aria-label="Example" { code { (code) } }
            p { a.button href=(if tab == Tab::Global { "/leasehold/new?name=database&slots=2" }
                else { "/leasehold/new?kind=tag&name=database&slots=2" }) {
                "Make the first one" } }
            @if tab == Tab::Global {
                p.muted { "Any other program: " a href="/docs" { "the API" } "." }
            }
        }
    }
}

fn key(order: Order) -> &'static str {
    Order::ALL.iter().find(|(known, ..)| *known == order).map_or("", |(_, key, _)| key)
}
