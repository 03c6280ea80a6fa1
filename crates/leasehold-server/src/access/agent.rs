//! The Prefect client that sends a request, as its `User-Agent` names it.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header;
use axum::http::request::Parts;

/// The Prefect client that sends a request, if one does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PrefectClient {
    /// Its version without suffixes: that of `3.10.0rc1` is 3.10.0.
    pub(crate) version: Option<[u64; 3]>,
    /// Whether the version has a suffix, such as `rc1`, `.post1` or `+3.gabc`.
    pub(crate) has_suffix: bool,
}

impl PrefectClient {
    /// Reads the client from a request's headers.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        agent.and_then(read).unwrap_or(Self { version: None, has_suffix: false })
    }

    /// Whether the client names a version older than this one.
    pub(crate) fn is_before(self, version: [u64; 3]) -> bool {
        self.version.is_some_and(|own| own < version)
    }
}

impl<S: Sync> FromRequestParts<S> for PrefectClient {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

/// Reads `prefect/3.8.8 (API 0.8.4)`.
fn read(agent: &str) -> Option<PrefectClient> {
    let text = agent.strip_prefix("prefect/")?.split(' ').next()?;
    let mut rest = text;
    let mut version = [0; 3];
    for (index, number) in version.iter_mut().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix('.')?;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        *number = rest[..end].parse().ok()?;
        rest = &rest[end..];
    }
    Some(PrefectClient { version: Some(version), has_suffix: !rest.is_empty() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_client_is_read_from_its_agent() {
        let check = |agent: &str, expected: Option<([u64; 3], bool)>| {
            let expected = expected
                .map(|(version, has_suffix)| PrefectClient { version: Some(version), has_suffix });
            assert_eq!(read(agent), expected, "{agent}");
        };
        check("prefect/3.9.12 (API 0.8.4)", Some(([3, 9, 12], false)));
        check("prefect/3.9.12", Some(([3, 9, 12], false)));
        check("prefect/3.9.12+3.gabc (API 0.8.4)", Some(([3, 9, 12], true)));
        check("prefect/3.9.0rc1 (API 0.8.4)", Some(([3, 9, 0], true)));
        check("prefect/3.9.0.dev2 (API 0.8.4)", Some(([3, 9, 0], true)));
        check("prefect/3.9", None);
        check("prefect/x.9.1", None);
        check("prefect/99999999999999999999.0.0", None);
        check("python-httpx/0.28.1", None);
    }
}
