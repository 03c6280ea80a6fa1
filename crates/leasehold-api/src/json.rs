//! A JSON value as it was sent: key order, integers of any size and `2.0` beside `2` survive, so
//! that an error can echo its input exactly.

mod reader;

use std::borrow::Cow;

use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

pub(crate) use reader::{Broken, read};

/// A JSON value, borrowed from the text it was read from where that is possible.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without fraction and exponent, as its digits: it may be larger than any integer
    /// type.
    Integer(Cow<'a, str>),
    /// A number with a fraction or an exponent, or one of Python's `NaN` and `Infinity`. What is
    /// not finite is echoed as `null`.
    Float(f64),
    /// A string.
    Text(Cow<'a, str>),
    /// A string with half of a surrogate pair, which is no Unicode text; the half is replaced.
    Torn(String),
    /// An array.
    List(Vec<Json<'a>>),
    /// An object: each key once, in the order of first appearance, with the value sent last.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl Json<'_> {
    /// The same value, on its own.
    #[must_use]
    pub fn into_owned(self) -> Json<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(value),
            Self::Integer(digits) => Json::Integer(owned(digits)),
            Self::Float(value) => Json::Float(value),
            Self::Text(text) => Json::Text(owned(text)),
            Self::Torn(text) => Json::Torn(text),
            Self::List(items) => Json::List(items.into_iter().map(Json::into_owned).collect()),
            Self::Object(fields) => Json::Object(
                (fields.into_iter()).map(|(key, value)| (owned(key), value.into_owned())).collect(),
            ),
        }
    }
}

impl From<&str> for Json<'static> {
    fn from(text: &str) -> Self {
        Self::Text(Cow::Owned(text.into()))
    }
}

impl From<i64> for Json<'static> {
    fn from(value: i64) -> Self {
        Self::Integer(Cow::Owned(value.to_string()))
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Integer(digits) => match digits.parse::<i64>() {
                Ok(value) => serializer.serialize_i64(value),
                Err(_) => RawValue::from_string(digits.clone().into_owned())
                    .map_err(S::Error::custom)?
                    .serialize(serializer),
            },
            Self::Float(value) if value.is_finite() => serializer.serialize_f64(*value),
            Self::Float(_) => serializer.serialize_unit(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Torn(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, value) in fields {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}
