//! A JSON value as it was sent: key order, integers of any size, `2.0` beside `2` and half
//! surrogate pairs survive. An error can echo its input exactly, and a hash of the value is
//! Python's.

use std::borrow::Cow;

use serde::ser::{Error as _, Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

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
    /// A number with a fraction or an exponent, or one of Python's `NaN` and `Infinity`. A number
    /// that is not finite serializes as `null`.
    Float(f64),
    /// A string.
    Text(Text<'a>),
    /// An array.
    List(Vec<Json<'a>>),
    /// An object: each key once, in the order of first appearance, with the value sent last.
    Object(Vec<(Text<'a>, Json<'a>)>),
}

/// A string. Python's strings may hold half of a surrogate pair; Rust's may not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Text<'a> {
    /// Unicode text.
    Whole(Cow<'a, str>),
    /// Code points, at least one of which is half of a surrogate pair.
    Torn(Vec<u32>),
}

impl Json<'_> {
    /// The same value, which borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Json<'static> {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(value),
            Self::Integer(digits) => Json::Integer(Cow::Owned(digits.into_owned())),
            Self::Float(value) => Json::Float(value),
            Self::Text(text) => Json::Text(text.into_owned()),
            Self::List(items) => Json::List(items.into_iter().map(Json::into_owned).collect()),
            Self::Object(fields) => Json::Object(
                fields
                    .into_iter()
                    .map(|(key, value)| (key.into_owned(), value.into_owned()))
                    .collect(),
            ),
        }
    }

    /// The value of a key, for an object that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(fields) = self else { return None };
        fields.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// The text of a string that is Unicode text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { text.as_str() } else { None }
    }
}

impl Text<'_> {
    /// The text, if it is Unicode text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Whole(text) => Some(text),
            Self::Torn(_) => None,
        }
    }

    /// The text, with a replacement character for each half of a surrogate pair.
    #[must_use]
    pub fn to_lossy(&self) -> Cow<'_, str> {
        let character = |point: &u32| char::from_u32(*point).unwrap_or(char::REPLACEMENT_CHARACTER);
        match self {
            Self::Whole(text) => Cow::Borrowed(text),
            Self::Torn(points) => Cow::Owned(points.iter().map(character).collect()),
        }
    }

    /// The code points.
    pub fn points(&self) -> impl Iterator<Item = u32> {
        let (whole, torn) = match self {
            Self::Whole(text) => (&**text, &[][..]),
            Self::Torn(points) => ("", &points[..]),
        };
        whole.chars().map(u32::from).chain(torn.iter().copied())
    }

    pub(crate) fn push(&mut self, point: u32) {
        match (&mut *self, char::from_u32(point)) {
            (Self::Whole(text), Some(character)) => text.to_mut().push(character),
            (Self::Whole(text), None) => {
                *self = Self::Torn(text.chars().map(u32::from).chain([point]).collect());
            }
            (Self::Torn(points), _) => points.push(point),
        }
    }

    pub(crate) fn push_str(&mut self, more: &str) {
        match self {
            Self::Whole(text) => text.to_mut().push_str(more),
            Self::Torn(points) => points.extend(more.chars().map(u32::from)),
        }
    }

    fn into_owned(self) -> Text<'static> {
        match self {
            Self::Whole(text) => Text::Whole(Cow::Owned(text.into_owned())),
            Self::Torn(points) => Text::Torn(points),
        }
    }
}

impl<'a, T: Into<Cow<'a, str>>> From<T> for Text<'a> {
    fn from(text: T) -> Self {
        Self::Whole(text.into())
    }
}

impl From<&str> for Json<'static> {
    fn from(text: &str) -> Self {
        Self::Text(Text::from(text.to_owned()))
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
            Self::Text(text) => serializer.serialize_str(&text.to_lossy()),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, value) in fields {
                    map.serialize_entry(&key.to_lossy(), value)?;
                }
                map.end()
            }
        }
    }
}
