//! Which connections the server admits. Most are for every request. A part is reserved for requests
//! that renew and release: a holder must not lose its lease because all others are taken.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::http::Method;

use super::line::Line;
use crate::http::quota::{Crowd, Member};

/// One connection in so many is reserved.
const KEPT_PART: usize = 8;
/// One address has at most one in so many of the open connections, and of the reserved ones.
const EACH_PART: usize = 2;

#[derive(Debug)]
pub(super) struct Door {
    open: Arc<Crowd>,
    kept: Arc<Crowd>,
    /// The reserved connections that are in use, oldest first.
    kept_lines: Mutex<VecDeque<Weak<Line>>>,
}

/// The admission of a connection. It holds the connection's place in the quota until it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) is_for_keeping: bool,
    _member: Member,
}

impl Door {
    /// Admits so many connections in all.
    pub(super) fn new(connections_max: usize) -> Self {
        let kept_max = connections_max / KEPT_PART;
        let crowd = |all_max: usize| Crowd::new(all_max, all_max.div_ceil(EACH_PART));
        let (open, kept) = (crowd(connections_max - kept_max), crowd(kept_max));
        Self { open, kept, kept_lines: Mutex::default() }
    }

    /// Admits a connection. `address` is the client's, if it counts against one client's share.
    /// `None` if that address has too many connections, or if all are taken.
    pub(super) fn admit(&self, address: Option<IpAddr>) -> Option<Pass> {
        let open = self.open.enter(address);
        let is_for_keeping = open.is_none();
        let member = open.or_else(|| self.kept.enter(address))?;
        Some(Pass { is_for_keeping, _member: member })
    }

    /// Remembers a reserved connection, so that [`Self::make_room`] can end it.
    pub(super) fn remember(&self, line: &Arc<Line>) {
        let mut lines = self.kept_lines.lock().unwrap_or_else(PoisonError::into_inner);
        while lines.front().is_some_and(|line| line.strong_count() == 0) {
            lines.pop_front();
        }
        lines.push_back(Arc::downgrade(line));
    }

    /// Ends the oldest reserved connection on which no request has come, so that another one can be
    /// accepted.
    pub(super) fn make_room(&self) {
        let mut lines = self.kept_lines.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(line) = lines.pop_front() {
            if let Some(line) = line.upgrade().filter(|line| !line.has_asked()) {
                return line.send_away();
            }
        }
    }
}

/// Whether a reserved connection may carry a request: a renewal, a release, a health check, or the
/// read of a CSRF token, which renewals and releases may need.
pub(super) fn is_keeping(method: &Method, path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    let is_renewal = || {
        let bases = ["/api/v2/concurrency_limits/leases/", "/api/leases/"];
        path.ends_with("/renew") && bases.iter().any(|base| path.starts_with(base))
    };
    let is_release = || {
        path == "/api/v2/concurrency_limits/decrement-with-lease"
            || path == "/api/v2/concurrency_limits/decrement"
            || path == "/api/concurrency_limits/decrement"
    };
    match *method {
        Method::POST => is_renewal() || is_release(),
        Method::DELETE => path.starts_with("/api/leases/"),
        Method::GET => matches!(path, "/api/health" | "/api/ready" | "/api/csrf-token"),
        _ => false,
    }
}

/// Whether a request may wait for slots or be granted some. The server grants none if its client
/// disconnects.
pub(super) fn asks_for_slots(method: &Method, path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    let is_acquire = matches!(
        path,
        "/api/leases"
            | "/api/v2/concurrency_limits/increment"
            | "/api/v2/concurrency_limits/increment-with-lease"
            | "/api/concurrency_limits/increment"
    );
    *method == Method::POST && (is_acquire || path.starts_with("/api/task_runs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_connections_is_reserved_and_no_address_gets_all() {
        let door = Door::new(16);
        let address = |number: u8| Some(IpAddr::from([10, 0, 0, number]));
        let admit = |number, count: usize| {
            let passes: Vec<_> = (0..count).filter_map(|_| door.admit(address(number))).collect();
            let kept = passes.iter().filter(|pass| pass.is_for_keeping).count();
            (passes.len() - kept, kept, passes)
        };
        let (open, kept, _first) = admit(1, 20);
        assert_eq!((open, kept), (7, 1));
        let (open, kept, _second) = admit(2, 20);
        assert_eq!((open, kept), (7, 1));
        let (open, kept, _) = admit(3, 20);
        assert_eq!((open, kept), (0, 0));
    }

    #[test]
    fn renewals_and_releases_are_recognized_by_their_paths() {
        for (method, path) in [
            ("POST", "/api/v2/concurrency_limits/leases/7/renew"),
            ("POST", "/api/v2/concurrency_limits/decrement-with-lease"),
            ("POST", "/api/v2/concurrency_limits/decrement"),
            ("POST", "/api/concurrency_limits/decrement"),
            ("POST", "/api/leases/7/renew"),
            ("POST", "/api/leases/renew"),
            ("DELETE", "/api/leases/7"),
            ("GET", "/api/health"),
        ] {
            assert!(is_keeping(&method.parse().unwrap(), path), "{method} {path}");
        }
        for (method, path) in [
            ("POST", "/api/v2/concurrency_limits/increment-with-lease"),
            ("POST", "/api/leases"),
            ("GET", "/api/leases/7"),
            ("GET", "/api/leasehold/events"),
            ("POST", "/api/flow_runs/7/set_state"),
        ] {
            assert!(!is_keeping(&method.parse().unwrap(), path), "{method} {path}");
        }
    }
}
