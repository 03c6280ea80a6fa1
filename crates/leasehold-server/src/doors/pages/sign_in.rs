//! The page on which a browser gives the password.

use axum::extract::FromRequest;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};

use super::error::Error;
use super::form::{Fields, OpenForm, TOKEN};
use super::visitor::Guest;
use super::{see_other, shell};
use crate::access::gate::{PAGES, is_page};
use crate::access::peer::Peer;
use crate::app::App;

pub(super) async fn page(guest: Guest, fields: Fields) -> Response {
    if guest.is_admitted {
        return see_other(&next(&fields));
    }
    guest.answer(StatusCode::OK, form(&guest, &next(&fields), "", None))
}

pub(super) async fn sign_in(State(app): State<App>, request: Request) -> Result<Response, Error> {
    let peer = request.extensions().get::<Peer>().copied();
    let OpenForm { guest, fields } = OpenForm::from_request(request, &app).await?;
    let (user, password) = (fields.text("user"), fields.text("password"));
    let now = app.ledger().clock().now();
    if !app.gate().accepts_token(&format!("{user}:{password}")) {
        app.gate().note_failed_login(peer.map(Peer::address), "/leasehold/sign-in", now);
        let wrong = "No such user with this password. It is the auth string that the server was \
                     started with: user, colon, password.";
        let page = form(&guest, &next(&fields), user, Some(wrong));
        return Ok(guest.answer(StatusCode::FORBIDDEN, page));
    }
    let mut response = see_other(&next(&fields));
    guest.set_signed_in(&mut response, &app.gate().visits().sign_in(now));
    Ok(response)
}

pub(super) async fn sign_out(OpenForm { guest, .. }: OpenForm) -> Response {
    let mut response = see_other(&format!("{PAGES}/sign-in"));
    guest.set_signed_in(&mut response, "");
    response
}

/// Where to go afterwards: a page of this server, and nowhere else.
fn next(fields: &Fields) -> String {
    let next = fields.text("next");
    let path = next.split('?').next().unwrap_or_default();
    if is_page(path) && next.is_ascii() { next.to_owned() } else { PAGES.to_owned() }
}

fn form(guest: &Guest, next: &str, user: &str, wrong: Option<&str>) -> Markup {
    let main = html! {
        h1 { "Sign in" }
        form.fields method="post" action={ (PAGES) "/sign-in" } {
            input type="hidden" name=(TOKEN) value=(guest.token());
            input type="hidden" name="next" value=(next);
            div.field {
                label for="user" { "User" }
                input #user name="user" value=(user) autocomplete="username" required
                    autocapitalize="none" spellcheck="false"
                    aria-describedby=[wrong.map(|_| "wrong")] aria-invalid=[wrong.map(|_| "true")];
            }
            div.field {
                label for="password" { "Password" }
                input #password name="password" type="password" autocomplete="current-password"
                    required aria-describedby=[wrong.map(|_| "wrong")]
                    aria-invalid=[wrong.map(|_| "true")];
                @if let Some(wrong) = wrong { p.wrong #wrong role="alert" { (wrong) } }
            }
            div.actions { button.primary type="submit" { "Sign in" } }
        }
    };
    shell::bare("Sign in", &main)
}
