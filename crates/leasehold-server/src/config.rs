//! What an operator can set, already validated. Where the values come from (flags,
//! environment, file) is the program's business.

mod upstream;

use std::path::PathBuf;

use leasehold_journal::Tenure;
use leasehold_prefect::Settings;

use crate::access::pages::{AllowedHost, Origin};
use crate::access::peer::TrustedProxies;

pub use self::upstream::{NotAnUpstream, UpstreamUrl};

/// How many connections are served at most, if the process may open so many descriptors.
pub const CONNECTIONS_MAX: usize = 16_384;

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// The bounds of bodies: those of a lease's length, and of the size of a page.
    pub bodies: Settings,
    /// `user:password` that clients must send, if any.
    pub auth_string: Option<String>,
    /// The names by which browsers may address the server, besides addresses and `localhost`.
    pub allowed_hosts: Vec<AllowedHost>,
    /// The origins whose pages may read and write as if they were the server's own.
    pub cors_origins: Vec<Origin>,
    /// Whether requests are logged at info, and not only at debug.
    pub has_access_log: bool,
    /// Whether writes need a CSRF token.
    pub is_csrf_protected: bool,
    /// How long the retry of a refused request is held open, in seconds. With 0, no request is held
    /// open, and clients poll.
    pub park_seconds: f64,
    /// The longest `Retry-After` of the limits of tags, and the fixed one of the tag API, in
    /// seconds.
    pub tag_wait_seconds: f64,
    /// How long a flow run that sends heartbeats may be silent, in seconds. Then the leases of its
    /// task runs are repossessed, unless they have a deadline.
    pub heartbeat_timeout_seconds: f64,
    /// The longest `Retry-After` of all other limits, in seconds.
    pub wait_seconds_max: f64,
    /// How many requests may be held open at once: three quarters of the connections, because
    /// holders need connections to renew. Beyond, a request that would wait is refused at once.
    pub waiters_max: usize,
    /// How many connections are served. Half of them may be WebSockets, and a quarter streams of
    /// events. One address has at most half of either.
    pub connections_max: usize,
    /// The proxies whose headers about the origin of a request are believed.
    pub trusted_proxies: TrustedProxies,
    /// The Prefect server behind this one, to which everything is passed on that is not ours.
    pub upstream: Option<UpstreamUrl>,
    /// Whether `Host` is the upstream's own in what is passed on, and not the one of the client.
    pub is_upstream_by_name: bool,
    /// Where the phantoms are stored that an operator dropped during a migration.
    pub dropped_phantoms_file: Option<PathBuf>,
    /// For how long this node owns the ledger, if another one can own it. When it is over, every
    /// request but that for the metrics is answered 503.
    pub tenure: Option<Tenure>,
}

impl Config {
    /// How many requests may be held open, with this many connections.
    pub fn waiters_max(connections_max: usize) -> usize {
        connections_max / 4 * 3
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bodies: Settings::default(),
            auth_string: None,
            allowed_hosts: Vec::new(),
            cors_origins: Vec::new(),
            has_access_log: false,
            is_csrf_protected: false,
            park_seconds: 20.0,
            tag_wait_seconds: 10.0,
            // Three times the interval between a client's heartbeats.
            heartbeat_timeout_seconds: 540.0,
            wait_seconds_max: 30.0,
            waiters_max: Self::waiters_max(CONNECTIONS_MAX),
            connections_max: CONNECTIONS_MAX,
            trusted_proxies: TrustedProxies::default(),
            upstream: None,
            is_upstream_by_name: false,
            dropped_phantoms_file: None,
            tenure: None,
        }
    }
}
