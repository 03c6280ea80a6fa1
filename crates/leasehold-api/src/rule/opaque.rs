//! What is kept as it came: values that mean something to clients alone.

use leasehold_python_json::{Json, JsonError};
use serde_json::{Map, Value, json};

use super::Rule;
use crate::Settings;
use crate::body::DEPTH_MAX;
use crate::validation::{Fault, Findings, Invalid};

pub(super) const DICT_TYPE: Fault = Fault("dict_type", "Input should be a valid dictionary");

/// Any value.
pub(crate) struct Any;

/// Any object.
pub(crate) struct Fields;

impl Rule for Any {
    type Value = Value;

    fn read(&self, input: &Json<'_>, _: &mut Findings<'_>) -> Option<Value> {
        Some(value(input))
    }

    fn schema(&self, _: &Settings) -> Value {
        json!({})
    }
}

impl Rule for Fields {
    type Value = Map<String, Value>;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<Map<String, Value>> {
        match value(input) {
            Value::Object(fields) => Some(fields),
            _ => findings.refuse(DICT_TYPE.at(input)),
        }
    }

    fn schema(&self, _: &Settings) -> Value {
        json!({"type": "object"})
    }
}

/// Reads a body that is an object of its client's own, if it is one.
///
/// # Errors
///
/// [`Invalid::Unreadable`], as with every other body.
pub fn object(bytes: &[u8]) -> Result<Option<Map<String, Value>>, Invalid> {
    let text = std::str::from_utf8(bytes).map_err(|_| Invalid::Unreadable)?;
    match Json::parse_within(text, DEPTH_MAX) {
        Ok(json) => match value(&json) {
            Value::Object(fields) => Ok(Some(fields)),
            _ => Ok(None),
        },
        Err(JsonError::Syntax { .. }) => Ok(None),
        Err(_) => Err(Invalid::Unreadable),
    }
}

/// Integers beyond 64 bits lose digits: nothing here counts with them.
fn value(input: &Json<'_>) -> Value {
    serde_json::to_value(input).unwrap_or_default()
}
