//! What an operator can set, already validated. Where the values come from (flags,
//! environment, file) is the program's business.

use leasehold_prefect::Settings;

use crate::access::pages::{AllowedHost, Origin};
use crate::access::peer::TrustedProxies;

/// How many connections are served at the most, where there are descriptors for so many.
pub const CONNECTIONS_MAX: usize = 16_384;

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// What bodies may say: the bounds of a lease's length, and the size of a page.
    pub bodies: Settings,
    /// `user:password` that clients must send, if any.
    pub auth_string: Option<String>,
    /// The names by which browsers may address the server, beside addresses and `localhost`.
    pub allowed_hosts: Vec<AllowedHost>,
    /// The origins whose pages may read and write as if they were the server's own.
    pub cors_origins: Vec<Origin>,
    /// Whether each request is logged at info, and not at debug alone.
    pub has_access_log: bool,
    /// Whether writes need a CSRF token.
    pub is_csrf_protected: bool,
    /// For how long a request that was refused before is held open, in seconds; 0: not at all,
    /// and clients poll.
    pub park_seconds: f64,
    /// The longest `Retry-After` of the limits of tags, and the one of the tag API, in seconds.
    pub tag_wait_seconds: f64,
    /// How long a flow run may be silent that gave signs of life, in seconds. What its task runs
    /// hold is taken then, where they cannot renew.
    pub heartbeat_timeout_seconds: f64,
    /// The longest `Retry-After` of all other limits, in seconds.
    pub wait_seconds_max: f64,
    /// How many requests may be held open at once, three quarters of the connections: whoever
    /// holds a lease needs one to renew it. Beyond, whoever finds no room is refused at once.
    pub waiters_max: usize,
    /// How many connections are served. Half of them may be WebSockets, and a quarter streams of
    /// events; one address has no more than half of either.
    pub connections_max: usize,
    /// The proxies that are believed when they say where a request comes from.
    pub trusted_proxies: TrustedProxies,
}

impl Config {
    /// How many requests may be held open where so many connections are served.
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
            // Three times what clients leave between two signs of life.
            heartbeat_timeout_seconds: 540.0,
            wait_seconds_max: 30.0,
            waiters_max: Self::waiters_max(CONNECTIONS_MAX),
            connections_max: CONNECTIONS_MAX,
            trusted_proxies: TrustedProxies::default(),
        }
    }
}
