//! The server leaves a failed journal alone for half a second, unless a request wants a change.

use super::Evidence;
use crate::server::PAUSE;

pub(super) fn check(evidence: &Evidence<'_>, report: &mut dyn FnMut(u64, String)) {
    for pair in evidence.history.attempts.windows(2) {
        if let [before, after] = pair
            && let Some(failed) = before.failed
            && after.began < failed + PAUSE
            && !after.is_wanted
        {
            let early = failed + PAUSE - after.began;
            report(after.began, format!("the journal was tried again {early} µs too early"));
        }
    }
}
