//! Pages that say why there is no page.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use leasehold_node::Unavailable;
use maud::html;

use super::{see_other, shell};
use crate::access::gate::PAGES;

/// Why there is no page.
#[derive(Debug)]
pub(super) enum Error {
    /// There is no such page, or no such limit any more.
    NotFound,
    /// The browser is not signed in. It wanted this path.
    SignIn(String),
    /// The form is not from this server, or from before its last start.
    OldForm,
    /// The form did not arrive whole.
    Unreadable,
    /// The Prefect server behind this one has the limit as well.
    Upstream,
    /// The ledger gave no answer.
    Unavailable(Unavailable),
}

impl From<Unavailable> for Error {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, title, sentence) = match self {
            Self::SignIn(path) => {
                let next: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
                return see_other(&format!("{PAGES}/sign-in?next={next}"));
            }
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "There is nothing here",
                "The limit or the lease may have been deleted, or it has ended.".to_owned(),
            ),
            Self::OldForm => (
                StatusCode::FORBIDDEN,
                "This form is too old",
                "The server was restarted since the form was opened, or the browser keeps no \
                 cookies. Nothing was changed. Go back, load the page again, and send it once more."
                    .to_owned(),
            ),
            Self::Unreadable => (
                StatusCode::BAD_REQUEST,
                "The form did not arrive",
                "Nothing was changed. Go back and send it once more.".to_owned(),
            ),
            Self::Upstream => (
                StatusCode::CONFLICT,
                "Change this limit on Prefect’s own page",
                "The Prefect server behind this one has each limit as well. A change on its pages \
                 reaches both servers, and so does one with the command leasehold gcl. Nothing was \
                 changed."
                    .to_owned(),
            ),
            Self::Unavailable(unavailable) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The server cannot answer now",
                format!("{unavailable}. Leases that are held stay held. Try again in a moment."),
            ),
        };
        let main = html! {
            h1 { (title) }
            p { (sentence) }
            p { a href=(PAGES) { "All limits" } }
        };
        let mut response = shell::answer(status, shell::bare(title, &main));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        response
    }
}
