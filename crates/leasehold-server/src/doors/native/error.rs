//! The errors of the native door: always an object whose `detail` is a sentence. Further fields are
//! for programs.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use leasehold_api::leases::{EndedLease, MissingLimits, NoRoom, Status};
use leasehold_node::Unavailable;
use leasehold_prefect::{ErrorDetail, Invalid, Loc};
use serde::Serialize;
use serde_json::json as object;

use crate::http;
use crate::http::answer::{json, with_header};

/// How many faults of a request the sentence names.
const FAULTS_MAX: usize = 3;

/// Why a request of this door failed.
#[derive(Debug)]
pub(crate) enum Error {
    /// An error that all doors share.
    Http(http::Error),
    /// 422: the path, the query or the body is invalid.
    Invalid(Invalid),
    /// 415: a body whose `Content-Type` is not JSON.
    MediaType(String),
    /// 404: the limit whose leases were asked for does not exist.
    LimitNotFound,
    /// 404: there is no migration, because the server has no upstream.
    NoUpstream,
    /// 404: limits of the request do not exist, and it says `if_missing: error`.
    LimitsMissing(MissingLimits),
    /// 404: the lease is unknown or has ended.
    LeaseNotFound(EndedLease),
    /// 404: the lease is unknown. 410: the lease has ended.
    LeaseEnded(EndedLease),
    /// 409: the idempotency key was used for another request.
    KeyOfAnother(String),
    /// 422: the request wants more slots than the limit has: its name, its slots, those wanted.
    NeverRoom(String, u64, u64),
    /// 422: these limits have no decay, so they are no rate limits.
    NotRateLimits(String),
    /// 423: no room, with what the request waits for.
    NoRoom(NoRoom),
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
            Self::Http(error) => error.with_detail(),
            Self::Invalid(invalid) => json(
                StatusCode::from_u16(invalid.status()).unwrap_or(unprocessable),
                &Said::new(&invalid),
            ),
            Self::MediaType(media_type) => detail(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                &format!(
                    "The body's Content-Type is '{media_type}': it must be JSON. Send it with \
                     'Content-Type: application/json'."
                ),
            ),
            Self::LimitNotFound => {
                detail(StatusCode::NOT_FOUND, leasehold_prefect::error::LIMIT_NOT_FOUND)
            }
            Self::NoUpstream => detail(
                StatusCode::NOT_FOUND,
                "This server has no Prefect server behind it. Start it with --upstream URL to \
                 migrate.",
            ),
            Self::LimitsMissing(missing) => json(StatusCode::NOT_FOUND, &missing),
            Self::LeaseNotFound(ended) => json(StatusCode::NOT_FOUND, &ended),
            Self::LeaseEnded(ended) => match ended.status {
                Status::Unknown => json(StatusCode::NOT_FOUND, &ended),
                _ => json(StatusCode::GONE, &ended),
            },
            Self::KeyOfAnother(key) => detail(
                StatusCode::CONFLICT,
                &format!(
                    "The idempotency key '{key}' was used for a request with other limits, slots, \
                     mode or holder."
                ),
            ),
            Self::NeverRoom(name, slots, wanted) => detail(
                unprocessable,
                &format!(
                    "The limit '{name}' has {slots} slots, and {wanted} were asked for: there \
                     will never be room."
                ),
            ),
            Self::NotRateLimits(names) => detail(
                unprocessable,
                &format!(
                    "Only concurrency limits with slot decay can be used for rate limiting. The \
                     following limits do not have a decay configured: '{names}'"
                ),
            ),
            Self::NoRoom(no_room) => {
                // Many clients read only whole seconds.
                let seconds = no_room.retry_after_seconds.ceil().max(1.0) as u64;
                let locked = json(StatusCode::LOCKED, &no_room);
                with_header(locked, header::RETRY_AFTER, HeaderValue::from(seconds))
            }
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

fn detail(status: StatusCode, sentence: &str) -> Response {
    json(status, &object!({"detail": sentence}))
}

/// What is wrong with a request: a sentence first, and then every fault. A number of any size stays
/// as it was sent.
#[derive(Serialize)]
struct Said<'error> {
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(flatten)]
    invalid: &'error Invalid,
}

impl<'error> Said<'error> {
    fn new(invalid: &'error Invalid) -> Self {
        // The others have a `detail` of their own.
        let detail = match invalid {
            Invalid::Fields { details, .. } => Some(sentence(details)),
            _ => None,
        };
        Self { detail, invalid }
    }
}

/// `body.limits.0.name: Field required; …`
fn sentence(faults: &[ErrorDetail]) -> String {
    let fault = |fault: &ErrorDetail| {
        let steps = fault.loc.iter().map(|step| match step {
            Loc::Name(name) => name.to_string(),
            Loc::Index(index) => index.to_string(),
        });
        let steps: Vec<_> = steps.collect();
        format!("{}: {}", steps.join("."), fault.msg)
    };
    let mut named: Vec<_> = faults.iter().take(FAULTS_MAX).map(fault).collect();
    if let Some(more) = faults.len().checked_sub(FAULTS_MAX).filter(|more| *more > 0) {
        named.push(format!("and {more} more"));
    }
    named.join("; ")
}
