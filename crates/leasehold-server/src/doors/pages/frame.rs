//! What every page has around its content.

use maud::{DOCTYPE, Markup, html};

use super::form;
use super::shell::{footer, head};
use super::visitor::Visitor;
use crate::access::gate::PAGES;
use crate::app::App;

/// The parts of the site, as the navigation names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// Limits of both kinds.
    Concurrency,
    /// Limits whose slots drain.
    Rates,
    /// The log.
    Events,
    /// How the server is.
    Health,
    /// Which side grants each limit, with an upstream.
    Migration,
}

impl Section {
    const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Concurrency, "", "Concurrency"),
        (Self::Rates, "/rates", "Rate limits"),
        (Self::Events, "/events", "Events"),
        (Self::Health, "/health", "Health"),
        (Self::Migration, "/migration", "Migration"),
    ];
}

/// A page within a section. Its content changes while it is looked at.
pub(super) fn page(
    app: &App,
    visitor: &Visitor,
    section: Section,
    title: &str,
    main: &Markup,
) -> Markup {
    let now = app.ledger().clock().now().as_micros() / 1_000;
    let has_upstream = app.migration().is_some();
    let sections = Section::ALL.iter();
    let sections = sections.filter(|(own, ..)| *own != Section::Migration || has_upstream);
    html! {
        (DOCTYPE)
        html lang="en" data-now=(now) {
            (head(title))
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href=(PAGES) { "Leasehold" }
                    nav aria-label="Sections" {
                        @for (own, path, name) in sections {
                            a href={ (PAGES) (path) } aria-current=[(*own == section).then_some("page")] {
                                (name)
                            }
                        }
                        a href="/docs" { "API" }
                    }
                    p.live #live role="status" hidden { }
                    @if visitor.0.has_password {
                        form method="post" action={ (PAGES) "/sign-out" } {
                            (token(visitor))
                            button.quiet type="submit" { "Sign out" }
                        }
                    }
                }
                main #main tabindex="-1" { (main) }
                (footer())
            }
        }
    }
}

/// The hidden field that shows that this server wrote a form.
pub(super) fn token(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name=(form::TOKEN) value=(visitor.0.token()); }
}
