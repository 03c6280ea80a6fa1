//! Checks that RFC 9112 demands of a request's head and that the HTTP library leaves to us: two
//! servers in a row must not read one request differently.

use axum::http::{HeaderMap, Request, Version, header};

/// What is wrong with a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsound {
    /// 400: there is none, or there are several.
    #[error("A request of HTTP/1.1 has one Host header.")]
    Host,
    /// 501: a body in an encoding that we do not know.
    #[error("A body is sent as it is or in chunks. There is no other Transfer-Encoding here.")]
    Encoding,
}

/// Refuses a head that another server may read differently.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), Unsound> {
    let headers = request.headers();
    let mut hosts = headers.get_all(header::HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() || (first.is_none() && request.version() == Version::HTTP_11) {
        return Err(Unsound::Host);
    }
    if is_encoded(headers) { Err(Unsound::Encoding) } else { Ok(()) }
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(first) = encodings.next() else { return false };
    !first.as_bytes().eq_ignore_ascii_case(b"chunked") || encodings.next().is_some()
}
