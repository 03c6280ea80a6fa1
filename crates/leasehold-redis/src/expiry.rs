//! The old lock's value: an expiry as Python prints and reads it.

/// The expiry of an old lock without a timeout: one second past the largest 32-bit time.
pub const LOCK_FOREVER: f64 = 2_147_483_649.0;

/// What an old lock's value says about how long it is held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OldExpiry {
    /// Held until this Unix time in seconds.
    Until(f64),
    /// Held for ever: 2³¹+1 or later, or a value that is no number.
    Forever,
}

impl OldExpiry {
    /// Reads a value as Python's `float()` reads it, with the old lock's own rules for what that refuses: an empty
    /// value is long past, anything else that is no number is for ever.
    #[must_use]
    pub fn read(value: &[u8]) -> Self {
        if value.is_empty() {
            return Self::Until(1.0);
        }
        let number = std::str::from_utf8(value).ok().and_then(read_python_float);
        match number {
            Some(number) if number < LOCK_FOREVER => Self::Until(number),
            _ => Self::Forever,
        }
    }

    /// Whether the lock is still held at `now` (Unix seconds). A lock is held at the very instant of its expiry.
    #[must_use]
    pub fn is_live_at(self, now: f64) -> bool {
        match self {
            Self::Until(until) => until >= now,
            Self::Forever => true,
        }
    }
}

fn read_python_float(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = without_underscores(text)?.to_ascii_lowercase();
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(&digits);
    let starts_as_number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if !starts_as_number && !matches!(unsigned, "inf" | "infinity") {
        return None;
    }
    digits.parse().ok()
}

/// Python allows single underscores between digits.
fn without_underscores(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_digit =
        |index: Option<usize>| index.and_then(|i| bytes.get(i)).is_some_and(u8::is_ascii_digit);
    for (index, byte) in bytes.iter().enumerate() {
        if *byte == b'_' && !(is_digit(index.checked_sub(1)) && is_digit(index.checked_add(1))) {
            return None;
        }
    }
    Some(text.replace('_', ""))
}

/// A float as Python's `repr` prints it: the shortest digits that read back as the same number, an exponent below
/// 10⁻⁴ and from 10¹⁶ on, and always a point or an exponent.
#[must_use]
pub fn python_float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value == 0.0 || (-4..16).contains(&exponent) {
        return format!("{value:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: f64, expected: &str) {
        assert_eq!(python_float(value), expected);
    }

    #[test]
    fn floats_print_as_in_python() {
        check(1_795_209_900.803_572_7, "1795209900.8035727");
        check(LOCK_FOREVER, "2147483649.0");
        check(0.1, "0.1");
        check(-0.0, "-0.0");
        check(1e16, "1e+16");
        check(1e15, "1000000000000000.0");
        check(123_456_789_012_345_680.0, "1.2345678901234568e+17");
        check(0.0001, "0.0001");
        check(0.000_01, "1e-05");
        check(1.5e300, "1.5e+300");
        check(5e-324, "5e-324");
    }

    #[test]
    fn values_read_as_in_python() {
        assert_eq!(
            OldExpiry::read(b"1795209900.8035727"),
            OldExpiry::Until(1_795_209_900.803_572_7)
        );
        assert_eq!(OldExpiry::read(b" 17_95 "), OldExpiry::Until(1795.0));
        assert_eq!(OldExpiry::read(b""), OldExpiry::Until(1.0));
        assert_eq!(OldExpiry::read(b"1e3"), OldExpiry::Until(1000.0));
        for forever in [
            &b"2147483649.0"[..],
            b"a token",
            b"0x10",
            b"1__0",
            b"nan",
            b"inf",
            b"\xff",
            b"1e",
            b"infinite",
        ] {
            assert_eq!(OldExpiry::read(forever), OldExpiry::Forever, "{forever:?}");
        }
    }
}
