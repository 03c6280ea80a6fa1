//! The old lock's value: an expiry as Python prints and reads it.

use leasehold_python_json::float;

/// The expiry of an old lock without a timeout: one second past the largest 32-bit time.
pub const LOCK_FOREVER: f64 = 2_147_483_649.0;

/// What an old lock's value says about how long it is held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OldExpiry {
    /// Held until this Unix time in seconds.
    Until(f64),
    /// Held for ever: 2³¹+1 or later, or a value that is no number.
    Forever,
}

impl OldExpiry {
    /// Reads a value as Python's `float()` reads it, with the old lock's own rules for what that
    /// refuses: an empty value is long past, anything else that is no number is for ever.
    #[must_use]
    pub fn read(value: &[u8]) -> Self {
        if value.is_empty() {
            return Self::Until(1.0);
        }
        let number = std::str::from_utf8(value).ok().and_then(float);
        match number {
            Some(number) if number < LOCK_FOREVER => Self::Until(number),
            _ => Self::Forever,
        }
    }

    /// Whether the lock is still held at `now` (Unix seconds). A lock is held at the very instant
    /// of its expiry.
    #[must_use]
    pub fn is_live_at(self, now: f64) -> bool {
        match self {
            Self::Until(until) => until >= now,
            Self::Forever => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
