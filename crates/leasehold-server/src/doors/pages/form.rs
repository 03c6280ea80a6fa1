//! What a form sends, and the query of a page.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;

use super::error::Error;
use super::visitor::{Guest, Visitor};
use crate::app::App;
use crate::http::body::Raw;

/// The field that carries the token of the visit.
pub(super) const TOKEN: &str = "token";

/// Fields by name.
pub(super) struct Fields(Vec<(String, String)>);

/// A form that this server wrote for a browser that may see the pages.
pub(super) struct Form {
    pub(super) visitor: Visitor,
    pub(super) fields: Fields,
}

/// A form that this server wrote, of a browser that need not be signed in.
pub(super) struct OpenForm {
    pub(super) guest: Guest,
    pub(super) fields: Fields,
}

impl Fields {
    fn parse(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// The text of a field; empty if the field is absent.
    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// The text of a field.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl FromRequestParts<App> for Fields {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Error> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default().as_bytes()))
    }
}

impl FromRequest<App> for OpenForm {
    type Rejection = Error;

    async fn from_request(request: Request, app: &App) -> Result<Self, Error> {
        let guest = Guest::of(request.headers(), app);
        let raw = Raw::from_request(request, app).await.map_err(|_| Error::Unreadable)?;
        let fields = Fields::parse(raw.bytes());
        if !guest.wrote(fields.text(TOKEN), app) {
            return Err(Error::OldForm);
        }
        Ok(Self { guest, fields })
    }
}

impl FromRequest<App> for Form {
    type Rejection = Error;

    async fn from_request(request: Request, app: &App) -> Result<Self, Error> {
        let is_admitted = Guest::of(request.headers(), app).is_admitted;
        if !is_admitted {
            return Err(Error::SignIn(crate::access::gate::PAGES.to_owned()));
        }
        let OpenForm { guest, fields } = OpenForm::from_request(request, app).await?;
        Ok(Self { visitor: Visitor(guest), fields })
    }
}
