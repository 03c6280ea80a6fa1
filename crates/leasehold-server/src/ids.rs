//! The only place that makes ids.

use std::sync::Mutex;

use uuid::{ContextV7, NoContext, Timestamp, Uuid};

/// Counts within a millisecond, so that ids of equal times keep the order in which they were made.
static WITHIN_MILLISECOND: Mutex<ContextV7> = Mutex::new(ContextV7::new());

/// A random id: it cannot be guessed, and contains no information.
pub(crate) fn random() -> Uuid {
    Uuid::new_v4()
}

/// An id of a record. It sorts by the time at which the record was made, in microseconds since the
/// Unix epoch.
pub(crate) fn at(micros: i64) -> Uuid {
    let (seconds, nanos) = parts(micros);
    Uuid::new_v7(Timestamp::from_unix(&WITHIN_MILLISECOND, seconds, nanos))
}

/// As [`at`], for a time that was read from a file. It may be ahead of the clock, and the ids that
/// [`at`] makes next must not follow it there.
pub(crate) fn at_stored(micros: i64) -> Uuid {
    let (seconds, nanos) = parts(micros);
    Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, nanos))
}

fn parts(micros: i64) -> (u64, u32) {
    let seconds = u64::try_from(micros.div_euclid(1_000_000)).unwrap_or(0);
    let nanos = u32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    (seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_moment_keep_their_order() {
        let ids: Vec<_> = (0..1_000).map(|_| at(1_700_000_000_123_456)).collect();
        assert!(ids.is_sorted());
        assert_eq!(ids[0].get_timestamp().map(|at| at.to_unix().0), Some(1_700_000_000));
        assert!(ids[999] < at(1_700_000_001_000_000));
        assert!(at_stored(1_800_000_000_000_000) > at(1_700_000_002_000_000));
        assert_eq!(at(1_700_000_003_000_000).get_timestamp().unwrap().to_unix().0, 1_700_000_003);
    }
}
