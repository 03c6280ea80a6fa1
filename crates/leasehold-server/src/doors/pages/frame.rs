//! What every page has around its content.

use maud::{DOCTYPE, Markup, html};

use super::visitor::Visitor;
use super::{assets, form};
use crate::access::gate::PAGES;
use crate::app::App;

/// The parts of the site, as the navigation names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// Limits of both kinds.
    Concurrency,
}

impl Section {
    const ALL: [(Self, &'static str, &'static str); 1] = [(Self::Concurrency, "", "Concurrency")];
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
    html! {
        (DOCTYPE)
        html lang="en" data-now=(now) {
            (head(title))
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href=(PAGES) { "Leasehold" }
                    nav aria-label="Sections" {
                        @for (own, path, name) in Section::ALL {
                            a href={ (PAGES) (path) } aria-current=[(own == section).then_some("page")] {
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

/// A page without navigation.
pub(super) fn bare(title: &str, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body {
                header.top { a.brand href=(PAGES) { "Leasehold" } }
                main.narrow #main { (main) }
                (footer())
            }
        }
    }
}

/// The hidden field that shows that this server wrote a form.
pub(super) fn token(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name=(form::TOKEN) value=(visitor.0.token()); }
}

fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (super::show::visible(title)) " · Leasehold" }
            link rel="stylesheet" href=(assets::style());
            link rel="icon" href=(ICON);
            @for script in assets::scripts() {
                script src=(script) defer {}
            }
        }
    }
}

fn footer() -> Markup {
    html! {
        footer {
            "Leasehold " (env!("CARGO_PKG_VERSION"))
            " · times are in UTC · " a href="/docs" { "API" }
        }
    }
}

/// Three slots, two of them taken.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' \
                    viewBox='0 0 16 16'%3E%3Cg fill='%232f6f5e'%3E%3Crect x='1' y='2' width='14' \
                    height='3' rx='1'/%3E%3Crect x='1' y='6.5' width='14' height='3' rx='1'/%3E\
                    %3Crect x='1' y='11' width='14' height='3' rx='1' opacity='.35'/%3E%3C/g%3E\
                    %3C/svg%3E";
