//! The address of the Prefect server behind this one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use axum::http::Uri;
use axum::http::uri::{Authority, Scheme};

/// The address of a Prefect server, without a path: its API is below `/api`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    scheme: Scheme,
    authority: Authority,
}

/// Why a text is no address of a Prefect server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAnUpstream {
    /// It is no URL, or has no host.
    #[error("it is no URL; give one such as http://prefect:4200/api")]
    NoUrl,
    /// Its scheme is neither `http` nor `https`.
    #[error("its scheme is '{0}'; give an address with http:// or https://")]
    Scheme(String),
    /// It has a user or a password.
    #[error("it has a user or a password; give them with --auth-string")]
    Credentials,
    /// It has another path than `/api`.
    #[error("its path is '{0}'; give the address of the server itself, with /api or without it")]
    Path(String),
}

impl UpstreamUrl {
    /// Whether this is the address of the server that listens here, as far as that shows.
    pub fn leads_to(&self, listening: SocketAddr) -> bool {
        let host = self.authority.host().trim_start_matches('[').trim_end_matches(']');
        let named = match host.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) if host.eq_ignore_ascii_case("localhost") => Ipv4Addr::LOCALHOST.into(),
            Err(_) => return false,
        };
        let is_here = named == listening.ip()
            || (listening.ip().is_unspecified() && (named.is_loopback() || named.is_unspecified()));
        is_here && self.port() == listening.port()
    }

    /// The scheme: `http` or `https`.
    pub(crate) fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Whether the connection is encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The host, and the port if the address names one.
    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The port, which is that of the scheme if the address names none.
    pub(crate) fn port(&self) -> u16 {
        let usual = if self.is_encrypted() { 443 } else { 80 };
        self.authority.port_u16().unwrap_or(usual)
    }
}

impl FromStr for UpstreamUrl {
    type Err = NotAnUpstream;

    fn from_str(text: &str) -> Result<Self, NotAnUpstream> {
        let uri: Uri = text.trim().parse().map_err(|_| NotAnUpstream::NoUrl)?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(NotAnUpstream::NoUrl);
        };
        if ![Scheme::HTTP, Scheme::HTTPS].contains(scheme) {
            return Err(NotAnUpstream::Scheme(scheme.to_string()));
        }
        if authority.as_str().contains('@') {
            return Err(NotAnUpstream::Credentials);
        }
        if authority.host().is_empty() {
            return Err(NotAnUpstream::NoUrl);
        }
        let is_port = |port: &str| port.parse::<u16>().is_ok();
        let port = authority.as_str()[authority.host().len()..].strip_prefix(':');
        if !port.is_none_or(is_port) {
            return Err(NotAnUpstream::NoUrl);
        }
        if !matches!(uri.path(), "" | "/" | "/api" | "/api/") || uri.query().is_some() {
            let path = uri.path_and_query().map(ToString::to_string);
            return Err(NotAnUpstream::Path(path.unwrap_or_default()));
        }
        Ok(Self { scheme: scheme.clone(), authority: authority.clone() })
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_the_path_of_the_api() {
        for text in ["http://prefect:4200", "http://prefect:4200/", "http://prefect:4200/api/"] {
            assert_eq!(text.parse::<UpstreamUrl>().unwrap().to_string(), "http://prefect:4200");
        }
        let port = |text: &str| text.parse::<UpstreamUrl>().unwrap().port();
        assert_eq!(port("https://prefect.example/api"), 443);
        assert_eq!(port("http://[::1]:4700/api"), 4700);
        assert_eq!(port("http://[::1]"), 80);
    }

    #[test]
    fn the_address_of_this_server_itself_is_known() {
        let leads = |url: &str, listening: &str| {
            url.parse::<UpstreamUrl>().unwrap().leads_to(listening.parse().unwrap())
        };
        assert!(leads("http://127.0.0.1:4200/api", "127.0.0.1:4200"));
        assert!(leads("http://localhost:4200", "0.0.0.0:4200"));
        assert!(leads("http://[::1]:4200", "[::]:4200"));
        assert!(!leads("http://127.0.0.1:4201", "127.0.0.1:4200"));
        assert!(!leads("http://10.0.0.1:4200", "0.0.0.0:4200"));
        assert!(!leads("http://prefect:4200", "127.0.0.1:4200"));
    }

    #[test]
    fn what_is_no_address_of_a_server_is_refused_with_what_to_give() {
        let refused = |text: &str| text.parse::<UpstreamUrl>().unwrap_err().to_string();
        for text in ["", "prefect:4200", "prefect", "http://", "http://x:99999", "/api", "http:///"]
        {
            assert!(refused(text).contains("such as http://prefect:4200/api"), "{text}");
        }
        assert!(refused("ftp://prefect/api").contains("'ftp'"));
        assert!(refused("http://me:secret@prefect/api").contains("--auth-string"));
        assert!(!refused("http://me:secret@prefect/api").contains("secret"));
        assert!(refused("http://prefect/base/api").contains("'/base/api'"));
        assert!(refused("http://prefect/api?x=1").contains("'/api?x=1'"));
    }
}
