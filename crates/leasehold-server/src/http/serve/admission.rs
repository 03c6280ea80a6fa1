//! Who may have a connection. Most connections are for everything. A part is kept for those who
//! renew and release: when all others are taken, a holder must not lose its lease for it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::http::Method;

use super::line::Line;
use crate::http::quota::{Crowd, Member};

/// This part of the connections is kept.
const KEPT_PART: usize = 8;
/// No address has more than this part of either.
const EACH_PART: usize = 2;

#[derive(Debug)]
pub(super) struct Door {
    open: Arc<Crowd>,
    kept: Arc<Crowd>,
    /// Those that were let in to renew or release, oldest first.
    kept_lines: Mutex<VecDeque<Weak<Line>>>,
}

/// What a connection is let in for, for as long as it is there.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) is_for_keeping: bool,
    _member: Member,
}

impl Door {
    /// For so many connections in all.
    pub(super) fn new(connections_max: usize) -> Self {
        let kept_max = connections_max / KEPT_PART;
        let crowd = |all_max: usize| Crowd::new(all_max, all_max.div_ceil(EACH_PART));
        let (open, kept) = (crowd(connections_max - kept_max), crowd(kept_max));
        Self { open, kept, kept_lines: Mutex::default() }
    }

    /// Lets a connection in from an address, if it counts by that. `None` when its address has too
    /// many, or nobody else is let in.
    pub(super) fn admit(&self, address: Option<IpAddr>) -> Option<Pass> {
        let open = self.open.enter(address);
        let is_for_keeping = open.is_none();
        let member = open.or_else(|| self.kept.enter(address))?;
        Some(Pass { is_for_keeping, _member: member })
    }

    /// Remembers a connection that was let in to renew or release.
    pub(super) fn remember(&self, line: &Arc<Line>) {
        let mut lines = self.kept_lines.lock().unwrap_or_else(PoisonError::into_inner);
        while lines.front().is_some_and(|line| line.strong_count() == 0) {
            lines.pop_front();
        }
        lines.push_back(Arc::downgrade(line));
    }

    /// Sends the oldest of these away that has said nothing, for whoever waits outside.
    pub(super) fn make_room(&self) {
        let mut lines = self.kept_lines.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(line) = lines.pop_front() {
            if let Some(line) = line.upgrade().filter(|line| !line.has_asked()) {
                return line.send_away();
            }
        }
    }
}

/// Whether a request keeps what its client holds or gives it back, or asks whether the server is
/// there. A token against forgery is needed for the former.
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

/// Whether a request may wait for slots or be granted some. If its client goes, it gets none.
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
    fn a_part_of_the_connections_is_kept_and_no_address_has_all() {
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
    fn what_keeps_a_lease_or_gives_it_back_is_known_by_its_path() {
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
