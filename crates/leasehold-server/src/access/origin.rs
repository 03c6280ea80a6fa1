//! The origin of a request for slots: its address, its client, and the flow, deployment and worker
//! that its headers name. It is for people who look at a lease. It is not verified, and no rule
//! depends on it.

use std::borrow::Cow;
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use leasehold_engine::{Named, Origin as Said};

use crate::access::identity::Identity;
use crate::access::peer::Peer;

/// How many characters of a header are kept.
const CHARACTERS_MAX: usize = 255;
/// How many origins are kept for sharing among leases.
const SHARED_MAX: usize = 1_024;

/// The origin of a request.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The address, if it is known.
    pub(crate) peer: Option<Peer>,
    /// What the lease records of the origin; `None` if nothing is known.
    pub(crate) said: Option<Arc<Said>>,
    /// What identifies the client.
    pub(crate) identity: Identity,
}

impl Origin {
    /// The address that counts against the share of one client.
    pub(crate) fn counted(&self) -> Option<IpAddr> {
        self.peer.and_then(Peer::counted)
    }
}

impl<S> FromRequestParts<S> for Origin
where
    Arc<Origins>: FromRef<S>,
    S: Sync,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<Peer>().copied();
        let said = Arc::<Origins>::from_ref(state)
            .shared(&Seen::new(peer.map(Peer::address), &parts.headers));
        Ok(Self { peer, said, identity: Identity::of(&parts.headers) })
    }
}

/// Recently seen origins: the leases of one client share one origin.
#[derive(Debug)]
pub(crate) struct Origins {
    hasher: RandomState,
    /// By the hash of the origin. A new origin replaces the one in its place.
    lately: Box<[Mutex<Option<Arc<Said>>>]>,
}

impl Default for Origins {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            lately: (0..SHARED_MAX).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Origins {
    fn shared(&self, seen: &Seen<'_>) -> Option<Arc<Said>> {
        if *seen == Seen::default() {
            return None;
        }
        let hash = self.hasher.hash_one(seen);
        let place = usize::try_from(hash % SHARED_MAX as u64).unwrap_or(0);
        let mut lately = self.lately.get(place)?.lock().unwrap_or_else(PoisonError::into_inner);
        match &*lately {
            Some(known) if seen.is(known) => Some(known.clone()),
            _ => Some(lately.insert(Arc::new(seen.to_owned())).clone()),
        }
    }
}

/// The origin as a request shows it.
#[derive(Debug, Default, PartialEq, Hash)]
struct Seen<'request> {
    address: Option<IpAddr>,
    client: Option<Cow<'request, str>>,
    flow: Pair<'request>,
    deployment: Pair<'request>,
    worker: Pair<'request>,
}

/// An id and a name.
#[derive(Debug, Default, PartialEq, Hash)]
struct Pair<'request>(Option<Cow<'request, str>>, Option<Cow<'request, str>>);

impl<'request> Seen<'request> {
    fn new(address: Option<IpAddr>, headers: &'request HeaderMap) -> Self {
        let address = address.map(|address| address.to_canonical());
        let mut seen = Self { address, ..Self::default() };
        // One pass over the few headers costs less than a look-up of each name.
        for (name, value) in headers {
            let place = match name.as_str() {
                "user-agent" => &mut seen.client,
                "x-prefect-flow-id" => &mut seen.flow.0,
                "x-prefect-flow-name" => &mut seen.flow.1,
                "x-prefect-deployment-id" => &mut seen.deployment.0,
                "x-prefect-deployment-name" => &mut seen.deployment.1,
                "x-prefect-worker-id" => &mut seen.worker.0,
                "x-prefect-worker-name" => &mut seen.worker.1,
                _ => continue,
            };
            if place.is_none() {
                *place = text(value);
            }
        }
        seen.client = seen.client.and_then(product);
        seen
    }

    fn is(&self, said: &Said) -> bool {
        self.address == said.address
            && self.client.as_deref() == said.client.as_deref()
            && self.flow.is(&said.flow)
            && self.deployment.is(&said.deployment)
            && self.worker.is(&said.worker)
    }

    fn to_owned(&self) -> Said {
        Said {
            address: self.address,
            client: self.client.as_deref().map(Arc::from),
            flow: self.flow.to_owned(),
            deployment: self.deployment.to_owned(),
            worker: self.worker.to_owned(),
            identified: None,
        }
    }
}

impl Pair<'_> {
    fn is(&self, named: &Named) -> bool {
        self.0.as_deref() == named.id.as_deref() && self.1.as_deref() == named.name.as_deref()
    }

    fn to_owned(&self) -> Named {
        let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(Arc::from);
        Named { id: owned(&self.0), name: owned(&self.1) }
    }
}

/// The text of a header; `None` if it is not UTF-8 or is empty.
fn text(value: &HeaderValue) -> Option<Cow<'_, str>> {
    let said = std::str::from_utf8(value.as_bytes()).ok()?.trim();
    let said = clean(said);
    (!said.is_empty()).then_some(said)
}

/// The client's name and version: `prefect/3.8.8` of `prefect/3.8.8 (API 0.8.4)`.
fn product(agent: Cow<'_, str>) -> Option<Cow<'_, str>> {
    let end = agent.find(' ').unwrap_or(agent.len());
    Some(match agent {
        Cow::Borrowed(agent) => Cow::Borrowed(&agent[..end]),
        Cow::Owned(mut agent) => {
            agent.truncate(end);
            Cow::Owned(agent)
        }
    })
}

/// A text that is safe to show to people: shortened, and without control characters.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.len() <= CHARACTERS_MAX && text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    text.chars().filter(|character| is_shown(*character)).take(CHARACTERS_MAX).collect()
}

/// Whether a character neither controls a terminal nor changes the direction of text.
fn is_shown(character: char) -> bool {
    !character.is_control()
        && !matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;
    use axum::http::header::USER_AGENT;

    use super::*;

    const FLOW_ID: HeaderName = HeaderName::from_static("x-prefect-flow-id");
    const FLOW_NAME: HeaderName = HeaderName::from_static("x-prefect-flow-name");
    const WORKER_NAME: HeaderName = HeaderName::from_static("x-prefect-worker-name");

    fn headers(said: &[(HeaderName, &[u8])]) -> HeaderMap {
        let values = said
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value).unwrap()));
        values.collect()
    }

    fn said(headers: &HeaderMap) -> Option<Arc<Said>> {
        Origins::default().shared(&Seen::new(None, headers))
    }

    #[test]
    fn a_request_without_text_in_its_headers_has_no_origin() {
        assert_eq!(said(&HeaderMap::new()), None);
        assert_eq!(said(&headers(&[(USER_AGENT, b" "), (FLOW_ID, b"")])), None);
    }

    #[test]
    fn a_client_is_its_name_and_version() {
        let client = |agent: &[u8]| said(&headers(&[(USER_AGENT, agent)])).unwrap().client.clone();
        assert_eq!(client(b"prefect/3.8.8 (API 0.8.4)").as_deref(), Some("prefect/3.8.8"));
        assert_eq!(client(b"curl/8.5.0").as_deref(), Some("curl/8.5.0"));
    }

    #[test]
    fn headers_that_are_no_utf8_are_ignored_and_control_characters_are_dropped() {
        let long = "ä".repeat(300);
        let origin = said(&headers(&[
            (FLOW_ID, b"\xff\xfe"),
            (FLOW_NAME, "nächtlich\u{9b}31m\u{202e}".as_bytes()),
            (WORKER_NAME, long.as_bytes()),
        ]));
        let origin = origin.unwrap();
        assert_eq!(origin.flow.id, None);
        assert_eq!(origin.flow.name.as_deref(), Some("nächtlich31m"));
        assert_eq!(origin.worker.name.as_deref(), Some(&*"ä".repeat(255)));
    }

    #[test]
    fn requests_with_the_same_headers_share_one_origin() {
        let origins = Origins::default();
        let ask = |flow: &[u8]| {
            let headers = headers(&[(USER_AGENT, b"prefect/3.8.8"), (FLOW_NAME, flow)]);
            origins.shared(&Seen::new("10.0.0.7".parse().ok(), &headers)).unwrap()
        };
        let first = ask(b"one");
        assert!(Arc::ptr_eq(&first, &ask(b"one")));
        assert_ne!(first, ask(b"two"));
    }
}
