//! Notices that are logged once: remembers the ones that were logged, in bounded memory.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

use leasehold_engine::{Span, Timestamp};

/// How many notices are remembered at most.
const NOTICES_MAX: usize = 1024;
/// A full memory is cleared this long after it refused its first notice. Until then, no new notice
/// is logged.
const FULL_FOR: Span = Span::from_seconds(3600);

/// The notices that were logged.
#[derive(Debug, Default)]
pub struct Notices {
    hasher: RandomState,
    given: Mutex<Given>,
}

#[derive(Debug, Default)]
struct Given {
    /// Digests: a notice may be long.
    known: HashSet<u64>,
    full_since: Option<Timestamp>,
}

impl Notices {
    /// Whether to log a notice now: it was not logged before, and there is room to remember it. So
    /// a client that causes new notices cannot flood the log.
    pub fn is_new(&self, notice: impl Hash, now: Timestamp) -> bool {
        let notice = self.hasher.hash_one(notice);
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if given.known.contains(&notice) {
            return false;
        }
        if given.known.len() >= NOTICES_MAX {
            let since = *given.full_since.get_or_insert(now);
            if now < since + FULL_FOR {
                return false;
            }
            *given = Given::default();
        }
        given.known.insert(notice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_logged_once_and_a_flood_of_them_is_bounded() {
        let notices = Notices::default();
        let at = |seconds| Timestamp::from_micros(0) + Span::from_seconds(seconds);
        assert!(notices.is_new("first", at(0)));
        assert!(!notices.is_new("first", at(1)));
        let told = (0..100_000).filter(|number| notices.is_new(number, at(2))).count();
        assert_eq!(told, NOTICES_MAX - 1);
        assert!(!notices.is_new("second", at(3601)));
        assert!(notices.is_new("second", at(3602)));
        assert!(notices.is_new("first", at(3602)), "forgotten with the others");
    }
}
