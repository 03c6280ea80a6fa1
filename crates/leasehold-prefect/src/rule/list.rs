//! Lists: their length and their items.

use std::collections::BTreeSet;

use leasehold_python_json::Json;
use serde_json::{Value, json};

use super::{NAMED, NAMES_MAX};
use crate::declaration::Rule;
use crate::schema::Schemas;
use crate::validation::{ErrorDetail, Fault, Findings};

const LIST_TYPE: Fault = Fault("list_type", "Input should be a valid list");

/// How many items other lists may have: each item adds to the cost of a step of the ledger.
const ITEMS_MAX: usize = 1_000;

/// A list whose items follow one rule. It may be empty, and has at most 1,000 items.
pub(crate) struct ListOf<R>(pub(crate) R);

impl<R: Rule> Rule for ListOf<R> {
    type Value = Vec<R::Value>;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<Self::Value> {
        read_list(&self.0, ITEMS_MAX, input, findings)
    }

    fn schema(&self, schemas: &mut Schemas<'_>) -> Value {
        json!({"type": "array", "items": self.0.schema(schemas), "maxItems": ITEMS_MAX})
    }
}

/// A list of no more than `most` items.
pub(super) fn read_list<R: Rule>(
    rule: &R,
    most: usize,
    input: &Json<'_>,
    findings: &mut Findings<'_>,
) -> Option<Vec<R::Value>> {
    let Json::List(items) = input else {
        return findings.refuse(LIST_TYPE.at(input));
    };
    if items.len() > most {
        return findings.refuse(too_long("List", most, items.len(), input));
    }
    read_all(rule, items, findings)
}

pub(super) fn too_long(what: &str, most: usize, count: usize, input: &Json<'_>) -> ErrorDetail {
    let msg = format!("{what} should have at most {most} items after validation, not {count}");
    let most = Json::Integer(most.to_string().into());
    ErrorDetail::new("too_long", msg, input).with("max_length", most)
}

/// The names of limits to take or give back slots of. Servers before 3.9 accepted an empty list,
/// and their clients still may send one ([`may_name_nothing`](crate::Settings::may_name_nothing)).
pub(crate) struct Names;

impl Rule for Names {
    type Value = Vec<String>;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<Self::Value> {
        match input {
            Json::List(items) if items.is_empty() && !findings.settings.may_name_nothing => {
                findings.refuse(empty_list(input))
            }
            _ => read_list(&NAMED, NAMES_MAX, input, findings),
        }
    }

    fn schema(&self, schemas: &mut Schemas<'_>) -> Value {
        let mut schema = ListOfAtMost(NAMES_MAX, NAMED).schema(schemas);
        if !schemas.settings.may_name_nothing {
            schema["minItems"] = json!(1);
        }
        schema
    }
}

fn empty_list(input: &Json<'_>) -> ErrorDetail {
    let msg = "List should have at least 1 item after validation, not 0";
    ErrorDetail::new("too_short", msg, input)
        .with("field_type", "List")
        .with("min_length", Json::from(1))
        .with("actual_length", Json::from(0))
}

/// All items, or `None` if any of them is invalid.
fn read_all<R: Rule>(
    rule: &R,
    items: &[Json<'_>],
    findings: &mut Findings<'_>,
) -> Option<Vec<R::Value>> {
    let mut values = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        values.extend(findings.within(index, |findings| rule.read(item, findings)));
    }
    (values.len() == items.len()).then_some(values)
}

/// A list with a bound on its length.
pub(crate) struct ListOfAtMost<R>(pub(crate) usize, pub(crate) R);

impl<R: Rule> Rule for ListOfAtMost<R> {
    type Value = Vec<R::Value>;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<Self::Value> {
        read_list(&self.1, self.0, input, findings)
    }

    fn schema(&self, schemas: &mut Schemas<'_>) -> Value {
        json!({"type": "array", "items": self.1.schema(schemas), "maxItems": self.0})
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

    fn schema(&self, schemas: &mut Schemas<'_>) -> Value {
        let items = self.rule.schema(schemas);
        json!({"type": "array", "items": items, "minItems": 1, "maxItems": self.most})
    }
}
