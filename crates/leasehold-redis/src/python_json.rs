//! JSON as Python reads and writes it, because the ids of TaskTiger's locks are hashes of what `json.dumps` wrote.

use crate::expiry::python_float;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A value as Python's `json.loads` gives it.
#[derive(Debug, Clone, PartialEq)]
pub enum PythonJson {
    /// `None`.
    Null,
    /// `True` or `False`.
    Bool(bool),
    /// A whole number of any size, as its digits.
    Int(String),
    /// A float, among them `NaN` and the infinities.
    Float(f64),
    /// A string as code points, since Python allows lone surrogates and sorts by code points.
    Str(Vec<u32>),
    /// A list.
    List(Vec<PythonJson>),
    /// A dict; of keys that come twice, the last one counts.
    Dict(BTreeMap<Vec<u32>, PythonJson>),
}

/// Text that is no JSON.
#[derive(Debug, thiserror::Error)]
#[error("no JSON at byte {at}: {what}")]
pub struct JsonError {
    at: usize,
    what: &'static str,
}

/// Deeper nesting than this is refused rather than trusted to the stack.
const DEPTH_MAX: usize = 500;

impl PythonJson {
    /// A string.
    #[must_use]
    pub fn str(text: &str) -> Self {
        Self::Str(text.chars().map(u32::from).collect())
    }

    /// Reads JSON as `json.loads` does.
    ///
    /// # Errors
    /// When the text is no JSON.
    pub fn parse(text: &str) -> Result<Self, JsonError> {
        let mut reader = Reader { bytes: text.as_bytes(), text, at: 0, depth: 0 };
        reader.skip_space();
        let value = reader.value()?;
        reader.skip_space();
        if reader.at < reader.bytes.len() {
            return Err(reader.error("something follows the value"));
        }
        Ok(value)
    }

    /// Writes JSON as `json.dumps(value, sort_keys=True)` does.
    #[must_use]
    pub fn dumps(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// The value of a key, for a dict that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Dict(entries) => entries.get(&key.chars().map(u32::from).collect::<Vec<_>>()),
            _ => None,
        }
    }

    /// The text of a string without lone surrogates.
    #[must_use]
    pub fn as_text(&self) -> Option<String> {
        match self {
            Self::Str(points) => points.iter().map(|point| char::from_u32(*point)).collect(),
            _ => None,
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Int(digits) => out.push_str(digits),
            Self::Float(value) => out.push_str(&json_float(*value)),
            Self::Str(points) => write_string(points, out),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    item.write(out);
                }
                out.push(']');
            }
            Self::Dict(entries) => {
                out.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    write_string(key, out);
                    out.push_str(": ");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn json_float(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        python_float(value)
    }
}

fn write_string(points: &[u32], out: &mut String) {
    out.push('"');
    for &point in points {
        match point {
            0x22 => out.push_str("\\\""),
            0x5c => out.push_str("\\\\"),
            0x0a => out.push_str("\\n"),
            0x0d => out.push_str("\\r"),
            0x09 => out.push_str("\\t"),
            0x0c => out.push_str("\\f"),
            0x08 => out.push_str("\\b"),
            0x20..=0x7e => out.push(char::from(u8::try_from(point).unwrap_or(b'?'))),
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

struct Reader<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn error(&self, what: &'static str) -> JsonError {
        JsonError { at: self.at, what }
    }

    fn skip_space(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.bytes[self.at..].starts_with(token.as_bytes());
        if found {
            self.at += token.len();
        }
        found
    }

    fn value(&mut self) -> Result<PythonJson, JsonError> {
        for (token, value) in [
            ("null", PythonJson::Null),
            ("true", PythonJson::Bool(true)),
            ("false", PythonJson::Bool(false)),
            ("NaN", PythonJson::Float(f64::NAN)),
            ("Infinity", PythonJson::Float(f64::INFINITY)),
            ("-Infinity", PythonJson::Float(f64::NEG_INFINITY)),
        ] {
            if self.eat(token) {
                return Ok(value);
            }
        }
        match self.bytes.get(self.at) {
            Some(b'"') => Ok(PythonJson::Str(self.string()?)),
            Some(b'[') => self.nested(Self::list),
            Some(b'{') => self.nested(Self::dict),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.error("expected a value")),
        }
    }

    fn nested(
        &mut self,
        read: fn(&mut Self) -> Result<PythonJson, JsonError>,
    ) -> Result<PythonJson, JsonError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("nested too deeply"));
        }
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn list(&mut self) -> Result<PythonJson, JsonError> {
        let mut items = Vec::new();
        self.skip_space();
        if self.eat("]") {
            return Ok(PythonJson::List(items));
        }
        loop {
            self.skip_space();
            items.push(self.value()?);
            self.skip_space();
            if self.eat("]") {
                return Ok(PythonJson::List(items));
            }
            if !self.eat(",") {
                return Err(self.error("expected a comma or the end of the list"));
            }
        }
    }

    fn dict(&mut self) -> Result<PythonJson, JsonError> {
        let mut entries = BTreeMap::new();
        self.skip_space();
        if self.eat("}") {
            return Ok(PythonJson::Dict(entries));
        }
        loop {
            self.skip_space();
            let key = self.string()?;
            self.skip_space();
            if !self.eat(":") {
                return Err(self.error("expected a colon"));
            }
            self.skip_space();
            entries.insert(key, self.value()?);
            self.skip_space();
            if self.eat("}") {
                return Ok(PythonJson::Dict(entries));
            }
            if !self.eat(",") {
                return Err(self.error("expected a comma or the end of the object"));
            }
        }
    }

    fn number(&mut self) -> Result<PythonJson, JsonError> {
        let start = self.at;
        let _ = self.eat("-");
        let digits = self.digits();
        if digits == 0 || (digits > 1 && self.bytes[self.at - digits] == b'0') {
            return Err(self.error("expected a number without leading zeros"));
        }
        let whole_end = self.at;
        let mut is_float = false;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            if self.digits() > 0 {
                is_float = true;
            } else {
                return Err(self.error("expected digits after the point"));
            }
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            self.at += 1;
            if !self.eat("+") {
                let _ = self.eat("-");
            }
            if self.digits() == 0 {
                return Err(self.error("expected digits in the exponent"));
            }
            is_float = true;
        }
        if !is_float {
            let digits = &self.text[start..whole_end];
            return Ok(PythonJson::Int(if digits == "-0" { "0" } else { digits }.to_owned()));
        }
        let value =
            self.text[start..self.at].parse().map_err(|_| self.error("expected a number"))?;
        Ok(PythonJson::Float(value))
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        self.at - start
    }

    fn string(&mut self) -> Result<Vec<u32>, JsonError> {
        if !self.eat("\"") {
            return Err(self.error("expected a string"));
        }
        let mut points = Vec::new();
        loop {
            let Some(character) = self.text[self.at..].chars().next() else {
                return Err(self.error("the string does not end"));
            };
            self.at += character.len_utf8();
            match character {
                '"' => return Ok(points),
                '\\' => self.escape(&mut points)?,
                '\0'..='\x1f' => return Err(self.error("a control character in a string")),
                other => points.push(u32::from(other)),
            }
        }
    }

    fn escape(&mut self, points: &mut Vec<u32>) -> Result<(), JsonError> {
        let Some(&kind) = self.bytes.get(self.at) else {
            return Err(self.error("the string does not end"));
        };
        self.at += 1;
        let point = match kind {
            b'"' | b'\\' | b'/' => u32::from(kind),
            b'b' => 8,
            b'f' => 12,
            b'n' => 10,
            b'r' => 13,
            b't' => 9,
            b'u' => self.unit()?,
            _ => return Err(self.error("an escape that JSON does not have")),
        };
        // A surrogate pair is one code point; a lone one stays, as in Python.
        let is_high = kind == b'u' && (0xd800..0xdc00).contains(&point);
        if is_high && self.bytes[self.at..].starts_with(b"\\u") {
            let before = self.at;
            self.at += 2;
            let low = self.unit()?;
            if (0xdc00..0xe000).contains(&low) {
                points.push(0x1_0000 + ((point - 0xd800) << 10) + (low - 0xdc00));
                return Ok(());
            }
            self.at = before;
        }
        points.push(point);
        Ok(())
    }

    fn unit(&mut self) -> Result<u32, JsonError> {
        let digits = self
            .bytes
            .get(self.at..self.at + 4)
            .ok_or_else(|| self.error("expected four hex digits"))?;
        let mut unit = 0;
        for digit in digits {
            let digit = char::from(*digit)
                .to_digit(16)
                .ok_or_else(|| self.error("expected four hex digits"))?;
            unit = unit * 16 + digit;
        }
        self.at += 4;
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(PythonJson::parse(text).unwrap().dumps(), expected, "{text}");
    }

    #[test]
    fn dumps_as_python_does() {
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
    fn keys_sort_by_code_points_and_not_by_utf16() {
        check("{\"\u{1f600}\":1,\"\u{ffff}\":2}", r#"{"\uffff": 2, "\ud83d\ude00": 1}"#);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "01",
            "1.",
            "[1,]",
            "{\"a\"}",
            "\"\u{1}\"",
            "\"a",
            "nul",
            "[",
            "1 2",
            "\"\\u12\"",
            "\"\\x\"",
        ] {
            assert!(PythonJson::parse(text).is_err(), "{text:?}");
        }
        assert!(PythonJson::parse(&"[".repeat(100_000)).is_err());
    }
}
