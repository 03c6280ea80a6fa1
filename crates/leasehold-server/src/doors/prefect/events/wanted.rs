//! Which events a subscriber wants: the contract's `EventFilter`, in full.
//!
//! An empty list demands nothing, as in the contract. All parts of a filter must hold. All that one
//! part demands of a resource must hold for the same resource.

mod text;

use std::collections::BTreeMap;

use leasehold_records::micros_from_text;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use uuid::Uuid;

use self::text::Query;

/// The filter of a subscriber. A part that is `None` demands nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wanted {
    pub(super) occurred: Occurred,
    event: Option<Kinds>,
    resource: Option<OfResource>,
    related: Option<OneOrMany<OfRelated>>,
    any_resource: Option<OneOrMany<OfResource>>,
    id: Option<OfId>,
    text: Option<OfText>,
    /// Read and ignored: a stream sends events in the order in which they happen.
    #[serde(rename = "order")]
    _order: Option<Order>,
}

/// When the event happened, in microseconds since the Unix epoch, both ends included.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Occurred {
    #[serde(deserialize_with = "point_in_time")]
    pub(super) since: Option<i64>,
    #[serde(deserialize_with = "point_in_time")]
    pub(super) until: Option<i64>,
}

#[derive(Debug, Deserialize)]
enum Order {
    #[serde(rename = "ASC")]
    Ascending,
    #[serde(rename = "DESC")]
    Descending,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Kinds {
    prefix: Option<Vec<String>>,
    exclude_prefix: Option<Vec<String>>,
    name: Option<Vec<String>>,
    exclude_name: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OfResource {
    id: Option<Vec<String>>,
    id_prefix: Option<Vec<String>>,
    labels: Option<Labels>,
    /// Read and ignored: it is for pages of a query. A stream sends every event.
    #[serde(rename = "distinct")]
    _distinct: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OfRelated {
    id: Option<Vec<String>>,
    role: Option<Vec<String>>,
    resources_in_roles: Option<Vec<(String, String)>>,
    labels: Option<Labels>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OfId {
    id: Option<Vec<Uuid>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfText {
    query: Query,
}

/// The labels that a resource must have: each with patterns, of which one must match its value.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct Labels(BTreeMap<String, OneOrMany<String>>);

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

fn point_in_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let micros = micros_from_text(&text);
    micros.map(Some).ok_or_else(|| serde::de::Error::custom("no point in time"))
}

impl Wanted {
    /// Whether the subscriber wants an event, given as the JSON that it would receive. Does not
    /// check `occurred`.
    pub(super) fn passes(&self, event: &Value) -> bool {
        let kind = event.get("event").and_then(Value::as_str).unwrap_or_default();
        let resource = event.get("resource").unwrap_or(&Value::Null);
        let related = match event.get("related") {
            Some(Value::Array(related)) => related.as_slice(),
            _ => &[],
        };
        self.event.as_ref().is_none_or(|kinds| kinds.pass(kind))
            && self.resource.as_ref().is_none_or(|wanted| wanted.passes(resource))
            && all(self.related.as_ref(), |wanted| wanted.passes(related))
            && all(self.any_resource.as_ref(), |wanted| {
                std::iter::once(resource).chain(related).any(|resource| wanted.passes(resource))
            })
            && self.id.as_ref().is_none_or(|wanted| wanted.passes(event))
            && self.text.as_ref().is_none_or(|text| text.query.finds(event))
    }
}

impl Occurred {
    /// Whether this time lies between `since` and `until`.
    pub(super) fn includes(&self, at_micros: i64) -> bool {
        self.since.is_none_or(|since| since <= at_micros)
            && self.until.is_none_or(|until| at_micros <= until)
    }
}

impl Kinds {
    fn pass(&self, kind: &str) -> bool {
        let begins = |prefix: &String| kind.starts_with(prefix.as_str());
        let is_named = |name: &String| name == kind;
        asks(self.prefix.as_ref(), begins)
            && asks(self.name.as_ref(), is_named)
            && !self.exclude_prefix.iter().flatten().any(begins)
            && !self.exclude_name.iter().flatten().any(is_named)
    }
}

impl OfResource {
    fn passes(&self, resource: &Value) -> bool {
        let id = id(resource);
        asks(self.id.as_ref(), |wanted| wanted == id)
            && asks(self.id_prefix.as_ref(), |prefix| id.starts_with(prefix.as_str()))
            && self.labels.as_ref().is_none_or(|labels| labels.match_those_of(resource))
    }
}

impl OfRelated {
    fn passes(&self, related: &[Value]) -> bool {
        let asks_nothing = is_empty(self.id.as_ref())
            && is_empty(self.role.as_ref())
            && is_empty(self.resources_in_roles.as_ref())
            && self.labels.is_none();
        asks_nothing || related.iter().any(|resource| self.is_met_by(resource))
    }

    fn is_met_by(&self, resource: &Value) -> bool {
        let (id, role) = (id(resource), label(resource, "prefect.resource.role"));
        asks(self.id.as_ref(), |wanted| wanted == id)
            && asks(self.role.as_ref(), |wanted| Some(wanted.as_str()) == role)
            && asks(self.resources_in_roles.as_ref(), |(in_id, in_role)| {
                in_id == id && Some(in_role.as_str()) == role
            })
            && self.labels.as_ref().is_none_or(|labels| labels.match_those_of(resource))
    }
}

impl OfId {
    fn passes(&self, event: &Value) -> bool {
        let id = event.get("id").and_then(Value::as_str).and_then(|id| id.parse::<Uuid>().ok());
        asks(self.id.as_ref(), |wanted| Some(*wanted) == id)
    }
}

impl Labels {
    fn match_those_of(&self, resource: &Value) -> bool {
        self.0.iter().all(|(name, patterns)| {
            let value = label(resource, name);
            value.is_some_and(|value| patterns.as_slice().iter().any(|it| matches(it, value)))
        })
    }
}

impl<T> OneOrMany<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

fn all<T>(wanted: Option<&OneOrMany<T>>, holds: impl Fn(&T) -> bool) -> bool {
    wanted.is_none_or(|wanted| wanted.as_slice().iter().all(holds))
}

/// Whether `holds` accepts an item of the list. An empty list demands nothing.
fn asks<T>(list: Option<&Vec<T>>, holds: impl Fn(&T) -> bool) -> bool {
    is_empty(list) || list.is_some_and(|list| list.iter().any(holds))
}

fn is_empty<T>(list: Option<&Vec<T>>) -> bool {
    list.is_none_or(Vec::is_empty)
}

fn id(resource: &Value) -> &str {
    label(resource, "prefect.resource.id").unwrap_or_default()
}

fn label<'resource>(resource: &'resource Value, name: &str) -> Option<&'resource str> {
    resource.get(name).and_then(Value::as_str)
}

/// Whether a label's value matches a pattern. `*` matches any text and `?` one character. A leading
/// `!` inverts the pattern.
fn matches(pattern: &str, value: &str) -> bool {
    match pattern.strip_prefix('!') {
        Some(pattern) => !is_like(pattern, value),
        None => is_like(pattern, value),
    }
}

/// Patterns come from clients, so this takes at most the product of both lengths.
fn is_like(pattern: &str, value: &str) -> bool {
    let (pattern, value): (Vec<_>, Vec<_>) = (pattern.chars().collect(), value.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // The position of the last star in the pattern, and of the value's first character that the
    // star does not cover.
    let mut star = None;
    while seen < value.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(wanted) if *wanted == '?' || *wanted == value[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((star_at, taken)) = star else { return false };
                star = Some((star_at, taken + 1));
                at = star_at + 1;
                seen = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests;
