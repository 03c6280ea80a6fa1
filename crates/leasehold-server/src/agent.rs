//! Which client asks, as far as it says.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;

use crate::app::App;

/// The version of the Prefect client that sends a request, if one does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PrefectClient(pub(crate) Option<[u64; 3]>);

impl FromRequestParts<App> for PrefectClient {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        let agent = parts.headers.get(header::USER_AGENT);
        Ok(Self(agent.and_then(|agent| prefect_version(agent.to_str().ok()?))))
    }
}

/// The version in `prefect/3.8.8 (API 0.8.4)`, without suffixes such as `rc1`.
fn prefect_version(agent: &str) -> Option<[u64; 3]> {
    let version = agent.strip_prefix("prefect/")?.split([' ', '+']).next()?;
    let mut numbers = version.split('.').map(|part| part.parse().ok());
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_a_client_is_read_from_its_agent() {
        assert_eq!(prefect_version("prefect/3.9.12 (API 0.8.4)"), Some([3, 9, 12]));
        assert_eq!(prefect_version("prefect/3.9.12+3.gabc (API 0.8.4)"), Some([3, 9, 12]));
        assert_eq!(prefect_version("prefect/3.9.0rc1"), None);
        assert_eq!(prefect_version("python-httpx/0.28.1"), None);
    }
}
