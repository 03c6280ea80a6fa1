//! The rules for fields. Each reads a value, explains a bad one as pydantic does, and writes its
//! own JSON Schema.

mod coerce;
mod lease;
mod list;
mod number;
pub(crate) mod opaque;
mod text;
mod words;

use std::marker::PhantomData;

use leasehold_python_json::{Json, Text as JsonText};
use serde::de::value::Error as ValueError;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::declaration::{Declared, Rule};
use crate::read::read_declared;
use crate::schema::Schemas;
use crate::validation::{ErrorDetail, Fault, Findings};

pub(crate) use lease::{Labels, PRIORITY, TtlSeconds};
pub(crate) use list::{Distinct, ListOf, ListOfAtMost, Names};
use number::{Floor, Integer, Most, Number};
pub(crate) use number::{LeaseSeconds, PageSize};
pub(crate) use opaque::{Any, Fields};
use text::{Shape, Text};

const UUID_TYPE: Fault = Fault("uuid_type", "UUID input should be a string, bytes or UUID object");

/// A count that the server stores: 0 to 2⁶³ − 1. The recorded server fails with 500 above that.
pub(crate) const COUNT: Integer = Integer { floor: Floor::AtLeast(0), most: Most::Refused };

/// A number of slots to take or give back: at least 1. No limit has more than 2⁶³ − 1 slots, so the
/// rule reads a larger number as 2⁶³ − 1.
pub(crate) const SLOTS: Integer = Integer { floor: Floor::Above(0), most: Most::Clamped };

/// A rate or a length that may be 0.
pub(crate) const NOT_NEGATIVE: Number = Number { floor: Some(Floor::AtLeast(0.0)), most: None };

/// A length that may not be 0.
pub(crate) const POSITIVE: Number = Number { floor: Some(Floor::Above(0.0)), most: None };

pub(crate) const BOOLEAN: Boolean = Boolean;
pub(crate) const ID: Id = Id;
pub(crate) const TEXT: Text = Text { shape: Shape::Any };

/// The name of a limit, up to 1,000 characters. It may hold spaces and line breaks, but no other
/// control character, and nothing that a path or a page would have to escape.
pub(crate) const NAME: Text = Text { shape: Shape::Name };

/// A tag: the name of its limit is `tag:<tag>`, so the tag may be empty.
pub(crate) const TAG: Text = Text { shape: Shape::Tag };

/// A name to look up.
pub(crate) const NAMED: Text = Text { shape: Shape::Named };

/// A word of the client's choice, such as an id or a key.
pub(crate) const WORD: Text = Text { shape: Shape::Between(1, 255) };

/// How many limits a request may name, where it names them in a list.
pub(crate) const NAMES_MAX: usize = 256;

/// How long a request may wait: up to an hour.
pub(crate) const WAIT_SECONDS: Number =
    Number { floor: Some(Floor::AtLeast(0.0)), most: Some(3_600.0) };

/// A sentence of an operator.
pub(crate) const REASON: Text = Text { shape: Shape::AtMost(500) };

pub(crate) struct Boolean;

impl Rule for Boolean {
    type Value = bool;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<bool> {
        match coerce::boolean(input) {
            Ok(value) => Some(value),
            Err(fault) => findings.refuse(fault.at(input)),
        }
    }

    fn schema(&self, _: &mut Schemas<'_>) -> Value {
        json!({"type": "boolean"})
    }
}

/// A UUID in any of its written forms.
pub(crate) struct Id;

impl Rule for Id {
    type Value = Uuid;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<Uuid> {
        let Json::Text(JsonText::Whole(text)) = input else {
            return findings.refuse(UUID_TYPE.at(input));
        };
        // The recorded server knows the prefix in small letters only.
        let parsed = match text.chars().next() {
            Some(first @ ('u' | 'U')) if !text.starts_with("urn:uuid:") => {
                Err(format!("invalid character: found `{first}` at 0"))
            }
            _ => Uuid::parse_str(text).map_err(|error| error.to_string()),
        };
        match parsed {
            Ok(id) => Some(id),
            Err(error) => {
                let msg = format!("Input should be a valid UUID, {error}");
                findings.refuse(ErrorDetail::new("uuid_parsing", msg, input).with("error", &*error))
            }
        }
    }

    fn schema(&self, _: &mut Schemas<'_>) -> Value {
        json!({"type": "string", "format": "uuid"})
    }
}

/// A word out of a few: an enumeration that derives `Deserialize`.
pub(crate) struct OneOf<T>(&'static str, PhantomData<T>);

impl<T> OneOf<T> {
    /// A word that the recorded validation declares as a literal.
    pub(crate) const RULE: Self = Self("literal_error", PhantomData);
    /// A word that it declares as a member of an enumeration.
    pub(crate) const MEMBER: Self = Self("enum", PhantomData);
}

impl<T: DeserializeOwned> Rule for OneOf<T> {
    type Value = T;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<T> {
        let known: Result<T, ValueError> =
            T::deserialize(input.as_str().unwrap_or_default().into_deserializer());
        if let Ok(choice) = known {
            return Some(choice);
        }
        let expected = enumerate(words::of::<T>());
        let msg = format!("Input should be {expected}");
        findings.refuse(ErrorDetail::new(self.0, msg, input).with("expected", &*expected))
    }

    fn schema(&self, _: &mut Schemas<'_>) -> Value {
        json!({"type": "string", "enum": words::of::<T>()})
    }
}

/// `'a', 'b' or 'c'`.
fn enumerate(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// An object within a body, declared as bodies are.
pub(crate) struct Nested<T>(PhantomData<T>);

impl<T> Nested<T> {
    pub(crate) const RULE: Self = Self(PhantomData);
}

impl<T: Declared> Rule for Nested<T> {
    type Value = T;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<T> {
        read_declared(input, findings)
    }

    fn schema(&self, schemas: &mut Schemas<'_>) -> Value {
        schemas.of_declared::<T>()
    }
}
