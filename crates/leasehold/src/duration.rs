//! Lengths of time as people write them: `500ms`, `90s`, `10m`, `1h30m`, or a number of seconds.

use std::time::Duration;

use leasehold_redis::LONGEST_TTL;

/// A clock that counts on from now reaches this far on every machine.
const LONGEST: Duration = Duration::from_secs(36_500 * 86_400);
/// A lock is renewed at a third of its ttl, and a round trip has to fit in there.
const SHORTEST_TTL: Duration = Duration::from_millis(50);

/// Reads a length of time.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let length = read(text)?;
    if length > LONGEST { Err("is longer than 36500d".to_owned()) } else { Ok(length) }
}

/// Reads how long a lock outlives a holder that has crashed.
pub(crate) fn parse_ttl(text: &str) -> Result<Duration, String> {
    let ttl = read(text)?;
    if (SHORTEST_TTL..=LONGEST_TTL).contains(&ttl) {
        Ok(ttl)
    } else {
        Err("has to be from 50ms to 365d".to_owned())
    }
}

/// Reads how long a key stays in Redis, in whole seconds.
pub(crate) fn parse_key_ttl(text: &str) -> Result<u32, String> {
    let ttl = read(text)?;
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    let seconds = u32::try_from(seconds).ok().filter(|_| ttl <= LONGEST_TTL && !ttl.is_zero());
    seconds.ok_or_else(|| "has to be from 1s to 365d".to_owned())
}

/// As [`parse_key_ttl`]; -1 takes TTLs away.
pub(crate) fn parse_key_ttl_or_none(text: &str) -> Result<i64, String> {
    if text == "-1" { Ok(-1) } else { parse_key_ttl(text).map(i64::from) }
}

fn read(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time; write 500ms, 90s, 10m or 1h30m");
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| wrong());
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let number: f64 = rest[..number_end].parse().map_err(|_| wrong())?;
        let unit_end = rest[number_end..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |at| number_end + at);
        let unit = match &rest[number_end..unit_end] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        let part = Duration::try_from_secs_f64(number * unit).map_err(|_| wrong())?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = &rest[unit_end..];
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

/// Reads a length of time that is longer than nothing.
pub(crate) fn parse_positive(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err("has to be longer than nothing".to_owned()),
        duration => Ok(duration),
    }
}

/// Writes a length of time shortly: `850ms`, `12.3s`, `4m 05s`, `2h 13m`.
pub(crate) fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{:.1}s", duration.as_secs_f64()),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_written() {
        for (text, ms) in [
            ("0", 0),
            ("1.5", 1_500),
            ("500ms", 500),
            ("90s", 90_000),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "36501d",
            "1e12",
            "",
            "-1",
            "m",
            "10 m",
            "10x",
            "1h30",
            "nan",
            "1e400",
            "99999999999999999999d",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse_positive("0s").is_err());
        assert_eq!(parse_ttl("365d"), Ok(LONGEST_TTL));
        assert_eq!(parse_key_ttl("1.5"), Ok(2));
        assert_eq!(parse_key_ttl_or_none("5m"), Ok(300));
        assert_eq!(parse_key_ttl_or_none("-1"), Ok(-1));
        for text in ["0", "-2", "366d"] {
            assert!(parse_key_ttl_or_none(text).is_err(), "{text}");
        }
        for text in ["366d", "0", "49ms", "100000d"] {
            assert!(parse_ttl(text).is_err(), "{text}");
        }
    }
}
