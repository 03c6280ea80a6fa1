//! Taking a lease from its holder.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use leasehold_engine::LeaseId;
use maud::html;
use uuid::Uuid;

use super::error::Error;
use super::form::Form;
use super::frame::{self, Section};
use super::visitor::Visitor;
use super::{change, list, see_other, show};
use crate::app::App;

/// Who revoked a lease, for its holder: the page knows no names.
const BY: &str = "an operator, on the page";

pub(super) async fn ask(
    State(app): State<App>,
    visitor: Visitor,
    Path((id, lease)): Path<(String, String)>,
) -> Result<Response, Error> {
    let view = change::find(&app, &id).await?;
    let held = app.ledger().lease(parse(&lease)?).await?.map_err(|_| Error::NotFound)?;
    let path = list::path(view.limit.id);
    let main = html! {
        div.narrow {
            h1 { "Revoke a lease" }
            p { "Held by " (show::holder(held.lease.holder.as_ref())) " on "
                @for (at, name) in held.names.iter().enumerate() {
                    @if at > 0 { ", " } b { (show::name(name)) }
                }
                "." }
            p { "Its slots are free at once. The holder learns it at its next renewal; until then \
                 it may go on. Only a fencing token protects what it works on." }
            form.fields method="post"
                action={ (path) "/leases/" (lease_text(held.lease.id)) "/revoke" }
            {
                (frame::token(&visitor))
                div.field {
                    label for="reason" { "Reason, for the holder and the log" }
                    input #reason name="reason" maxlength="500" autocomplete="off";
                }
                div.actions {
                    button.danger type="submit" { "Revoke" }
                    a href=(path) { "Cancel" }
                }
            }
        }
    };
    let page = frame::page(&app, &visitor, Section::Concurrency, "Revoke a lease", &main);
    Ok(visitor.0.answer(StatusCode::OK, page))
}

pub(super) async fn revoke(
    State(app): State<App>,
    Path((id, lease)): Path<(String, String)>,
    Form { fields, .. }: Form,
) -> Result<Response, Error> {
    let view = change::find(&app, &id).await?;
    let said = fields.text("reason").trim();
    let reason = if said.is_empty() { "no reason was given" } else { said };
    let reason = change::bounded(reason).into();
    // A lease that has ended meanwhile is what was wanted.
    let _ = app.ledger().revoke(parse(&lease)?, Some(reason), Some(BY.into())).await?;
    app.survey().forget().await;
    Ok(see_other(&list::path(view.limit.id)))
}

fn parse(lease: &str) -> Result<LeaseId, Error> {
    let id = lease.parse::<Uuid>().map_err(|_| Error::NotFound)?;
    Ok(LeaseId(id.as_u128()))
}

/// The id of a lease as paths and pages show it.
pub(super) fn lease_text(lease: LeaseId) -> String {
    Uuid::from_u128(lease.0).to_string()
}
