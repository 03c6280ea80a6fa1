//! Points in time as Prefect writes them: in JSON, in SQLite and in PostgreSQL.

use jiff::tz::TimeZone;
use leasehold_engine::{Span, Timestamp};
use serde::Serializer;

/// Reads a time. One without an offset is in UTC, as in Prefect's SQLite databases.
pub fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim().replacen(' ', "T", 1);
    let clock = text.split_once('T').map_or("", |(_, clock)| clock);
    let has_offset = clock.contains(['Z', 'z', '+', '-']);
    let text = if has_offset { text } else { text + "Z" };
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_micros(at.as_microsecond()))
}

/// A time in RFC 3339, as Prefect's API has it.
pub fn show(at: Timestamp) -> String {
    format("%Y-%m-%dT%H:%M:%S.%6fZ", at)
}

/// A time as Prefect's SQLite databases have it: in UTC, without an offset.
pub(crate) fn show_sqlite(at: Timestamp) -> String {
    format("%Y-%m-%d %H:%M:%S.%6f", at)
}

/// A time as Python's `isoformat` writes it, for the files of leases.
pub(crate) fn show_python(at: Timestamp) -> String {
    format("%Y-%m-%dT%H:%M:%S.%6f+00:00", at)
}

fn format(pattern: &str, at: Timestamp) -> String {
    // Beyond the year 9999 a time has no text; nothing that is carried lies there.
    let at = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or(jiff::Timestamp::MAX);
    at.to_zoned(TimeZone::UTC).strftime(pattern).to_string()
}

/// A length of time for people: `4m 10s`.
pub fn show_span(span: Span) -> String {
    let seconds = span.as_micros() / 1_000_000;
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {seconds}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

pub(crate) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&show(*at))
}

pub(crate) fn serialize_option<S: Serializer>(
    at: &Option<Timestamp>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => serialize(at, to),
        None => to.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_of_one_time_are_read_alike() {
        let at = parse("2026-11-27T09:23:38.819562Z").unwrap();
        for form in [
            "2026-11-27 09:23:38.819562",
            "2026-11-27 09:23:38.819562+00",
            "2026-11-27T09:23:38.819562+00:00",
            "2026-11-27T10:23:38.819562+01:00",
            "2026-11-27 04:53:38.819562-04:30",
        ] {
            assert_eq!(parse(form), Some(at), "{form}");
        }
        assert_eq!(show(at), "2026-11-27T09:23:38.819562Z");
        assert_eq!(show_sqlite(at), "2026-11-27 09:23:38.819562");
        assert_eq!(show_python(at), "2026-11-27T09:23:38.819562+00:00");
        assert_eq!(parse("yesterday"), None);
        assert!(parse("2126-11-03T09:23:38.627938+00:00").is_some());
    }

    #[test]
    fn lengths_are_short() {
        for (seconds, shown) in [(9, "9s"), (250, "4m 10s"), (7_260, "2h 1m"), (90_000, "1d 1h")] {
            assert_eq!(show_span(Span::from_seconds(seconds)), shown);
        }
    }
}
