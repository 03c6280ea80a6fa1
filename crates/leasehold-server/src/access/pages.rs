//! Which pages in a browser may send requests.
//!
//! A browser runs pages of strangers. It reaches servers on its own machine and network that those
//! strangers cannot reach. Three rules keep such a page out. They read headers that a browser sends
//! and a page cannot forge. A program sends none of them, so the rules do not concern it.
//!
//! 1. A request of a browser must address the server by an IP address, as `localhost`, by a name of
//!    the machine, or by a name that the operator allowed. A page that makes its own DNS name
//!    resolve to this server (DNS rebinding) reaches it under that name only.
//! 2. A write or a WebSocket must come from a page of this server, or from an origin that the
//!    operator allowed. `Sec-Fetch-Site` shows that, but browsers send it only to `https` and to
//!    `localhost`. Elsewhere `Origin` shows it: browsers send it with every write and WebSocket.
//! 3. The browser decides what a page of another origin may read, after it has asked us (CORS).
//!
//! A plain `GET` after DNS rebinding carries neither of those headers. All browsers send
//! `Accept-Language`, which a page can change but not remove. Few programs send it. The `fetch` of
//! Node.js does, but always together with `Sec-Fetch-Mode`, which browsers never send without
//! `Sec-Fetch-Site`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, header};

const SEC_FETCH_SITE: &str = "sec-fetch-site";
const SEC_FETCH_MODE: &str = "sec-fetch-mode";
/// How many characters of a name an error message repeats.
const SHOWN_CHARS_MAX: usize = 200;

/// A name by which browsers may address the server: `name`, `*.name` for all names under it, or `*`
/// for every name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHost {
    /// Every name. The server then does not notice DNS rebinding.
    Any,
    /// This name.
    Name(String),
    /// Every name that ends with this, which begins with a dot.
    Under(String),
}

/// The origin of a page, as browsers write it: `https://name`, with the port if it is not the
/// usual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

/// A text that is no host name, or no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoName;

/// Why the server refuses a page's request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Foreign {
    /// The name by which it addressed this server.
    #[error(
        "A browser addressed this server as '{0}', which is not a name of this machine. If it is \
         one, start the server with --allowed-hosts {0}."
    )]
    Host(String),
    /// The page's origin, if the browser names it.
    #[error(
        "A page from '{0}' may change nothing on this server. If it may, start the server with \
         --cors-origins {0}."
    )]
    Origin(String),
    /// The browser does not name the page's origin.
    #[error("A page from elsewhere may change nothing on this server.")]
    Unknown,
}

/// What pages may do.
#[derive(Debug)]
pub(crate) struct Pages {
    hosts: Vec<AllowedHost>,
    origins: Vec<Origin>,
}

impl FromStr for AllowedHost {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let text = text.to_ascii_lowercase();
        match text.strip_prefix('*') {
            Some(under) if under.strip_prefix('.').is_some_and(is_name) => {
                Ok(Self::Under(under.to_owned()))
            }
            None if is_name(&text) => Ok(Self::Name(text)),
            Some(_) | None => Err(NoName),
        }
    }
}

impl FromStr for Origin {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let text = text.to_ascii_lowercase();
        let (scheme, authority) = text.split_once("://").ok_or(NoName)?;
        let usual_port = usual_port(scheme).ok_or(NoName)?;
        let authority = authority.strip_suffix(usual_port).unwrap_or(authority);
        let host = host_of(authority);
        let is_known = is_name(host) || is_address(host);
        let port = authority.strip_prefix(host).unwrap_or_default();
        let is_port = |port: &str| port.parse::<u16>().is_ok();
        let has_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        if is_known && has_port { Ok(Self(format!("{scheme}://{authority}"))) } else { Err(NoName) }
    }
}

impl Pages {
    pub(crate) fn new(hosts: Vec<AllowedHost>, origins: Vec<Origin>) -> Self {
        Self { hosts, origins }
    }

    /// Refuses a browser's request if it addresses the server by a foreign name, or if a foreign
    /// page sends it and it is a write or a WebSocket.
    pub(crate) fn check(
        &self,
        method: &Method,
        headers: &HeaderMap,
        is_socket: bool,
    ) -> Result<(), Foreign> {
        let site = headers.get(SEC_FETCH_SITE);
        let origin = headers.get(header::ORIGIN);
        let is_browser = site.is_some()
            || origin.is_some()
            || (headers.contains_key(header::ACCEPT_LANGUAGE)
                && !headers.contains_key(SEC_FETCH_MODE));
        if !is_browser {
            return Ok(());
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        if let Some(host) = host
            && !self.is_ours(host_of(host))
        {
            return Err(Foreign::Host(shown(host_of(host))));
        }
        let is_read = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
        if is_read && !is_socket {
            return Ok(());
        }
        let is_own = match (site, origin) {
            (Some(site), _) => site == "same-origin" || site == "none",
            (None, Some(origin)) => is_same_origin(origin, host.unwrap_or_default()),
            (None, None) => true,
        };
        if is_own || self.allowed(origin).is_some() {
            return Ok(());
        }
        Err(match origin.and_then(|origin| origin.to_str().ok()) {
            Some(origin) if origin != "null" => Foreign::Origin(shown(origin)),
            Some(_) | None => Foreign::Unknown,
        })
    }

    /// The origin of a request, if the operator allowed it.
    pub(crate) fn allowed<'origin>(
        &self,
        origin: Option<&'origin HeaderValue>,
    ) -> Option<&'origin HeaderValue> {
        origin.filter(|origin| self.origins.iter().any(|allowed| allowed.0 == **origin))
    }

    fn is_ours(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if is_address(&host) || host == "localhost" || host.ends_with(".localhost") {
            return true;
        }
        self.hosts.iter().any(|allowed| match allowed {
            AllowedHost::Any => true,
            AllowedHost::Name(name) => *name == host,
            AllowedHost::Under(suffix) => host.ends_with(suffix),
        })
    }
}

/// Whether a browser asks which requests a page may send.
pub(crate) fn is_preflight<B>(request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Adds the headers that let a page of an allowed origin read an answer.
pub(crate) fn let_read<B>(response: &mut Response<B>, origin: HeaderValue) {
    let fixed: [(HeaderName, &'static str); 5] = [
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, last-event-id, prefect-csrf-client, prefect-csrf-token, \
             x-prefect-api-version",
        ),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, PATCH, DELETE"),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, "location, retry-after"),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
        (header::VARY, "origin"),
    ];
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Whether a page's origin has the host and port by which it addressed this server.
fn is_same_origin(origin: &HeaderValue, host: &str) -> bool {
    let Some((scheme, authority)) = origin.to_str().ok().and_then(|text| text.split_once("://"))
    else {
        return false;
    };
    let usual_port = usual_port(scheme).unwrap_or("-");
    let without = |authority: &str| {
        authority.strip_suffix(usual_port).unwrap_or(authority).to_ascii_lowercase()
    };
    without(authority) == without(host)
}

fn usual_port(scheme: &str) -> Option<&'static str> {
    match scheme {
        "http" => Some(":80"),
        "https" => Some(":443"),
        _ => None,
    }
}

/// A host without its port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        // Colons without a port: an address in brackets, or no host at all.
        Some(_) | None => authority,
    }
}

fn is_address(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => host.parse::<Ipv4Addr>().is_ok(),
    }
}

fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.len() <= 253 && !text.is_empty() && !text.starts_with('.') && text.bytes().all(is_part)
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_origins_are_read_and_nothing_else_is() {
        let host = str::parse::<AllowedHost>;
        assert_eq!(host("*"), Ok(AllowedHost::Any));
        assert_eq!(host("Leases.Example"), Ok(AllowedHost::Name("leases.example".to_owned())));
        assert_eq!(host("*.example"), Ok(AllowedHost::Under(".example".to_owned())));
        for wrong in ["", "a:80", "http://a", "*a", "*.", "a b", "*.*"] {
            assert_eq!(host(wrong), Err(NoName), "{wrong}");
        }
        let origin = |text: &str| text.parse::<Origin>().map(|origin| origin.0);
        assert_eq!(origin("https://A.example"), Ok("https://a.example".to_owned()));
        assert_eq!(origin("https://a.example:443"), Ok("https://a.example".to_owned()));
        assert_eq!(origin("http://[::1]:8080"), Ok("http://[::1]:8080".to_owned()));
        for wrong in
            ["", "*", "null", "a.example", "https://", "https://a/b", "ftp://a", "http://a:x"]
        {
            assert_eq!(origin(wrong), Err(NoName), "{wrong}");
        }
    }

    #[test]
    fn a_host_is_known_with_and_without_its_port() {
        let pages = Pages::new(vec!["box".parse().unwrap(), "*.corp".parse().unwrap()], Vec::new());
        for host in [
            "127.0.0.1:4200",
            "10.1.2.3",
            "[::1]:4200",
            "[fe80::1]",
            "localhost:4200",
            "localhost",
            "LocalHost.",
            "app.localhost:4200",
            "Box:4200",
            "box",
            "a.corp",
            "a.b.corp:1",
        ] {
            assert!(pages.is_ours(host_of(host)), "{host}");
        }
        for host in
            ["evil.example:4200", "localhost.evil.example", "1.2.3.4.evil", "corp", "", "[x]"]
        {
            assert!(!pages.is_ours(host_of(host)), "{host}");
        }
    }
}
