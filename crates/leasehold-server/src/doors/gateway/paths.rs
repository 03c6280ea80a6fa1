//! Whose paths are whose.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Who serves a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Site {
    /// The other doors of this server.
    Ours,
    /// This server or the upstream, by limit.
    Limits,
    /// The upstream.
    Upstream,
}

/// The paths that are ours, with everything below them.
const OURS: [&str; 7] = [
    "/api/leases",
    "/api/leasehold",
    "/api/openapi.json",
    "/docs",
    "/leasehold",
    "/metrics",
    "/ready",
];
const LIMITS: [&str; 2] = ["/api/v2/concurrency_limits", "/api/concurrency_limits"];

/// Who serves a path. The upstream decodes a path before it looks for the route, so that is done
/// here as well: `/api/v2/concurrency%5Flimits` is a path of limits.
pub(super) fn site(path: &str) -> Site {
    let path = decoded(path);
    let is_below = |base: &&str| {
        path.strip_prefix(*base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if OURS.iter().any(&is_below) {
        Site::Ours
    } else if LIMITS.iter().any(is_below) {
        Site::Limits
    } else {
        Site::Upstream
    }
}

/// A path with its percent-encoded bytes decoded.
pub(super) fn decoded(path: &str) -> Cow<'_, str> {
    percent_decode_str(path).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_one_server() {
        for path in
            ["/api/leases", "/api/leases/x/renew", "/docs/", "/metrics", "/leasehold/limits"]
        {
            assert_eq!(site(path), Site::Ours, "{path}");
        }
        for path in [
            "/api/v2/concurrency_limits",
            "/api/v2/concurrency_limits/filter",
            "/api/concurrency_limits/tag/db",
            "/api/v2/concurrency%5flimits/increment",
            "/api%2Fv2%2Fconcurrency_limits/increment",
        ] {
            assert_eq!(site(path), Site::Limits, "{path}");
        }
        for path in
            ["/", "/api/flows/", "/api/events/in", "/v2/", "/api/leasesx", "/api/%ff%", "/api/v2"]
        {
            assert_eq!(site(path), Site::Upstream, "{path}");
        }
    }
}
