//! When a refused client should come back.
//!
//! The wait is that of a full limit, and of the one that takes longest if there are several
//! (contract C14; defect D21 was to use the largest limit instead). It has a ceiling: an average
//! over hours of occupancy must not make a client sleep for hours (defect D23).

use leasehold_engine::{Blocker, Refusal, Span, TAG_PREFIX, Wait};

use crate::acquire::polling::{Standing, Visit};
use crate::config::Config;

/// How far a wait may differ from its mean, so that clients that were refused together do not come
/// back together.
const JITTER: f64 = 0.3;

/// When a client comes back that may be held open then. It does not poll, so a freed slot may stand
/// idle while it sleeps. The time is longer than the pause of a program between two calls in a row.
const COME_BACK_SECONDS: f64 = 0.01;

/// The same for tags, whose clients are held open when they come back for the first time.
const COME_BACK_SECONDS_OF_TAGS: f64 = 0.02;

/// When a client comes back whose waiting request a stopping server has answered. The next server
/// may have to start first.
pub(crate) const AFTER_STOP_SECONDS: f64 = 1.0;

/// How many times the longest sleep doubles at most. It doubles for clients that come back early,
/// and for new clients if none of those before them came back.
const EARLY_MAX: u32 = 7;

/// Seconds until a refused client should try again. `is_held_open` says whether it may be held open
/// then.
pub(crate) fn after_seconds(
    refusal: &Refusal,
    config: &Config,
    is_held_open: bool,
    visit: &Visit,
) -> f64 {
    let seconds = polling_seconds(refusal, config);
    match (is_held_open, visit.standing) {
        (false, _) => seconds,
        (true, Standing::Tested) => visit.sleep.map_or(seconds, Span::as_seconds_f64),
        (true, Standing::Proven) => seconds.min(COME_BACK_SECONDS * jitter()),
        (true, Standing::Refused { early }) => {
            let longest = COME_BACK_SECONDS * f64::from(1_u32 << early.min(EARLY_MAX));
            let shared = (longest - COME_BACK_SECONDS) * fastrand::f64();
            seconds.min(COME_BACK_SECONDS * jitter()) + shared
        }
    }
}

/// Seconds until a refused client should try again if it is not held open then.
pub(crate) fn polling_seconds(refusal: &Refusal, config: &Config) -> f64 {
    let waits = refusal.blockers.iter().map(|blocker| seconds(blocker, config));
    waits.fold(0.0, f64::max)
}

fn jitter() -> f64 {
    1.0 - JITTER + 2.0 * JITTER * fastrand::f64()
}

/// Seconds until a client of the tag API should try again. If it polls, this is exactly the
/// configured number.
pub(crate) fn after_seconds_of_tags(config: &Config, is_held_open: bool) -> f64 {
    if is_held_open { COME_BACK_SECONDS_OF_TAGS } else { config.tag_wait_seconds }
}

/// The wait for one limit, with its jitter, and never longer than the ceiling.
fn seconds(blocker: &Blocker, config: &Config) -> f64 {
    let ceiling = if blocker.limit.name.starts_with(TAG_PREFIX) {
        config.tag_wait_seconds
    } else {
        config.wait_seconds_max
    };
    match blocker.wait {
        Wait::Release { occupancy_seconds_average } => {
            let share = blocker.wanted as f64 / blocker.limit.slots as f64;
            let mean = occupancy_seconds_average.min(ceiling) * share;
            mean.min(ceiling / (1.0 + JITTER)) * jitter()
        }
        // The jitter only adds: before the time is over, the limit has no room.
        Wait::Drain(span) => {
            let drained = span.as_seconds_f64().min(ceiling / (1.0 + JITTER));
            drained * (1.0 + JITTER * fastrand::f64())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leasehold_engine::{LimitId, MinimalLimit, Unleased};
    use smallvec::{SmallVec, smallvec};

    fn blocker(name: &str, wanted: u64, slots: u64, wait: Wait) -> Blocker {
        let limit = MinimalLimit { id: LimitId(1), name: name.into(), slots };
        Blocker { limit, wanted, wait, is_kept: false, unleased: Unleased::default(), foreign: 0 }
    }

    /// Checks that waits spread over all times between `from` and `to`, and over no others.
    fn check(blockers: SmallVec<[Blocker; 1]>, from: f64, to: f64) {
        let refusal = Refusal { blockers, place: None, position: 1, stuck: Vec::new() };
        let wait = |_| polling_seconds(&refusal, &Config::default());
        let mut waits: Vec<_> = (0..1_000).map(wait).collect();
        waits.sort_by(f64::total_cmp);
        let (shortest, longest) = (waits[0], waits[999]);
        let tenth = (to - from) / 10.0;
        assert!((from - 1e-9..from + tenth).contains(&shortest), "{shortest} is not {from}");
        assert!((to - tenth..to + 1e-9).contains(&longest), "{longest} is not {to}");
    }

    fn visit(standing: Standing, sleep: Option<Span>) -> Visit {
        Visit { place: None, lease: None, standing, sleep }
    }

    #[test]
    fn a_client_that_may_be_held_open_comes_back_shortly() {
        let blockers = smallvec![blocker("db", 1, 1, held_for(500_000.0))];
        let refusal = Refusal { blockers, place: None, position: 1, stuck: Vec::new() };
        let seconds = |visit: &Visit| after_seconds(&refusal, &Config::default(), true, visit);
        assert!(seconds(&visit(Standing::Refused { early: 0 }, None)) < 0.014);
        assert!(seconds(&visit(Standing::Proven, None)) < 0.014);
        let tested = visit(Standing::Tested, Some(Span::from_micros(36_000)));
        assert!((seconds(&tested) - 0.036).abs() < 1e-9);
        let early: Vec<_> =
            (0..1_000).map(|_| seconds(&visit(Standing::Refused { early: 40 }, None))).collect();
        assert!(early.iter().any(|seconds| *seconds > 1.0) && early.iter().all(|it| *it < 1.3));
    }

    fn held_for(occupancy_seconds_average: f64) -> Wait {
        Wait::Release { occupancy_seconds_average }
    }

    #[test]
    fn a_wait_is_the_share_of_the_average_occupancy() {
        check(smallvec![blocker("db", 1, 4, held_for(2.0))], 0.35, 0.65);
    }

    #[test]
    fn d23_a_wait_has_a_ceiling_which_is_lower_for_tags() {
        let drain = Wait::Drain(Span::from_seconds(3_600));
        check(smallvec![blocker("db", 1, 1, held_for(500_000.0))], 21.0 / 1.3, 30.0);
        check(smallvec![blocker("tag:db", 1, 1, held_for(500_000.0))], 7.0 / 1.3, 10.0);
        check(smallvec![blocker("rate", 1, 1, drain)], 30.0 / 1.3, 30.0);
    }

    #[test]
    fn no_client_is_asked_to_come_back_before_enough_has_drained() {
        let drain = Wait::Drain(Span::from_seconds(10));
        check(smallvec![blocker("rate", 1, 1, drain)], 10.0, 13.0);
    }

    #[test]
    fn d21_a_wait_speaks_of_the_limit_that_takes_longest() {
        let drain = Wait::Drain(Span::from_seconds(7));
        check(
            smallvec![blocker("large", 5, 1000, held_for(2.0)), blocker("rate", 5, 5, drain)],
            7.0,
            9.1,
        );
    }
}
