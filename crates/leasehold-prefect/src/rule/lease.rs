//! Rules for requests of the native API.

use std::collections::BTreeMap;

use leasehold_python_json::Json;
use serde_json::{Value, json};

use super::list::too_long;
use super::number::{Floor, Number, too_large};
use super::opaque::DICT_TYPE;
use super::text::{Shape, Text};
use super::{WORD, coerce};
use crate::declaration::Rule;
use crate::schema::Schemas;
use crate::settings::Settings;
use crate::validation::Findings;

/// How urgent a request is: any 32-bit integer.
pub(crate) const PRIORITY: Priority = Priority;

/// How long a lease lasts without a renewal: a second or more, within the operator's bounds. A
/// lower bound below a second replaces the second.
pub(crate) struct TtlSeconds;

impl TtlSeconds {
    fn within(settings: &Settings) -> Number {
        let least = settings.lease_seconds_min.min(1.0);
        Number { floor: Some(Floor::AtLeast(least)), most: Some(settings.lease_seconds_max) }
    }
}

impl Rule for TtlSeconds {
    type Value = f64;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<f64> {
        Self::within(findings.settings).read(input, findings)
    }

    fn schema(&self, schemas: &mut Schemas<'_>) -> Value {
        Self::within(schemas.settings).schema(schemas)
    }
}

pub(crate) struct Priority;

impl Rule for Priority {
    type Value = i32;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<i32> {
        let value = match coerce::integer(input) {
            Ok(value) => value,
            Err(fault) => return findings.refuse(fault.at(input)),
        };
        let (least, most) = (i64::from(i32::MIN), i64::from(i32::MAX));
        match i32::try_from(value) {
            Ok(priority) => Some(priority),
            Err(_) if value > 0 => findings.refuse(too_large(most, Json::from(most), input)),
            Err(_) => findings.refuse(Floor::AtLeast(least).explain(input, Json::from)),
        }
    }

    fn schema(&self, _: &mut Schemas<'_>) -> Value {
        json!({"type": "integer", "format": "int32"})
    }
}

/// Free words about a lease, each with a value.
pub(crate) struct Labels;

impl Labels {
    const COUNT_MAX: usize = 64;
    const NAME: Text = WORD;
    const VALUE: Text = Text { shape: Shape::AtMost(1_000) };
}

impl Rule for Labels {
    type Value = BTreeMap<String, String>;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<Self::Value> {
        let Json::Object(fields) = input else {
            return findings.refuse(DICT_TYPE.at(input));
        };
        if fields.len() > Self::COUNT_MAX {
            return findings.refuse(too_long("Dictionary", Self::COUNT_MAX, fields.len(), input));
        }
        let mut labels = BTreeMap::new();
        for (name, value) in fields {
            let step = name.to_lossy().into_owned();
            let label = findings.within(step, |findings| {
                let name = Self::NAME.read(&Json::Text(name.clone()), findings);
                name.zip(Self::VALUE.read(value, findings))
            });
            labels.extend(label);
        }
        (labels.len() == fields.len()).then_some(labels)
    }

    fn schema(&self, schemas: &mut Schemas<'_>) -> Value {
        json!({
            "type": "object",
            "propertyNames": Self::NAME.schema(schemas),
            "additionalProperties": Self::VALUE.schema(schemas),
            "maxProperties": Self::COUNT_MAX,
        })
    }
}
