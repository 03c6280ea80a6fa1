//! Points in time and lengths as JSON has them: RFC 3339 in UTC, and seconds.

use serde::Serializer;

/// A point in time, in Unix seconds, as RFC 3339 has it, to the millisecond. What lies beyond the
/// year 9999 is its end.
#[must_use]
pub fn rfc3339(unix_seconds: f64) -> String {
    let ms = (unix_seconds * 1_000.0).round();
    // Beyond the range of the type it is the end of that.
    #[expect(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
    let moment = jiff::Timestamp::from_millisecond(ms as i64);
    let end = if ms < 0.0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    format!("{:.3}", moment.unwrap_or(end))
}

pub(crate) fn point<S: Serializer>(seconds: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*seconds))
}

pub(crate) fn point_if_any<S: Serializer>(
    seconds: &Option<f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match seconds {
        Some(seconds) => point(seconds, serializer),
        None => serializer.serialize_none(),
    }
}

pub(crate) fn ms_as_seconds<S: Serializer>(ms: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(std::time::Duration::from_millis(*ms).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_some_point_in_time() {
        for (seconds, text) in [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (1_795_209_900.803_57, "2026-11-20T21:25:00.804Z"),
            (2_147_483_649.0, "2038-01-19T03:14:09.000Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
        for seconds in [1e300, f64::INFINITY] {
            assert!(rfc3339(seconds).starts_with("9999-12-30T"), "{}", rfc3339(seconds));
        }
        assert!(rfc3339(f64::NEG_INFINITY).starts_with("-"), "{}", rfc3339(f64::NEG_INFINITY));
        assert_eq!(rfc3339(f64::NAN), rfc3339(0.0));
    }
}
