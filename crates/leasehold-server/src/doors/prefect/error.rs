//! The errors of the Prefect door, in the shapes of the contract.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use leasehold_node::Unavailable;
use leasehold_prefect::Invalid;
use leasehold_prefect::error::{self as bodies, Detail};

use crate::acquire::ComeBack;
use crate::http;
use crate::http::answer::{json, with_header};

/// Why a request of this door failed.
#[derive(Debug)]
pub(crate) enum Error {
    /// An error that all doors share.
    Http(http::Error),
    /// 422: the path, the query or the body is invalid.
    Invalid(Invalid),
    /// 404: a Prefect server serves this and ours does not; the sentence says so.
    NotServed(String),
    /// 410: the same, for clients that would hide the sentence of a 404.
    NeverThere(String),
    /// 422: a task that nothing would ever run.
    NeverRuns(String),
    /// 404: no such limit.
    LimitNotFound,
    /// 404: no such tag limit.
    TagLimitNotFound,
    /// 404: no such record.
    RecordNotFound(&'static str),
    /// 410: the lease to renew has ended; the sentence says how.
    LeaseGone(Cow<'static, str>),
    /// 409: another limit has this name, or a field that needs a value is `null`.
    Conflict,
    /// 409: the path is the id of one limit and the name of another.
    Ambiguous(String),
    /// 422: the request wants more slots than the limit has.
    TooManySlots,
    /// 422: these limits have no decay, so they are no rate limits.
    NotRateLimits(String),
    /// 423: no room. Without [`ComeBack`], waiting is in vain.
    Locked(Cow<'static, str>, Option<ComeBack>),
    /// 422: the client's name is too long to be kept.
    ClientNameTooLong(usize),
    /// 422: a request for a CSRF token on a server without CSRF protection.
    CsrfDisabled,
}

impl Error {
    pub(crate) const PATH_NOT_FOUND: Self = Self::Http(http::Error::PathNotFound);
    pub(crate) const UNEXPECTED: Self = Self::Http(http::Error::Unexpected);
    pub(crate) const OVERLOADED: Self =
        Self::Http(http::Error::Unavailable(Unavailable::Overloaded));
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
        match self {
            Self::Http(error) => error.into_response(),
            Self::Invalid(invalid) => {
                json(StatusCode::from_u16(invalid.status()).unwrap_or(unprocessable), &invalid)
            }
            Self::NotServed(sentence) => detail(StatusCode::NOT_FOUND, sentence),
            Self::NeverThere(sentence) => detail(StatusCode::GONE, sentence),
            Self::NeverRuns(sentence) => detail(unprocessable, sentence),
            Self::LimitNotFound => detail(StatusCode::NOT_FOUND, bodies::LIMIT_NOT_FOUND),
            Self::TagLimitNotFound => detail(StatusCode::NOT_FOUND, bodies::TAG_LIMIT_NOT_FOUND),
            Self::RecordNotFound(sentence) => detail(StatusCode::NOT_FOUND, sentence),
            Self::LeaseGone(sentence) => detail(StatusCode::GONE, sentence),
            Self::Conflict => detail(StatusCode::CONFLICT, bodies::INTEGRITY_CONFLICT),
            Self::Ambiguous(sentence) => detail(StatusCode::CONFLICT, sentence),
            Self::TooManySlots => detail(unprocessable, bodies::SLOTS_OVER_LIMIT),
            Self::NotRateLimits(names) => detail(unprocessable, not_rate_limits(&names)),
            Self::Locked(sentence, come_back) => locked(sentence, come_back),
            Self::ClientNameTooLong(chars_max) => detail(
                unprocessable,
                format!("The name of a client has at most {chars_max} characters."),
            ),
            Self::CsrfDisabled => detail(unprocessable, "CSRF protection is disabled."),
        }
    }
}

impl From<http::Error> for Error {
    fn from(error: http::Error) -> Self {
        Self::Http(error)
    }
}

impl From<Unavailable> for Error {
    fn from(unavailable: Unavailable) -> Self {
        Self::Http(unavailable.into())
    }
}

impl From<Invalid> for Error {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

/// The sentence for limits without decay that were used as rate limits.
fn not_rate_limits(names: &str) -> String {
    format!(
        "Only concurrency limits with slot decay can be used for rate limiting. The following \
         limits do not have a decay configured: '{names}'"
    )
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

fn detail(status: StatusCode, sentence: impl Into<Cow<'static, str>>) -> Response {
    json(status, &Detail::new(sentence))
}
