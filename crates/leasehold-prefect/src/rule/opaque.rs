//! Values that the server keeps as they came, because only clients interpret them.

use leasehold_python_json::Json;
use serde_json::{Map, Value, json};

use crate::declaration::Rule;
use crate::schema::Schemas;
use crate::validation::{Fault, Findings};

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

    fn schema(&self, _: &mut Schemas<'_>) -> Value {
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

    fn schema(&self, _: &mut Schemas<'_>) -> Value {
        json!({"type": "object"})
    }
}

/// Integers beyond 64 bits lose digits; no rule here computes with them.
pub(crate) fn value(input: &Json<'_>) -> Value {
    serde_json::to_value(input).unwrap_or_default()
}
