//! Why a request failed, as an enum that a caller can act on. Reads answers; sends nothing.

use std::time::Duration;

use leasehold_api::leases::{EndedLease, MissingLimits, NoRoom};
use serde_json::Value;

use crate::answer::Answer;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection, a broken one, or no answer in time. The request may have been carried out
    /// unless `is_unsent`.
    #[error("cannot reach {url}: {cause}")]
    Unreachable {
        /// The URL of the API.
        url: String,
        /// What the network said.
        cause: String,
        /// Whether the server cannot have seen the request.
        is_unsent: bool,
    },
    /// The body of the request cannot be written as JSON.
    #[error("the request cannot be written as JSON: {detail}")]
    Unwritable {
        /// What is wrong with it.
        detail: String,
    },
    /// 401: the server wants credentials, and they are missing or wrong.
    #[error("{url} refused the credentials: {detail}")]
    Unauthorized {
        /// The URL of the API.
        url: String,
        /// What the server said.
        detail: String,
    },
    /// 403: the server does not permit this request.
    #[error("the server does not permit this: {detail}")]
    Forbidden {
        /// What the server said.
        detail: String,
    },
    /// 404: what the request names does not exist.
    #[error("{detail}")]
    NotFound {
        /// What the server said.
        detail: String,
    },
    /// 404 for the path itself: an older server, another program, or a URL without `/api`.
    #[error("{url} does not serve {path}: it is an older Leasehold or another server")]
    NotServed {
        /// The URL of the API.
        url: String,
        /// The path below it.
        path: String,
    },
    /// 404: limits that the request names do not exist.
    #[error("{}", .0.detail)]
    LimitsMissing(MissingLimits),
    /// 423: there is no room, after waiting as long as the request allowed.
    #[error("{}", .0.detail)]
    Full(Box<NoRoom>),
    /// 422: the request asks for what no release can ever give: more slots than a limit has, or a
    /// rate of a limit without decay.
    #[error("{detail}")]
    NeverPossible {
        /// What the server said.
        detail: String,
    },
    /// 404 or 410: the lease has ended, or never was.
    #[error("{}", .0.detail)]
    Ended(Box<EndedLease>),
    /// 409: the request contradicts what exists, such as another limit with this name.
    #[error("{detail}")]
    Conflict {
        /// What the server said.
        detail: String,
    },
    /// 4xx: the request is wrong.
    #[error("the server refused the request with {status}: {detail}")]
    Invalid {
        /// The status of the answer.
        status: u16,
        /// What the server said, field by field.
        detail: String,
    },
    /// 408, 429, 502, 503, 504: the server, or a proxy before it, cannot answer now.
    #[error("{url} is unavailable ({status}): {detail}")]
    Unavailable {
        /// The URL of the API.
        url: String,
        /// The status of the answer.
        status: u16,
        /// What the server said.
        detail: String,
        /// When the server wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// 3xx: the API is somewhere else. A redirected write could be carried out twice, or as a read.
    #[error("{url} redirects to {to}: use that URL")]
    Redirected {
        /// The URL of the API.
        url: String,
        /// Where the server sends the client.
        to: String,
    },
    /// An answer that the API does not have: mostly of another program at this address.
    #[error("{url} gave an unexpected answer ({status}): {detail}")]
    Unexpected {
        /// The URL of the API.
        url: String,
        /// The status of the answer.
        status: u16,
        /// What is wrong with it, or its beginning.
        detail: String,
    },
}

impl Error {
    /// Whether the same request can succeed later although nobody changes anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unavailable { .. } | Self::Full(_))
    }

    /// Whether the server was not reached, or could not answer: it did not refuse the request.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unavailable { .. })
    }

    /// When the server wants to be asked again, if it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Full(no_room) => {
                Duration::try_from_secs_f64(no_room.retry_after_seconds.max(0.0)).ok()
            }
            _ => None,
        }
    }

    /// Whether the server has certainly not carried the request out.
    pub(crate) fn changed_nothing(&self) -> bool {
        match self {
            Self::Unreachable { is_unsent, .. } => *is_unsent,
            // A proxy answers 502 and 504 when it may have passed the request on.
            Self::Unavailable { status, .. } => matches!(status, 408 | 429 | 503),
            _ => false,
        }
    }

    /// The error that an answer means. `url` and `path` are those of the request.
    pub(crate) fn from_answer(answer: &Answer, url: &str, path: &str) -> Self {
        let said = Said::read(answer);
        let (url, status) = (url.to_owned(), answer.status);
        let detail = said.sentence;
        match status {
            300..400 => match answer.location.clone() {
                Some(to) => Self::Redirected { url, to },
                None => Self::Unexpected { url, status, detail },
            },
            401 => Self::Unauthorized { url, detail },
            403 => Self::Forbidden { detail },
            404 if said.is_path => Self::NotServed { url, path: path.to_owned() },
            404 | 410 => answer
                .read()
                .map(Self::LimitsMissing)
                .or_else(|_| answer.read().map(|ended| Self::Ended(Box::new(ended))))
                .unwrap_or(Self::NotFound { detail }),
            409 => Self::Conflict { detail },
            423 => match answer.read() {
                Ok(no_room) => Self::Full(Box::new(no_room)),
                Err(_) => Self::Invalid { status, detail },
            },
            408 | 429 | 502 | 503 | 504 => {
                Self::Unavailable { url, status, detail, retry_after: answer.retry_after }
            }
            422 if said.is_plain && takes_slots(path) => Self::NeverPossible { detail },
            400..500 => Self::Invalid { status, detail },
            _ => Self::Unexpected { url, status, detail },
        }
    }
}

/// What the body of an error says.
struct Said {
    sentence: String,
    /// Whether the server knows no such path.
    is_path: bool,
    /// Whether it is a sentence and lists no faults of the request.
    is_plain: bool,
}

/// Whether a request to this path asks for slots.
fn takes_slots(path: &str) -> bool {
    path == "/leases" || path.contains("/increment")
}

/// How much of a body that is no JSON an error shows.
const SHOWN_CHARS: usize = 200;

impl Said {
    fn read(answer: &Answer) -> Self {
        let body: Value = answer.read().unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let faults = ["detail", "exception_detail"].iter().find_map(|name| faults(body.get(name)?));
        // Prefect and Leasehold answer so for a path that they do not serve, and for no other.
        let is_path = match &body {
            Value::Object(object) => {
                object.len() == 1 && text("detail").as_deref() == Some("Not Found")
            }
            _ => true,
        };
        let shown = || {
            let text = String::from_utf8_lossy(&answer.body);
            let words: Vec<_> = text.split_whitespace().collect();
            words.join(" ").chars().take(SHOWN_CHARS).collect()
        };
        let sentence =
            text("detail").or(faults).or(text("exception_message")).unwrap_or_else(shown);
        let is_plain = body.as_object().is_some_and(|object| object.len() == 1);
        Self { sentence, is_path, is_plain }
    }
}

/// The faults of a request as pydantic lists them: `body.limit: Field required; …`
fn faults(list: &Value) -> Option<String> {
    let fault = |fault: &Value| {
        let step = |step: &Value| step.as_str().map_or_else(|| step.to_string(), str::to_owned);
        let steps: Vec<_> = fault.get("loc")?.as_array()?.iter().map(step).collect();
        Some(format!("{}: {}", steps.join("."), fault.get("msg")?.as_str()?))
    };
    let faults: Option<Vec<_>> = list.as_array()?.iter().map(fault).collect();
    faults.filter(|faults| !faults.is_empty()).map(|faults| faults.join("; "))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn error(status: u16, body: &'static str) -> Error {
        let body = Bytes::from_static(body.as_bytes());
        let answer = Answer { status, body, retry_after: None, location: None };
        Error::from_answer(&answer, "http://a/api", "/leases")
    }

    #[test]
    fn a_missing_path_is_not_a_missing_limit() {
        let not_served = error(404, r#"{"detail":"Not Found"}"#);
        assert!(matches!(not_served, Error::NotServed { .. }), "{not_served:?}");
        assert!(matches!(error(404, "<html>"), Error::NotServed { .. }));
        let missing = error(404, r#"{"detail":"There is no limit named 'a'.","missing":["a"]}"#);
        assert!(matches!(missing, Error::LimitsMissing(_)), "{missing:?}");
        let limit = error(404, r#"{"detail":"Concurrency Limit not found"}"#);
        assert_eq!(limit, Error::NotFound { detail: "Concurrency Limit not found".to_owned() });
    }

    #[test]
    fn faults_of_prefect_become_a_sentence() {
        let said = error(
            422,
            r#"{"exception_message":"Invalid request received.",
                "exception_detail":[{"loc":["body","limit"],"msg":"Field required"}]}"#,
        );
        assert_eq!(
            said.to_string(),
            "the server refused the request with 422: body.limit: Field required"
        );
        assert_eq!(
            error(500, r#"{"exception_message":"Internal Server Error"}"#).to_string(),
            "http://a/api gave an unexpected answer (500): Internal Server Error"
        );
    }
}
