//! Python's `float()` and `repr()`.

/// Reads a number as Python's `float()` does, `inf` and `nan` included.
#[must_use]
pub fn float(text: &str) -> Option<f64> {
    let text = text.trim();
    let bytes = text.as_bytes();
    let is_digit = |index: usize| bytes.get(index).is_some_and(u8::is_ascii_digit);
    // A single underscore may separate two digits.
    let is_misplaced = |(index, _)| index == 0 || !is_digit(index - 1) || !is_digit(index + 1);
    if text.match_indices('_').any(is_misplaced) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// Writes a number as Python's `repr()` does: the shortest digits that read back as the same
/// number, an exponent below 10⁻⁴ and from 10¹⁶ on, and always a point or an exponent.
#[must_use]
pub fn repr(value: f64) -> String {
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

    #[test]
    fn floats_are_written_as_in_python() {
        for (value, expected) in [
            (1_795_209_900.803_572_7, "1795209900.8035727"),
            (2_147_483_649.0, "2147483649.0"),
            (0.1, "0.1"),
            (-0.0, "-0.0"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(repr(value), expected);
        }
    }

    #[test]
    fn floats_are_read_as_in_python() {
        for (text, expected) in [
            ("1795209900.8035727", 1_795_209_900.803_572_7),
            (" 17_95\n", 1795.0),
            ("1e3", 1000.0),
            ("+.5", 0.5),
            ("5.", 5.0),
            ("1e400", f64::INFINITY),
            ("-INF", f64::NEG_INFINITY),
            ("Infinity", f64::INFINITY),
        ] {
            assert_eq!(float(text), Some(expected), "{text:?}");
        }
        assert!(float("nan").is_some_and(f64::is_nan));
        for text in ["", " ", "a", "0x10", "1__0", "_1", "1_", "1_.5", "1e", "infinite", "1 2"] {
            assert_eq!(float(text), None, "{text:?}");
        }
    }
}
