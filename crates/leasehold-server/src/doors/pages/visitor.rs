//! Who looks at a page: a browser that is signed in, if the server has a password.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use maud::Markup;

use super::error::Error;
use super::shell::answer;
use crate::access::gate::PAGES;
use crate::access::visits::Visits;
use crate::app::App;

/// The cookie of a visit. It means nothing but the browser.
const VISIT: &str = "leasehold-visit";
/// The cookie that stands for the password.
const SIGNED_IN: &str = "leasehold-signed-in";
/// A browser, signed in or not.
pub(super) struct Guest {
    visit: String,
    is_new: bool,
    is_secure: bool,
    token: String,
    /// Whether it may see the pages.
    pub(super) is_admitted: bool,
    /// Whether the server has a password.
    pub(super) has_password: bool,
    /// Whether limits are changed on these pages. Behind an upstream they are not: it has each
    /// limit as well, and a change here would not reach it.
    pub(super) changes_limits: bool,
}

/// A browser that may see the pages.
pub(super) struct Visitor(pub(super) Guest);

impl Guest {
    pub(super) fn of(headers: &HeaderMap, app: &App) -> Self {
        let gate = app.gate();
        let known = cookie(headers, VISIT).filter(|visit| !visit.is_empty() && visit.len() <= 64);
        let (visit, is_new) =
            known.map_or_else(|| (Visits::begin(), true), |visit| (visit.to_owned(), false));
        let now = app.ledger().clock().now();
        let is_signed_in =
            || cookie(headers, SIGNED_IN).is_some_and(|it| gate.visits().is_signed_in(it, now));
        let scheme = headers.get("x-forwarded-proto");
        Self {
            token: gate.visits().token(&visit),
            visit,
            is_new,
            is_secure: scheme.is_some_and(|scheme| scheme == "https"),
            is_admitted: gate.is_authorized(headers) || is_signed_in(),
            has_password: gate.needs_authentication(),
            changes_limits: app.upstream().is_none(),
        }
    }

    /// The token that its forms carry.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Whether a form with this token is one of its own.
    pub(super) fn wrote(&self, token: &str, app: &App) -> bool {
        !self.is_new && app.gate().visits().is_token(&self.visit, token)
    }

    /// The answer with a page.
    pub(super) fn answer(&self, status: StatusCode, page: Markup) -> Response {
        let mut response = answer(status, page);
        if self.is_new {
            self.set_cookie(&mut response, VISIT, &self.visit);
        }
        response
    }

    /// Signs the browser in, or out with an empty value.
    pub(super) fn set_signed_in(&self, response: &mut Response, value: &str) {
        self.set_cookie(response, SIGNED_IN, value);
    }

    fn set_cookie(&self, response: &mut Response, name: &str, value: &str) {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let age = if value.is_empty() { "; Max-Age=0" } else { "" };
        let cookie = format!("{name}={value}; Path={PAGES}; HttpOnly; SameSite=Lax{secure}{age}");
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
}

fn cookie<'headers>(headers: &'headers HeaderMap, name: &str) -> Option<&'headers str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(|line| line.split(';')).filter_map(|it| it.split_once('='));
    cookies.find(|(known, _)| known.trim() == name).map(|(_, value)| value.trim())
}

impl FromRequestParts<App> for Guest {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Self::Rejection> {
        Ok(Self::of(&parts.headers, app))
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Error> {
        let guest = Guest::of(&parts.headers, app);
        if guest.is_admitted {
            return Ok(Self(guest));
        }
        Err(Error::SignIn(parts.uri.path_and_query().map_or(PAGES, |it| it.as_str()).to_owned()))
    }
}
