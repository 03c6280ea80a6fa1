//! The errors that all doors share, and their answers.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use leasehold_node::Unavailable;
use serde::Serialize;

use crate::access::gate::Refused;
use crate::access::head::Unsound;
use crate::http::answer::{json, with_header};

/// Marks the answer to a request for slots of limits that are on their way to another server: it
/// can be asked there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved;

/// A failure that has nothing to do with limits, leases or runs.
#[derive(Debug)]
pub(crate) enum Error {
    /// 404: no such path.
    PathNotFound,
    /// 405, with the allowed methods.
    MethodNotAllowed(HeaderValue),
    /// 408: the body did not arrive in time.
    BodyTimeout,
    /// 413: the body is too large.
    BodyTooLarge(usize),
    /// 400: the connection broke while the body was read.
    BodyBroken,
    /// 426: the path of a WebSocket, without the headers of one.
    UpgradeRequired,
    /// 403: there is no WebSocket here.
    NoSocket,
    /// The gate refused the request before any route.
    Refused(Refused),
    /// 502: the Prefect server behind this one gave no answer; the sentence says why.
    BadGateway(String),
    /// 503, or 422 if there are too many limits.
    Unavailable(Unavailable),
    /// 503: these limits are on their way back to another server, or have just arrived there.
    Elsewhere(Vec<Arc<str>>),
    /// 500: a defect of this server.
    Unexpected,
}

/// The answer to a request without the headers of a WebSocket, at the path of one.
pub(crate) const UPGRADE_REQUIRED: &str = "This is a WebSocket, and the request came without 'Upgrade: \
     websocket' and 'Connection: upgrade'. If a Prefect client sent it, a proxy in between drops \
     these headers: let it pass them on (nginx: proxy_http_version 1.1; proxy_set_header Upgrade \
     $http_upgrade; proxy_set_header Connection \"upgrade\").";

const UNAUTHORIZED: &str = "Unauthorized";

/// The body of an error. When the recorded server fails, or when a request lacks credentials, its
/// body has only `exception_message`.
#[derive(Debug, Default, Serialize)]
struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exception_message: Option<Cow<'static, str>>,
}

impl IntoResponse for Error {
    /// In the shapes of the recorded server.
    fn into_response(self) -> Response {
        self.answer(false)
    }
}

impl Error {
    /// With a `detail` in every body.
    pub(crate) fn with_detail(self) -> Response {
        self.answer(true)
    }

    fn answer(self, always_detailed: bool) -> Response {
        if matches!(self, Self::NoSocket | Self::Refused(Refused::NoSocket)) {
            return StatusCode::FORBIDDEN.into_response();
        }
        if matches!(self, Self::Unexpected) {
            tracing::error!("a command had an outcome of another command");
        }
        let is_elsewhere = matches!(self, Self::Elsewhere(_));
        let sentence = self.sentence();
        let is_exception = self.is_exception();
        let body = Body {
            detail: (always_detailed || !is_exception).then(|| match self {
                Self::Refused(Refused::Unauthorized) => {
                    "The server wants its auth string, and it is missing or wrong.".into()
                }
                _ => sentence.clone(),
            }),
            exception_message: is_exception.then_some(sentence),
        };
        let mut answer = json(self.status(), &body);
        if is_elsewhere {
            answer.extensions_mut().insert(Moved);
        }
        match self.header() {
            Some((name, value)) => with_header(answer, name, value),
            None => answer,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::PathNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyBroken
            | Self::Refused(Refused::Version(_) | Refused::Unsound(Unsound::Host)) => {
                StatusCode::BAD_REQUEST
            }
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::NoSocket
            | Self::Refused(Refused::NoSocket | Refused::ForeignPage(_) | Refused::Csrf(_)) => {
                StatusCode::FORBIDDEN
            }
            Self::Refused(Refused::Unauthorized) => StatusCode::UNAUTHORIZED,
            Self::Refused(Refused::Unsound(Unsound::Encoding)) => StatusCode::NOT_IMPLEMENTED,
            Self::BadGateway(_) => StatusCode::BAD_GATEWAY,
            Self::Unavailable(Unavailable::TooManyLimits) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable(_) | Self::Elsewhere(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unexpected => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn is_exception(&self) -> bool {
        match self {
            Self::Unavailable(unavailable) => *unavailable != Unavailable::TooManyLimits,
            Self::BadGateway(_)
            | Self::Unexpected
            | Self::Elsewhere(_)
            | Self::Refused(Refused::Unauthorized) => true,
            _ => false,
        }
    }

    fn sentence(&self) -> Cow<'static, str> {
        match self {
            Self::PathNotFound => "Not Found".into(),
            Self::MethodNotAllowed(_) => "Method Not Allowed".into(),
            Self::BodyTimeout => "The request body did not arrive in time.".into(),
            Self::BodyTooLarge(bytes_max) => {
                format!("The request body is larger than {bytes_max} bytes.").into()
            }
            Self::BodyBroken => "The request body could not be read.".into(),
            Self::UpgradeRequired => UPGRADE_REQUIRED.into(),
            Self::NoSocket | Self::Refused(Refused::NoSocket) => "".into(),
            Self::Refused(Refused::Unsound(unsound)) => unsound.to_string().into(),
            Self::Refused(Refused::ForeignPage(foreign)) => foreign.to_string().into(),
            Self::Refused(Refused::Csrf(sentence)) => (*sentence).into(),
            Self::Refused(Refused::Version(sentence)) => sentence.clone().into(),
            Self::Refused(Refused::Unauthorized) => UNAUTHORIZED.into(),
            Self::BadGateway(sentence) => sentence.clone().into(),
            Self::Unavailable(full @ Unavailable::TooManyLimits) => full.to_string().into(),
            Self::Unavailable(_) => "Service Unavailable".into(),
            Self::Elsewhere(names) => {
                format!("On their way back to another server: {}. Ask again.", names.join(", "))
                    .into()
            }
            Self::Unexpected => "Internal Server Error".into(),
        }
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        let (name, value) = match self {
            // On this header a browser asks its user for a password.
            Self::Refused(Refused::Unauthorized) => {
                (header::WWW_AUTHENTICATE, r#"Basic realm="Leasehold", charset="UTF-8""#)
            }
            Self::UpgradeRequired => (header::UPGRADE, "websocket"),
            Self::MethodNotAllowed(allow) => return Some((header::ALLOW, allow.clone())),
            // The connection ends with this answer.
            Self::BodyTimeout | Self::Refused(Refused::Unsound(_)) => (header::CONNECTION, "close"),
            Self::Unavailable(Unavailable::TooManyLimits) => return None,
            // An overload passes quickly; a full disk or a restart takes a little longer.
            Self::Unavailable(Unavailable::Overloaded) => (header::RETRY_AFTER, "1"),
            Self::Unavailable(Unavailable::TooManyLeases) => (header::RETRY_AFTER, "10"),
            Self::Unavailable(_) | Self::BadGateway(_) => (header::RETRY_AFTER, "2"),
            Self::Elsewhere(_) => (header::RETRY_AFTER, "0"),
            _ => return None,
        };
        Some((name, HeaderValue::from_static(value)))
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<Unavailable> for Error {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}
