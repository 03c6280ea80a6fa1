//! Creating, changing, switching, resetting and deleting limits.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_engine::{
    Created, Deleted, LimitId, LimitPatch, LimitRef, LimitView, Scope, TAG_PREFIX, Updated,
};
use maud::Markup;
use uuid::Uuid;

use self::view::Shown;
use super::convert::{self, Faults, Wanted};
use super::error::Error;
use super::form::{Fields, Form};
use super::frame::{self, Section};
use super::visitor::Visitor;
use super::{list, see_other, show};
use crate::access::gate::{PAGES, is_page};
use crate::app::App;

mod view;

pub(super) async fn new(
    State(app): State<App>,
    visitor: Visitor,
    fields: Fields,
) -> Result<Response, Error> {
    changed_here(&app)?;
    let shown = Shown::new(&fields);
    let main = view::new(&visitor, &shown, &Faults::default());
    Ok(page(&app, &visitor, "New limit", StatusCode::OK, &main))
}

pub(super) async fn create(
    State(app): State<App>,
    Form { visitor, fields }: Form,
) -> Result<Response, Error> {
    changed_here(&app)?;
    let shown = Shown::new(&fields);
    let again = |faults: &Faults| {
        let main = view::new(&visitor, &shown, faults);
        Ok(page(&app, &visitor, "New limit", StatusCode::UNPROCESSABLE_ENTITY, &main))
    };
    let created = match convert::create(&fields, shown.is_tag, &app.config().bodies) {
        Err(faults) => return again(&faults),
        Ok(Wanted::New(limit)) => app.ledger().create_limit(limit).await?,
        Ok(Wanted::Tag(id, name, slots)) => {
            let known = LimitRef::Name(name.as_str().into());
            if app.ledger().limit(known, Scope::All).await?.is_some() {
                Created::NameTaken
            } else {
                app.ledger().put_tag_limit(id, name.into(), slots).await?
            }
        }
    };
    app.survey().forget().await;
    match created {
        Created::Made(view) | Created::Changed(view) => Ok(see_other(&list::path(view.limit.id))),
        Created::NameTaken => again(&Faults::one("name", taken(shown.is_tag, &shown.name))),
    }
}

pub(super) async fn edit(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    changed_here(&app)?;
    let view = find(&app, &id).await?;
    let main = view::edit(&visitor, &view, &Shown::of(&view), &Faults::default());
    Ok(page(&app, &visitor, &title("Edit", &view), StatusCode::OK, &main))
}

pub(super) async fn update(
    State(app): State<App>,
    Path(id): Path<String>,
    Form { visitor, fields }: Form,
) -> Result<Response, Error> {
    changed_here(&app)?;
    let view = find(&app, &id).await?;
    let shown = Shown::again(&fields, &view);
    let again = |faults: &Faults| {
        let main = view::edit(&visitor, &view, &shown, faults);
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Ok(page(&app, &visitor, &title("Edit", &view), status, &main))
    };
    let patch = match convert::patch(&fields, &view, &app.config().bodies) {
        Ok(patch) => patch,
        Err(faults) => return again(&faults),
    };
    let updated = app.ledger().update_limit(LimitRef::Id(view.limit.id), patch).await?;
    app.survey().forget().await;
    match updated {
        Updated::Done => Ok(see_other(&list::path(view.limit.id))),
        Updated::NotFound => Err(Error::NotFound),
        Updated::NameTaken => {
            again(&Faults::one("name", taken(view.limit.tag().is_some(), &shown.name)))
        }
    }
}

/// Switches a limit on or off, and goes back to where the switch was.
pub(super) async fn switch(
    State(app): State<App>,
    Path(id): Path<String>,
    Form { fields, .. }: Form,
) -> Result<Response, Error> {
    changed_here(&app)?;
    let limit = LimitRef::Id(parse(&id)?);
    let patch =
        LimitPatch { active: Some(fields.text("active") == "true"), ..LimitPatch::default() };
    let updated = app.ledger().update_limit(limit, patch).await?;
    app.survey().forget().await;
    let back = fields.text("back");
    let is_ours = is_page(back.split('?').next().unwrap_or_default());
    match updated {
        Updated::Done => Ok(see_other(if is_ours { back } else { PAGES })),
        Updated::NotFound | Updated::NameTaken => Err(Error::NotFound),
    }
}

pub(super) async fn ask_reset(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    let view = find(&app, &id).await?;
    let main = view::reset(&visitor, &view);
    Ok(page(&app, &visitor, &title("Reset", &view), StatusCode::OK, &main))
}

/// Frees all slots of a limit. Their holders learn it at their next renewal.
pub(super) async fn reset(
    State(app): State<App>,
    Path(id): Path<String>,
    Form { fields, .. }: Form,
) -> Result<Response, Error> {
    let view = find(&app, &id).await?;
    let said = fields.text("reason").trim();
    let reason = if said.is_empty() { "an operator reset the limit" } else { said };
    let reason = Some(bounded(reason).into());
    let updated = if view.limit.tag().is_some() {
        app.ledger().reset_tag(view.limit.name.clone(), Vec::new(), reason).await?
    } else {
        app.ledger().reset_limit(LimitRef::Id(view.limit.id), 0, reason).await?
    };
    app.survey().forget().await;
    match updated {
        Updated::Done => Ok(see_other(&list::path(view.limit.id))),
        Updated::NotFound | Updated::NameTaken => Err(Error::NotFound),
    }
}

pub(super) async fn ask_delete(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, Error> {
    changed_here(&app)?;
    let view = find(&app, &id).await?;
    let main = view::delete(&visitor, &view, None);
    Ok(page(&app, &visitor, &title("Delete", &view), StatusCode::OK, &main))
}

/// Deletes a limit if its name was typed.
pub(super) async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
    Form { visitor, fields }: Form,
) -> Result<Response, Error> {
    changed_here(&app)?;
    let view = find(&app, &id).await?;
    let tag = view.limit.tag();
    if fields.text("name") != typed(tag.unwrap_or(&view.limit.name)) {
        let wrong = "This is not its name. Nothing was deleted.";
        let main = view::delete(&visitor, &view, Some(wrong));
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return Ok(page(&app, &visitor, &title("Delete", &view), status, &main));
    }
    let scope = if tag.is_some() { Scope::Tags } else { Scope::All };
    let deleted = app.ledger().delete_limit(LimitRef::Id(view.limit.id), scope).await?;
    app.survey().forget().await;
    match deleted {
        Deleted::Done if tag.is_some() => Ok(see_other("/leasehold/tags")),
        Deleted::Done => Ok(see_other(PAGES)),
        Deleted::NotFound => Err(Error::NotFound),
    }
}

/// Whether limits are changed on these pages. Behind an upstream they are not: it has each limit as
/// well, and a change here would not reach it.
fn changed_here(app: &App) -> Result<(), Error> {
    if app.upstream().is_some() { Err(Error::Upstream) } else { Ok(()) }
}

/// What has to be typed for a name: what the page shows of it.
fn typed(name: &str) -> std::borrow::Cow<'_, str> {
    show::visible(name)
}

fn taken(is_tag: bool, name: &str) -> String {
    let what = if is_tag { "tag has a limit" } else { "limit has this name" };
    format!("Another {what}: “{}”.", show::visible(name))
}

/// The limit with this id.
pub(super) async fn find(app: &App, id: &str) -> Result<LimitView, Error> {
    let limit = LimitRef::Id(parse(id)?);
    app.ledger().limit(limit, Scope::All).await?.ok_or(Error::NotFound)
}

fn parse(id: &str) -> Result<LimitId, Error> {
    let id = id.parse::<Uuid>().map_err(|_| Error::NotFound)?;
    Ok(LimitId(id.as_u128()))
}

/// As much of an operator's sentence as the API takes.
pub(super) fn bounded(reason: &str) -> String {
    reason.chars().take(500).collect()
}

fn title(verb: &str, view: &LimitView) -> String {
    format!("{verb} {}", view.limit.name.strip_prefix(TAG_PREFIX).unwrap_or(&view.limit.name))
}

fn page(app: &App, visitor: &Visitor, title: &str, status: StatusCode, main: &Markup) -> Response {
    visitor.0.answer(status, frame::page(app, visitor, Section::Concurrency, title, main))
}
