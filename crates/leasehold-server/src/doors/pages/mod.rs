//! The pages for people: what is full, who holds it, who waits, and why.
//!
//! Each page is made here, as a whole, and reads and works without scripts. A small script asks for
//! the page again when something has changed, and puts what differs into the place of what is
//! there. Nothing is loaded from another host.

mod assets;
mod change;
mod convert;
mod error;
mod form;
mod frame;
mod health;
mod level;
mod limit;
mod list;
mod live;
mod log;
mod migration;
mod moves;
mod rates;
mod revoke;
mod runs;
mod shell;
mod show;
mod sign_in;
mod visitor;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};

use self::error::Error;
use crate::access::gate::PAGES;
use crate::doors::routes::{Routes, redirect};

/// Adds the routes of this door.
pub(crate) fn add(routes: Routes) -> Routes {
    let at = |path: &str| format!("{PAGES}{path}");
    assets::add(routes)
        .add_page("/", get(async || see_other(PAGES)))
        .add_page(PAGES, get(list::global))
        .add_page(&at("/"), any(redirect))
        .add_page(&at("/tags"), get(list::tags))
        .add_page(&at("/new"), get(change::new).post(change::create))
        .add_page(&at("/limits/{id}"), get(limit::page))
        .add_page(&at("/limits/{id}/edit"), get(change::edit).post(change::update))
        .add_page(&at("/limits/{id}/switch"), post(change::switch))
        .add_page(&at("/limits/{id}/reset"), get(change::ask_reset).post(change::reset))
        .add_page(&at("/limits/{id}/delete"), get(change::ask_delete).post(change::delete))
        .add_page(&at("/limits/{id}/leases/{lease}/revoke"), get(revoke::ask).post(revoke::revoke))
        .add_page(&at("/rates"), get(rates::page))
        .add_page(&at("/events"), get(log::page))
        .add_page(&at("/health"), get(health::page))
        .add_page(&at("/migration"), get(migration::page))
        .add_page(&at("/migration/take-over"), post(moves::take_over))
        .add_page(&at("/migration/give-back"), post(moves::give_back))
        .add_page(&at("/live"), get(live::changes))
        .add_page(&at("/sign-in"), get(sign_in::page).post(sign_in::sign_in))
        .add_page(&at("/sign-out"), post(sign_in::sign_out))
        .add_page(&at("/{*other}"), any(async || Error::NotFound))
}

/// 303: shows another page, by `GET`.
fn see_other(path: &str) -> Response {
    let location = header::HeaderValue::try_from(path);
    let location = location.unwrap_or(header::HeaderValue::from_static(PAGES));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}
