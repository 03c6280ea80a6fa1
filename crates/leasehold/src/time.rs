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

/// How long it is until something: `4m 05s`, or nothing if it is over.
pub(crate) fn until(at: Timestamp) -> Duration {
    between(now(), at)
}

/// From one time to a later one; nothing if it is none.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or_default())
}

/// In UTC to the second: `2026-11-21 12:20:16Z`.
pub(crate) fn shown(at: Timestamp) -> String {
    let text = at.to_string();
    format!("{}Z", text[..19].replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_to_the_second_and_never_negative() {
        assert_eq!(shown(Timestamp(1_795_208_576_121_815)), "2026-11-20 21:02:56Z");
        assert_eq!(between(Timestamp(5), Timestamp(3)), Duration::ZERO);
        assert_eq!(until(Timestamp(0)), Duration::ZERO);
    }
}
