//! What every page has, signed in or not: its head, its foot, and its headers.

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::{assets, show};
use crate::access::gate::PAGES;

/// The policy of every page: its own style, its own scripts, its own forms, nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// Three slots, two of them taken.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' \
                    viewBox='0 0 16 16'%3E%3Cg fill='%232f6f5e'%3E%3Crect x='1' y='2' width='14' \
                    height='3' rx='1'/%3E%3Crect x='1' y='6.5' width='14' height='3' rx='1'/%3E\
                    %3Crect x='1' y='11' width='14' height='3' rx='1' opacity='.35'/%3E%3C/g%3E\
                    %3C/svg%3E";

/// The answer with a page, with the headers that every page has.
pub(super) fn answer(status: StatusCode, page: Markup) -> Response {
    let headers: [(HeaderName, &'static str); 5] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, page.into_string()).into_response()
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

/// The head, with what a page loads.
pub(super) fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (show::visible(title)) " · Leasehold" }
            link rel="stylesheet" href=(assets::style());
            link rel="icon" href=(ICON);
            @for script in assets::scripts() {
                script src=(script) defer {}
            }
        }
    }
}

/// The foot.
pub(super) fn footer() -> Markup {
    html! {
        footer {
            "Leasehold " (env!("CARGO_PKG_VERSION"))
            " · times are in UTC · " a href="/docs" { "API" }
        }
    }
}
