//! Writes JSON as `json.dumps(value, sort_keys=True)` does: in ASCII, and with a space after each
//! comma and colon.

use std::fmt::Write;

use crate::{Json, Text, repr};

impl Json<'_> {
    /// The value as `json.dumps(value, sort_keys=True)` writes it.
    #[must_use]
    pub fn dumps(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Integer(digits) => out.push_str(digits),
            Self::Float(value) if value.is_nan() => out.push_str("NaN"),
            Self::Float(f64::INFINITY) => out.push_str("Infinity"),
            Self::Float(f64::NEG_INFINITY) => out.push_str("-Infinity"),
            Self::Float(value) => out.push_str(&repr(*value)),
            Self::Text(text) => write_text(text, out),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by(|(one, _), (other, _)| one.points().cmp(other.points()));
                out.push('{');
                for (index, (key, value)) in fields.into_iter().enumerate() {
                    out.push_str(if index > 0 { ", " } else { "" });
                    write_text(key, out);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn write_text(text: &Text<'_>, out: &mut String) {
    out.push('"');
    for point in text.points() {
        match point {
            0x22 => out.push_str("\\\""),
            0x5c => out.push_str("\\\\"),
            0x0a => out.push_str("\\n"),
            0x0d => out.push_str("\\r"),
            0x09 => out.push_str("\\t"),
            0x0c => out.push_str("\\f"),
            0x08 => out.push_str("\\b"),
            0x20..=0x7e => out.extend(char::from_u32(point)),
            0x1_0000.. => {
                let offset = point - 0x1_0000;
                write_escape(0xd800 + (offset >> 10), out);
                write_escape(0xdc00 + (offset & 0x3ff), out);
            }
            _ => write_escape(point, out),
        }
    }
    out.push('"');
}

fn write_escape(unit: u32, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = write!(out, "\\u{unit:04x}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(Json::parse(text).unwrap().dumps(), expected, "{text}");
    }

    #[test]
    fn values_are_written_as_python_writes_them() {
        check(r#"{"b":1,"a":[1.0,2e3,null,true]}"#, r#"{"a": [1.0, 2000.0, null, true], "b": 1}"#);
        check("\"é\u{1f600}\u{7f}\"", r#""\u00e9\ud83d\ude00\u007f""#);
        check(r#""\ud83d\ude00 \ud800 \/""#, r#""\ud83d\ude00 \ud800 /""#);
        check("-0", "0");
        check("-0.0", "-0.0");
        check("123456789012345678901234567890", "123456789012345678901234567890");
        check("[NaN, Infinity, -Infinity, 1e400]", "[NaN, Infinity, -Infinity, Infinity]");
        check("[1e16, 0.00001, 1e22]", "[1e+16, 1e-05, 1e+22]");
        check(r#"{"a":1,"a":2}"#, r#"{"a": 2}"#);
        check("[]", "[]");
        check("{}", "{}");
    }

    #[test]
    fn keys_are_sorted_by_code_points_and_not_by_utf_16() {
        check("{\"\u{1f600}\":1,\"\u{ffff}\":2}", r#"{"\uffff": 2, "\ud83d\ude00": 1}"#);
        check(r#"{"\ue000":1,"\udc00":2}"#, r#"{"\udc00": 2, "\ue000": 1}"#);
    }
}
