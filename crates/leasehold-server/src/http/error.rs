//! Failures as HTTP, in the shapes that the contract gives them. Nowhere else.

use std::borrow::Cow;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use leasehold_api::leases::EndedLease;
use leasehold_engine::{EndReason, Ending, Gone};
use leasehold_node::Unavailable;
use leasehold_prefect::Invalid;
use leasehold_prefect::error::{self as bodies, Detail, Exception};
use serde::Serialize;
use uuid::Uuid;

use crate::access::gate::{Foreign, Unsound};
use crate::acquire::ComeBack;
use crate::doors::native::error::DoorError;
use crate::doors::prefect::convert;

/// Everything that a handler can answer instead of success.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// 422: the request does not say what it must.
    Invalid(Invalid),
    /// 404: no such path.
    PathNotFound,
    /// 404: a Prefect server has it, and this one says in a sentence that it has not.
    NotServed(String),
    /// 410: the same, to a client that says something else of a 404.
    NeverThere(String),
    /// 422: what nothing would ever run.
    NeverRuns(String),
    /// 404: no such limit.
    LimitNotFound,
    /// 404: no such limit of a tag.
    TagLimitNotFound,
    /// 404: no such record.
    RecordNotFound(&'static str),
    /// 404: no such lease.
    LeaseNotFound(Uuid, Gone),
    /// 410: a lease to be renewed is dead.
    LeaseGone(Gone),
    /// What the door for leases that is ours alone refuses.
    Door(DoorError),
    /// 409: a name that another limit has, or a `null` where there must be a value.
    Conflict,
    /// 409: a path that is the id of one limit and the name of another.
    Ambiguous(String),
    /// 422: more slots than the limit has.
    TooManySlots,
    /// 422: used as rate limits, but without decay.
    NotRateLimits(String),
    /// 423: no room; come back so, or never.
    Locked(Cow<'static, str>, Option<ComeBack>),
    /// 400: the client speaks another version of the API.
    Version(String),
    /// 415: a body that says that it is no JSON, where it must be.
    MediaType(String),
    /// 426: a WebSocket was asked for without saying so.
    UpgradeRequired,
    /// 401.
    Unauthorized,
    /// 403: there is no WebSocket here.
    NoSocket,
    /// 400 or 501: a head that others may read differently.
    Unsound(Unsound),
    /// 403: a page in a browser that is not ours.
    ForeignPage(Foreign),
    /// 403: a write without a valid CSRF token.
    Csrf(&'static str),
    /// 422: a client's name that is too long to be kept.
    ClientNameTooLong(usize),
    /// 422: asked for a CSRF token that nobody needs.
    CsrfDisabled,
    /// 405, with the methods that there are.
    MethodNotAllowed(HeaderValue),
    /// 408: the body did not come.
    BodyTimeout,
    /// 413: the body is too large.
    BodyTooLarge(usize),
    /// 400: the connection broke while the body was read.
    BodyBroken,
    /// 503, for now.
    Unavailable(Unavailable),
    /// 500: a defect of ours.
    Unexpected,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Invalid(invalid) => {
                let status = StatusCode::from_u16(invalid.status())
                    .unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
                json(status, &invalid)
            }
            Self::PathNotFound => detail(StatusCode::NOT_FOUND, "Not Found"),
            Self::NeverRuns(sentence) => detail(StatusCode::UNPROCESSABLE_ENTITY, sentence),
            Self::NeverThere(sentence) => detail(StatusCode::GONE, sentence),
            Self::NotServed(sentence) => detail(StatusCode::NOT_FOUND, sentence),
            Self::LimitNotFound => detail(StatusCode::NOT_FOUND, bodies::LIMIT_NOT_FOUND),
            Self::TagLimitNotFound => detail(StatusCode::NOT_FOUND, bodies::TAG_LIMIT_NOT_FOUND),
            Self::RecordNotFound(sentence) => detail(StatusCode::NOT_FOUND, sentence),
            Self::LeaseNotFound(id, gone) => {
                let ended = crate::doors::native::convert::ended(id, &gone);
                let detail = lease_not_found(gone).into_owned();
                json(StatusCode::NOT_FOUND, &EndedLease { detail, ..ended })
            }
            Self::LeaseGone(gone) => detail(StatusCode::GONE, lease_gone(gone)),
            Self::Door(error) => error.into_response(),
            Self::Conflict => detail(StatusCode::CONFLICT, bodies::INTEGRITY_CONFLICT),
            Self::Ambiguous(sentence) => detail(StatusCode::CONFLICT, sentence),
            Self::TooManySlots => {
                detail(StatusCode::UNPROCESSABLE_ENTITY, bodies::SLOTS_OVER_LIMIT)
            }
            Self::NotRateLimits(names) => detail(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!(
                    "Only concurrency limits with slot decay can be used for rate limiting. The \
                     following limits do not have a decay configured: '{names}'"
                ),
            ),
            Self::Locked(sentence, come_back) => locked(sentence, come_back),
            Self::Version(sentence) => detail(StatusCode::BAD_REQUEST, sentence),
            // A browser asks its user then.
            Self::Unauthorized => with_header(
                exception(StatusCode::UNAUTHORIZED, bodies::UNAUTHORIZED),
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(r#"Basic realm="Leasehold", charset="UTF-8""#),
            ),
            Self::MediaType(media_type) => detail(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!(
                    "The body's Content-Type is '{media_type}': it must be JSON. Send it with \
                     'Content-Type: application/json'."
                ),
            ),
            Self::UpgradeRequired => with_header(
                detail(StatusCode::UPGRADE_REQUIRED, UPGRADE_REQUIRED),
                header::UPGRADE,
                HeaderValue::from_static("websocket"),
            ),
            Self::NoSocket => StatusCode::FORBIDDEN.into_response(),
            Self::Unsound(unsound) => {
                let status = match unsound {
                    Unsound::Host => StatusCode::BAD_REQUEST,
                    Unsound::Encoding => StatusCode::NOT_IMPLEMENTED,
                };
                closing(detail(status, unsound.to_string()))
            }
            Self::ForeignPage(foreign) => detail(StatusCode::FORBIDDEN, foreign.to_string()),
            Self::Csrf(sentence) => detail(StatusCode::FORBIDDEN, sentence),
            Self::ClientNameTooLong(chars_max) => detail(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("The name of a client has at most {chars_max} characters."),
            ),
            Self::CsrfDisabled => {
                detail(StatusCode::UNPROCESSABLE_ENTITY, "CSRF protection is disabled.")
            }
            Self::MethodNotAllowed(allow) => with_header(
                detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
                header::ALLOW,
                allow,
            ),
            Self::BodyTimeout => closing(detail(
                StatusCode::REQUEST_TIMEOUT,
                "The request body did not arrive in time.",
            )),
            Self::BodyTooLarge(bytes_max) => detail(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("The request body is larger than {bytes_max} bytes."),
            ),
            Self::BodyBroken => {
                detail(StatusCode::BAD_REQUEST, "The request body could not be read.")
            }
            Self::Unavailable(full @ Unavailable::TooManyLimits) => {
                detail(StatusCode::UNPROCESSABLE_ENTITY, full.to_string())
            }
            Self::Unavailable(unavailable) => with_header(
                exception(StatusCode::SERVICE_UNAVAILABLE, bodies::SERVICE_UNAVAILABLE),
                header::RETRY_AFTER,
                HeaderValue::from_static(retry_after_seconds(unavailable)),
            ),
            Self::Unexpected => {
                tracing::error!("a command had an outcome of another command");
                exception(StatusCode::INTERNAL_SERVER_ERROR, bodies::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

impl From<Invalid> for ApiError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<DoorError> for ApiError {
    fn from(error: DoorError) -> Self {
        Self::Door(error)
    }
}

impl From<Unavailable> for ApiError {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable)
    }
}

fn locked(sentence: Cow<'static, str>, come_back: Option<ComeBack>) -> Response {
    let mut locked = detail(StatusCode::LOCKED, sentence);
    let Some(ComeBack { after_seconds, cookie }) = come_back else { return locked };
    if let Ok(seconds) = HeaderValue::try_from(format!("{after_seconds:?}")) {
        locked = with_header(locked, header::RETRY_AFTER, seconds);
    }
    match cookie {
        Some(cookie) => with_header(locked, header::SET_COOKIE, cookie),
        None => locked,
    }
}

/// An overload passes quickly; a full disk or a restart takes a little longer.
fn retry_after_seconds(unavailable: Unavailable) -> &'static str {
    match unavailable {
        Unavailable::Overloaded | Unavailable::TooManyLimits => "1",
        Unavailable::TooManyLeases => "10",
        Unavailable::Journal | Unavailable::Stopping => "2",
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, APPLICATION_JSON)], bytes).into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What a request hears that reached a WebSocket's path without the headers of one.
pub(crate) const UPGRADE_REQUIRED: &str = "This is a WebSocket, and the request came without 'Upgrade: \
     websocket' and 'Connection: upgrade'. If a Prefect client sent it, a proxy in between drops \
     these headers: let it pass them on (nginx: proxy_http_version 1.1; proxy_set_header Upgrade \
     $http_upgrade; proxy_set_header Connection \"upgrade\").";

pub(crate) const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(crate) fn detail(status: StatusCode, sentence: impl Into<Cow<'static, str>>) -> Response {
    json(status, &Detail::new(sentence))
}

fn exception(status: StatusCode, sentence: &'static str) -> Response {
    json(status, &Exception::new(sentence))
}

/// An answer after which the connection ends.
fn closing(response: Response) -> Response {
    with_header(response, header::CONNECTION, HeaderValue::from_static("close"))
}

pub(crate) fn with_header(
    mut response: Response,
    name: HeaderName,
    value: HeaderValue,
) -> Response {
    response.headers_mut().insert(name, value);
    response
}

/// What a renewal of a dead lease says. The contract's sentence to the byte, unless an
/// operator took this very lease or the server thought its holder gone: then its holder is told,
/// for it did nothing wrong. Leases that went with their tag, reset or deleted, have no reason; the
/// contract covers them.
fn lease_gone(gone: Gone) -> Cow<'static, str> {
    match gone.0 {
        Some(Ending { how: EndReason::Revoked { reason: Some(reason), by }, at, .. }) => {
            let (by, at) = (by.as_deref().unwrap_or("an operator"), convert::timestamp(at));
            format!("Lease not found - it was revoked by {by} at {at}: {reason}").into()
        }
        Some(Ending { how: EndReason::Released, at, .. }) => {
            format!("Lease not found - it was released at {}", convert::timestamp(at)).into()
        }
        Some(Ending {
            how: EndReason::Revoked { reason: None, .. } | EndReason::Expired, ..
        })
        | None => bodies::LEASE_NOT_FOUND.into(),
        Some(Ending { how: EndReason::Repossessed { evidence }, at, .. }) => {
            let at = convert::timestamp(at);
            format!("Lease not found - it was repossessed at {at}: {evidence}").into()
        }
    }
}

/// What a look at a lease that is not there says.
fn lease_not_found(gone: Gone) -> Cow<'static, str> {
    match &gone.0 {
        None => "Lease not found".into(),
        Some(Ending { how: EndReason::Released, .. }) => lease_gone(gone),
        Some(Ending { how: EndReason::Expired, at, .. }) => {
            format!("Lease not found - it expired at {}", convert::timestamp(*at)).into()
        }
        Some(Ending { how: EndReason::Revoked { reason: None, .. }, at, .. }) => {
            let at = convert::timestamp(*at);
            format!("Lease not found - its tag was reset or deleted at {at}").into()
        }
        Some(Ending {
            how: EndReason::Revoked { reason: Some(_), .. } | EndReason::Repossessed { .. },
            ..
        }) => lease_gone(gone),
    }
}
