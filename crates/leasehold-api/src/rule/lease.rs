//! What a request for a lease may say, at the door that is ours alone.

use std::collections::{BTreeMap, BTreeSet};

use leasehold_python_json::Json;
use serde_json::{Value, json};

use super::opaque::DICT_TYPE;
use super::{
    Floor, LIST_TYPE, Number, Rule, Shape, Text, WORD, coerce, empty_list, read_all, read_list,
    too_large, too_long,
};
use crate::Settings;
use crate::validation::{ErrorDetail, Findings};

/// How urgent a request is: any 32-bit integer.
pub(crate) const PRIORITY: Priority = Priority;

/// How long a lease lasts without a renewal: from a second on, or less where the operator
/// allows less, and no longer than the operator allows.
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

    fn schema(&self, settings: &Settings) -> Value {
        Self::within(settings).schema(settings)
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

    fn schema(&self, _: &Settings) -> Value {
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

    fn schema(&self, settings: &Settings) -> Value {
        json!({
            "type": "object",
            "propertyNames": Self::NAME.schema(settings),
            "additionalProperties": Self::VALUE.schema(settings),
            "maxProperties": Self::COUNT_MAX,
        })
    }
}

/// A list of so many items at the most.
pub(crate) struct ListOfAtMost<R>(pub(crate) usize, pub(crate) R);

impl<R: Rule> Rule for ListOfAtMost<R> {
    type Value = Vec<R::Value>;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<Self::Value> {
        read_list(&self.1, self.0, input, findings)
    }

    fn schema(&self, settings: &Settings) -> Value {
        json!({"type": "array", "items": self.1.schema(settings), "maxItems": self.0})
    }
}

/// A list that is not empty, and in which no two items have the same name.
pub(crate) struct Distinct<R, T> {
    pub(crate) most: usize,
    pub(crate) rule: R,
    pub(crate) name: fn(&T) -> &str,
}

impl<T, R: Rule<Value = T>> Rule for Distinct<R, T> {
    type Value = Vec<T>;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<Vec<T>> {
        match input {
            Json::List(items) if items.is_empty() => findings.refuse(empty_list(input)),
            Json::List(items) if items.len() > self.most => {
                findings.refuse(too_long("List", self.most, items.len(), input))
            }
            Json::List(items) => {
                let values = read_all(&self.rule, items, findings)?;
                let mut names = BTreeSet::new();
                let mut are_distinct = true;
                for (index, value) in values.iter().enumerate() {
                    let name = (self.name)(value);
                    if !names.insert(name) {
                        are_distinct = false;
                        let msg = format!("'{name}' is named more than once");
                        let detail = ErrorDetail::new("duplicate", msg, &Json::from(name));
                        findings.within(index, |findings| findings.refuse::<()>(detail));
                    }
                }
                are_distinct.then_some(values)
            }
            _ => findings.refuse(LIST_TYPE.at(input)),
        }
    }

    fn schema(&self, settings: &Settings) -> Value {
        let items = self.rule.schema(settings);
        json!({"type": "array", "items": items, "minItems": 1, "maxItems": self.most})
    }
}
