//! The page of a limit: its holders, its waiters, why it is full, and its events.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_engine::{LimitRef, Page};
use leasehold_records::EventFilter;

use self::shown::{SHOWN_MAX, Shown};
use super::error::Error;
use super::frame::{self, Section};
use super::visitor::Visitor;
use super::{change, runs};
use crate::app::App;
use crate::figures;

mod chart;
mod shown;
mod view;
mod why;

/// How many events a page shows.
const EVENTS_MAX: u64 = 20;

pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let view = change::find(&app, &id).await?;
    let limit = LimitRef::Id(view.limit.id);
    let first = Page { offset: 0, limit: SHOWN_MAX };
    let held = app.ledger().held(limit.clone(), first).await?.ok_or(Error::NotFound)?;
    let waiters = app.ledger().waiters(limit, first).await?.ok_or(Error::NotFound)?;
    let events = match app.event_log() {
        None => None,
        Some(log) => {
            let filter = EventFilter {
                limit: Some(view.limit.name.to_string()),
                is_newest_first: true,
                limit_count: EVENTS_MAX,
                ..EventFilter::default()
            };
            Some(log.find(filter).await?.events)
        }
    };
    let holders = held.leases.iter().filter_map(|held| held.lease.holder.as_ref());
    let holders = holders.chain(waiters.iter().filter_map(|waiter| waiter.holder.as_ref()));
    let runs = runs::of(&app, holders).await;
    let now = app.ledger().clock().now();
    let charts = match app.recorder() {
        None => None,
        Some(recorder) => {
            let name = view.limit.name.to_string();
            Some(figures::chart(app.figures(), recorder, name, now).await?)
        }
    };
    let (view, held, waiters) = (&view, &held, &waiters);
    let shown = Shown { view, held, waiters, events, charts, runs, now };
    let main = view::limit(&visitor, &shown);
    let page = frame::page(&app, &visitor, Section::Concurrency, shown.name(), &main);
    Ok(visitor.0.answer(StatusCode::OK, page))
}
