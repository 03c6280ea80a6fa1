//! Recognizes a client when it comes back.
//!
//! Each client of Prefect keeps its own cookies. A refusal gives the client a cookie, and that
//! identifies it even if many clients share its address. With CSRF protection, a client names
//! itself. Other clients are distinguished by their address and by their headers.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::ids;

/// The cookie that identifies a client. It grants nothing.
const COOKIE: &str = "leasehold-client";
const CSRF_CLIENT: HeaderName = HeaderName::from_static("prefect-csrf-client");
/// Headers in which a client describes itself, the same in each of its requests.
const SAID: [HeaderName; 6] = [
    header::USER_AGENT,
    HeaderName::from_static("x-prefect-flow-id"),
    HeaderName::from_static("x-prefect-flow-name"),
    HeaderName::from_static("x-prefect-deployment-id"),
    HeaderName::from_static("x-prefect-worker-id"),
    HeaderName::from_static("x-prefect-worker-name"),
];

/// What identifies the client of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    /// The client, if it has a cookie or names itself.
    pub(crate) client: Option<ClientId>,
    /// A digest of the headers in which the client describes itself; two clients may send the same.
    pub(crate) said: u64,
    /// Whether the client keeps cookies, and so comes back with the one that it was given.
    pub(crate) keeps_cookies: bool,
}

/// The identity of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClientId(u64);

impl ClientId {
    fn of(text: &str) -> Self {
        Self(digest(|hasher| text.hash(hasher)))
    }

    /// A new client, and the cookie that will identify it.
    pub(crate) fn new() -> (Self, Option<HeaderValue>) {
        let id = ids::random().simple().to_string();
        let cookie = format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax");
        (Self::of(&id), HeaderValue::try_from(cookie).ok())
    }
}

impl Identity {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let (mut named, mut said, mut keeps_cookies) = (None, 0_u64, false);
        // One pass over the few headers costs less than a look-up of each name.
        for (name, value) in headers {
            if SAID.contains(name) {
                said = said.wrapping_add(digest(|hasher| (name, value).hash(hasher)));
                keeps_cookies |=
                    name == header::USER_AGENT && value.as_bytes().starts_with(b"prefect/");
            } else if name == CSRF_CLIENT {
                named = named.or(value.to_str().ok());
            }
        }
        let client = named.or_else(|| cookie(headers)).map(ClientId::of);
        Self { client, said, keeps_cookies }
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut cookies = lines.flat_map(|line| line.split(';')).filter_map(|it| it.split_once('='));
    cookies.find(|(name, _)| name.trim() == COOKIE).map(|(_, value)| value.trim())
}

/// Stays in this process, and is kept for seconds.
fn digest(write: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hasher = DefaultHasher::new();
    write(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(headers: &[(&'static str, &str)]) -> Identity {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Identity::of(&map)
    }

    #[test]
    fn a_client_is_recognized_by_its_cookie() {
        let (client, set_cookie) = ClientId::new();
        let given = set_cookie.unwrap().to_str().unwrap().to_owned();
        let pair = given.split(';').next().unwrap();
        assert_eq!(identity(&[("cookie", pair)]).client, Some(client));
        assert_eq!(identity(&[("cookie", &format!("a=b; {pair}; c"))]).client, Some(client));
        assert_eq!(identity(&[("cookie", "a=b")]).client, None);
        assert_ne!(ClientId::new().0, client);
    }

    #[test]
    fn a_client_that_names_itself_is_recognized_by_its_name() {
        let mine = identity(&[("prefect-csrf-client", "mine")]);
        assert!(mine.client.is_some());
        assert_ne!(mine.client, identity(&[("prefect-csrf-client", "yours")]).client);
    }

    #[test]
    fn headers_distinguish_clients() {
        let flow =
            |name| identity(&[("user-agent", "prefect/3.8.8"), ("x-prefect-flow-name", name)]);
        assert_eq!(flow("a").said, flow("a").said);
        assert_ne!(flow("a").said, flow("b").said);
        assert!(flow("a").keeps_cookies && !identity(&[("user-agent", "curl/8")]).keeps_cookies);
    }
}
