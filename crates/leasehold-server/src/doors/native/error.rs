//! What the door for leases that is ours alone refuses: more than a sentence, where a program can
//! use it.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use leasehold_api::leases::{EndedLease, MissingLimits, NoRoom, Status};

use crate::http::error::{detail, json, with_header};

/// Why a lease was not granted, or is not there.
#[derive(Debug)]
pub(crate) enum DoorError {
    /// 404: limits that were named and insisted on do not exist.
    LimitsMissing(MissingLimits),
    /// 404: a lease that nobody knows; 410: one that has ended.
    LeaseEnded(EndedLease),
    /// 409: an idempotency key that was used for another request.
    KeyOfAnother(String),
    /// 422: more slots than the limit has, with its name, its slots and those wanted.
    NeverRoom(String, u64, u64),
    /// 423: no room, with everything that is known of it.
    NoRoom(NoRoom),
}

impl IntoResponse for DoorError {
    fn into_response(self) -> Response {
        match self {
            Self::LimitsMissing(missing) => json(StatusCode::NOT_FOUND, &missing),
            Self::LeaseEnded(ended) => match ended.status {
                Status::Unknown => json(StatusCode::NOT_FOUND, &ended),
                _ => json(StatusCode::GONE, &ended),
            },
            Self::KeyOfAnother(key) => detail(
                StatusCode::CONFLICT,
                format!(
                    "The idempotency key '{key}' was used for a request with other limits, slots, \
                     mode or holder."
                ),
            ),
            Self::NeverRoom(name, slots, wanted) => detail(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!(
                    "The limit '{name}' has {slots} slots, and {wanted} were asked for: there \
                     will never be room."
                ),
            ),
            Self::NoRoom(no_room) => {
                // Many clients read whole seconds alone.
                let seconds = no_room.retry_after_seconds.ceil().max(1.0) as u64;
                let locked = json(StatusCode::LOCKED, &no_room);
                with_header(locked, header::RETRY_AFTER, HeaderValue::from(seconds))
            }
        }
    }
}
