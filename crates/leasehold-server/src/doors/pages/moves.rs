//! Moving a limit to the other side, from the page.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use uuid::Uuid;

use super::error::Error;
use super::form::Form;
use super::frame::{self, Section};
use super::visitor::Visitor;
use super::{see_other, show};
use crate::access::gate::PAGES;
use crate::app::App;
use crate::migration::{Migration, Moved, Outcome, Wanted};

/// Takes a limit over from the upstream, with the limits that are asked for together with it.
pub(super) async fn take_over(State(app): State<App>, form: Form) -> Result<Response, Error> {
    let (migration, wanted) = wanted(&app, &form).await?;
    let refused = match migration.advance(&wanted).await {
        Ok(moved) => refusals(&moved),
        Err(error) => vec![html! { (show::visible(&error.to_string())) }],
    };
    Ok(answer(&app, &form, "take-over", &refused))
}

/// Gives a limit back to the upstream.
pub(super) async fn give_back(State(app): State<App>, form: Form) -> Result<Response, Error> {
    let (migration, wanted) = wanted(&app, &form).await?;
    let refused = refusals(&migration.roll_back(&wanted).await);
    Ok(answer(&app, &form, "give-back", &refused))
}

/// The limit that the form names by its id: a name need not survive a form as it is.
async fn wanted(app: &App, form: &Form) -> Result<(Migration, Wanted), Error> {
    let migration = app.migration().ok_or(Error::NotFound)?;
    let id = form.fields.text("limit").parse::<Uuid>().map_err(|_| Error::NotFound)?;
    let report = migration.report().await?;
    let limit = report.limits.into_iter().find(|limit| limit.id.0 == id.as_u128());
    let name = limit.ok_or(Error::NotFound)?.name;
    let wanted = Wanted { limits: Some(vec![name]), alone: false, force: false, dry_run: false };
    Ok((migration.clone(), wanted))
}

fn refusals(moved: &[Moved]) -> Vec<Markup> {
    let refused = moved.iter().filter_map(|moved| match &moved.outcome {
        Outcome::Refused(why) => {
            Some(html! { b { (show::name(&moved.name)) } ": " (show::visible(why)) "." })
        }
        Outcome::Moved | Outcome::Unchanged => None,
    });
    refused.collect()
}

/// Back to the table, which shows what has moved; or a page that says why a limit did not.
fn answer(app: &App, form: &Form, path: &str, refused: &[Markup]) -> Response {
    if refused.is_empty() {
        return see_other(&format!("{PAGES}/migration"));
    }
    let visitor: &Visitor = &form.visitor;
    let main = html! {
        div.narrow {
            h1 { "It did not move" }
            @for why in refused { p { (why) } }
            form.fields method="post" action={ (PAGES) "/migration/" (path) } {
                (frame::token(visitor))
                input type="hidden" name="limit" value=(form.fields.text("limit"));
                div.actions {
                    button.primary type="submit" { "Try again" }
                    a href={ (PAGES) "/migration" } { "Back to the migration" }
                }
            }
        }
    };
    let page = frame::page(app, visitor, Section::Migration, "It did not move", &main);
    visitor.0.answer(StatusCode::CONFLICT, page)
}
