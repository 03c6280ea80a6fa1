//! Reads JSON as Python's `json` module does: it accepts the same texts (`NaN`, equal keys), and
//! reports the same faults at the same places.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::{Json, Text};

/// Python nests up to its recursion limit of about 1,000. A thread's stack bears half of that.
const DEPTH_MAX: usize = 500;

/// Python refuses longer integers, because they cost too much to read.
const DIGITS_MAX: usize = 4300;

/// Objects with more keys than this are searched for equal keys through an index.
const KEYS_SEARCHED_LINEARLY_MAX: usize = 16;

/// A text that is no JSON value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// A fault in the syntax, in Python's words. Its place is counted in characters.
    #[error("{message}: char {position}")]
    Syntax {
        /// Python's sentence.
        message: &'static str,
        /// The character at fault.
        position: usize,
    },
    /// The value nests too deeply, or an integer has more than 4,300 digits.
    #[error("the value nests too deeply, or an integer has more than {DIGITS_MAX} digits")]
    Unreasonable,
}

impl<'a> Json<'a> {
    /// Reads a text as `json.loads` does. White space may surround the value.
    ///
    /// # Errors
    /// [`JsonError`], also for values that nest beyond 500 levels.
    pub fn parse(text: &'a str) -> Result<Self, JsonError> {
        Self::parse_within(text, DEPTH_MAX)
    }

    /// The same for values that nest up to `depth_max` levels.
    ///
    /// # Errors
    /// [`JsonError`], also for values that nest beyond that.
    pub fn parse_within(text: &'a str, depth_max: usize) -> Result<Self, JsonError> {
        let mut reader = Reader { text, at: 0, depth_max };
        reader.skip_space();
        let value = reader.value(0).map_err(|fault| fault.located(text))?;
        reader.skip_space();
        if reader.at == text.len() {
            Ok(value)
        } else {
            Err(Fault::At("Extra data", reader.at).located(text))
        }
    }
}

/// A fault with its place in bytes. The place is counted in characters once reading has ended.
enum Fault {
    At(&'static str, usize),
    Unreasonable,
}

impl Fault {
    fn located(self, text: &str) -> JsonError {
        match self {
            Self::At(message, at) => {
                JsonError::Syntax { message, position: text[..at].chars().count() }
            }
            Self::Unreasonable => JsonError::Unreasonable,
        }
    }
}

/// The largest body that clients send often has 5 fields.
const FIELDS_EXPECTED: usize = 5;

struct Reader<'a> {
    text: &'a str,
    /// Always on a character boundary: it only passes ASCII, or whole characters.
    at: usize,
    depth_max: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn fault<T>(&self, message: &'static str) -> Result<T, Fault> {
        Err(Fault::At(message, self.at))
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, Fault> {
        match self.peek() {
            Some(b'"') => self.string().map(Json::Text),
            Some(b'{' | b'[') if depth == self.depth_max => Err(Fault::Unreasonable),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.list(depth + 1),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Result<Json<'a>, Fault> {
        const WORDS: [(&str, Json<'static>); 6] = [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
            ("NaN", Json::Float(f64::NAN)),
            ("Infinity", Json::Float(f64::INFINITY)),
            ("-Infinity", Json::Float(f64::NEG_INFINITY)),
        ];
        if let Some(b'0'..=b'9') = self.peek() {
            return self.number();
        }
        let rest = &self.text[self.at..];
        match WORDS.iter().find(|(word, _)| rest.starts_with(word)) {
            Some((word, value)) => {
                self.at += word.len();
                Ok(value.clone())
            }
            None => self.number(),
        }
    }

    fn number(&mut self) -> Result<Json<'a>, Fault> {
        let bytes = self.text.as_bytes();
        let digits_end = |from: usize| {
            from + (bytes[from..].iter()).take_while(|byte| byte.is_ascii_digit()).count()
        };
        let start = self.at;
        let first = start + usize::from(bytes.get(start) == Some(&b'-'));
        let mut end = match bytes.get(first) {
            Some(b'0') => first + 1,
            Some(b'1'..=b'9') => digits_end(first),
            _ => return self.fault("Expecting value"),
        };
        let whole_end = end;
        if bytes.get(end) == Some(&b'.') && digits_end(end + 1) > end + 1 {
            end = digits_end(end + 1);
        }
        if let Some(b'e' | b'E') = bytes.get(end) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = end + 1 + sign;
            if digits_end(exponent) > exponent {
                end = digits_end(exponent);
            }
        }
        self.at = end;
        let text = &self.text[start..end];
        if end > whole_end {
            return text.parse().map(Json::Float).map_err(|_| Fault::Unreasonable);
        }
        if whole_end - first > DIGITS_MAX {
            return Err(Fault::Unreasonable);
        }
        Ok(Json::Integer(Cow::Borrowed(if text == "-0" { "0" } else { text })))
    }

    fn list(&mut self, depth: usize) -> Result<Json<'a>, Fault> {
        self.at += 1;
        self.skip_space();
        let mut items = Vec::new();
        if self.peek() != Some(b']') {
            loop {
                items.push(self.value(depth)?);
                self.skip_space();
                match self.peek() {
                    Some(b']') => break,
                    Some(b',') => self.at += 1,
                    _ => return self.fault("Expecting ',' delimiter"),
                }
                self.skip_space();
            }
        }
        self.at += 1;
        Ok(Json::List(items))
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, Fault> {
        self.at += 1;
        self.skip_space();
        let mut fields = Vec::new();
        if self.peek() != Some(b'}') {
            fields.reserve(FIELDS_EXPECTED);
            loop {
                fields.push(self.field(depth)?);
                self.skip_space();
                match self.peek() {
                    Some(b'}') => break,
                    Some(b',') => self.at += 1,
                    _ => return self.fault("Expecting ',' delimiter"),
                }
                self.skip_space();
            }
        }
        self.at += 1;
        Ok(Json::Object(last_of_equal_keys(fields)))
    }

    fn field(&mut self, depth: usize) -> Result<(Text<'a>, Json<'a>), Fault> {
        if self.peek() != Some(b'"') {
            return self.fault("Expecting property name enclosed in double quotes");
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return self.fault("Expecting ':' delimiter");
        }
        self.at += 1;
        self.skip_space();
        Ok((key, self.value(depth)?))
    }

    /// A string from its opening quote on. Without escapes it is a slice of the text.
    fn string(&mut self) -> Result<Text<'a>, Fault> {
        let quote = self.at;
        self.at += 1;
        let mut text = Text::from(self.plain(quote)?);
        while self.peek() == Some(b'\\') {
            text.push(self.escape(quote)?);
            text.push_str(self.plain(quote)?);
        }
        self.at += 1;
        Ok(text)
    }

    /// Everything up to the next quote or backslash.
    fn plain(&mut self, quote: usize) -> Result<&'a str, Fault> {
        let rest = &self.text.as_bytes()[self.at..];
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
        let Some(length) = rest.iter().position(special) else {
            return Err(Fault::At("Unterminated string starting at", quote));
        };
        let plain = &self.text[self.at..self.at + length];
        self.at += length;
        match rest[length] {
            b'"' | b'\\' => Ok(plain),
            _ => self.fault("Invalid control character at"),
        }
    }

    /// The code point of one escape sequence, which may be half of a surrogate pair.
    fn escape(&mut self, quote: usize) -> Result<u32, Fault> {
        let backslash = self.at;
        self.at += 1;
        let Some(letter) = self.peek() else {
            return Err(Fault::At("Unterminated string starting at", quote));
        };
        let point = match letter {
            b'"' | b'\\' | b'/' => letter,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(Fault::At("Invalid \\escape", backslash)),
        };
        self.at += 1;
        Ok(u32::from(point))
    }

    fn unicode_escape(&mut self) -> Result<u32, Fault> {
        let unit = match self.hex4(self.at + 1) {
            // Python requires a character after the digits.
            Some(unit) if self.at + 5 < self.text.len() => unit,
            _ => return self.fault("Invalid \\uXXXX escape"),
        };
        self.at += 5;
        // Python requires a character after a whole pair, too; otherwise it reads each half by
        // itself.
        if let 0xd800..0xdc00 = unit
            && self.at + 6 < self.text.len()
            && self.text[self.at..].starts_with("\\u")
            && let Some(low @ 0xdc00..0xe000) = self.hex4(self.at + 2)
        {
            self.at += 6;
            return Ok(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
        }
        Ok(unit)
    }

    fn hex4(&self, from: usize) -> Option<u32> {
        let digits = self.text.as_bytes().get(from..from + 4)?;
        digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
    }
}

/// Of equal keys the last value counts, at the place of the first, as in a Python dictionary.
fn last_of_equal_keys<'a>(mut fields: Vec<(Text<'a>, Json<'a>)>) -> Vec<(Text<'a>, Json<'a>)> {
    if fields.len() <= KEYS_SEARCHED_LINEARLY_MAX {
        let mut place = 1;
        while place < fields.len() {
            let (before, rest) = fields.split_at_mut(place);
            match before.iter_mut().find(|(key, _)| *key == rest[0].0) {
                Some(first) => {
                    std::mem::swap(&mut first.1, &mut rest[0].1);
                    fields.remove(place);
                }
                None => place += 1,
            }
        }
        return fields;
    }
    let mut places: HashMap<Text<'a>, usize> = HashMap::with_capacity(fields.len());
    let mut distinct: Vec<(Text<'a>, Json<'a>)> = Vec::with_capacity(fields.len());
    for (key, value) in fields {
        match places.get(&key) {
            Some(place) => distinct[*place].1 = value,
            None => {
                places.insert(key.clone(), distinct.len());
                distinct.push((key, value));
            }
        }
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn broken(text: &str) -> (&'static str, usize) {
        match Json::parse(text) {
            Err(JsonError::Syntax { message, position }) => (message, position),
            other => panic!("{text} is read as {other:?}"),
        }
    }

    #[test]
    fn faults_have_the_names_and_places_that_python_gives_them() {
        assert_eq!(broken(""), ("Expecting value", 0));
        assert_eq!(broken("[1,]"), ("Expecting value", 3));
        assert_eq!(broken("{} x"), ("Extra data", 3));
        assert_eq!(broken("01"), ("Extra data", 1));
        assert_eq!(broken("[1 2]"), ("Expecting ',' delimiter", 3));
        assert_eq!(broken("{\"a\" 1}"), ("Expecting ':' delimiter", 5));
        assert_eq!(broken("{\"a\":1,}"), ("Expecting property name enclosed in double quotes", 7));
        assert_eq!(broken("[\"abc"), ("Unterminated string starting at", 1));
        assert_eq!(broken("\"a\nb\""), ("Invalid control character at", 2));
        assert_eq!(broken("\"\\x\""), ("Invalid \\escape", 1));
        assert_eq!(broken("\"\\u12g4\""), ("Invalid \\uXXXX escape", 2));
    }

    #[test]
    fn places_are_counted_in_characters() {
        assert_eq!(broken("{\"é\":\"☃\" 1}"), ("Expecting ',' delimiter", 9));
    }

    #[test]
    fn the_last_of_equal_keys_counts_at_the_place_of_the_first() {
        for others in [0, 40] {
            let others: String = (0..others).map(|key| format!(",\"{key}\":0")).collect();
            let text = format!("{{\"a\":1,\"b\":2,\"a\":3{others},\"b\":4}}");
            let Ok(Json::Object(fields)) = Json::parse(&text) else {
                panic!("{text} is no object");
            };
            assert_eq!(fields[0], ("a".into(), Json::Integer("3".into())));
            assert_eq!(fields[1], ("b".into(), Json::Integer("4".into())));
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 48, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..24)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// Pieces of JSON in any order: mostly broken, often by one character.
    fn nearly_json() -> impl Strategy<Value = String> {
        // No exponents: serde_json refuses numbers that become too large by them.
        let piece = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\n",
            "\"",
            "\"a\"",
            "\"b\":",
            "\\",
            "\\u00e9",
            "\\ud83d\\ude00",
            "\\n",
            "é",
            "☃",
            "0",
            "-",
            "12",
            ".5",
            "true",
            "false",
            "null",
            "tru",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn nesting_has_a_bound() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::parse(&nested(500)).is_ok());
        for depth in [501, 100_000] {
            assert_eq!(Json::parse(&nested(depth)), Err(JsonError::Unreasonable));
        }
        assert_eq!(Json::parse_within(&nested(3), 2), Err(JsonError::Unreasonable));
    }

    proptest! {
        #[test]
        fn a_written_value_reads_as_itself(value in any_json()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let written = serde_json::to_string(&value).unwrap();
            for text in [&pretty, &written] {
                let json = Json::parse(text).unwrap();
                prop_assert_eq!(serde_json::to_string(&json).unwrap(), written.clone());
                prop_assert_eq!(json.clone().into_owned(), json);
            }
        }

        #[test]
        fn serde_json_accepts_the_same_texts(text in nearly_json()) {
            let others = serde_json::from_str::<Value>(&text).is_ok();
            match Json::parse(&text) {
                Ok(_) => prop_assert!(others),
                Err(JsonError::Syntax { position, .. }) => {
                    prop_assert!(!others);
                    prop_assert!(position <= text.chars().count());
                }
                Err(JsonError::Unreasonable) => prop_assert!(false, "a short and flat text"),
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = Json::parse(&text);
        }
    }
}
