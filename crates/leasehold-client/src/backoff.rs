//! When a request is sent again. Pure: the clock and the chance are arguments.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// A server that asks for more is asked again all the same.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// Growing pauses between attempts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The pause before the next attempt. `chance` is from 0 to 1: clients that failed together do
    /// not come back together. What the server asks for is the least.
    pub(crate) fn next(&mut self, asked: Option<Duration>, chance: f64) -> Duration {
        let growing = FIRST.saturating_mul(1 << self.attempts.min(16)).min(LONGEST);
        self.attempts += 1;
        match asked {
            Some(asked) => asked.min(LONGEST_ASKED) + growing.mul_f64(chance / 2.0),
            None => growing.mul_f64(0.5 + chance / 2.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_never_undercut_the_server() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..10).map(|_| backoff.next(None, 1.0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000]);
        assert_eq!(Backoff::default().next(None, 0.0).as_millis(), 50);
        let asked = Some(Duration::from_secs(2));
        assert_eq!(Backoff::default().next(asked, 0.0), Duration::from_secs(2));
        assert!(Backoff::default().next(Some(Duration::MAX), 1.0) < Duration::from_secs(61));
    }
}
