//! Points in time as people read them. Times of a server are compared with this machine's clock,
//! which may differ: nothing is in the future by more than it must.

use std::time::{Duration, SystemTime};

use leasehold_api::Timestamp;

use crate::duration;

/// The time on this machine's clock.
pub(crate) fn now() -> Timestamp {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX))
}

/// How long ago something was: `4m 05s ago`.
pub(crate) fn ago(at: Timestamp) -> String {
    format!("{} ago", duration::show(between(at, now())))
}

/// From one time to a later one; nothing if it is none.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_never_negative() {
        assert_eq!(between(Timestamp(5), Timestamp(3)), Duration::ZERO);
        assert!(ago(Timestamp(i64::MAX)).starts_with("0ms"));
    }
}
