//! What a field may be: each rule reads a value, explains a bad one as pydantic does, and writes
//! its own JSON Schema.

mod coerce;
mod lease;
pub(crate) mod opaque;
mod text;

use std::cmp::Ordering::{Equal, Less};
use std::marker::PhantomData;

use leasehold_python_json::{Json, Text as JsonText};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::Settings;
use crate::body::{self, Declared};
use crate::validation::{ErrorDetail, Fault, Findings};

pub(crate) use lease::{Distinct, Labels, ListOfAtMost, PRIORITY, TtlSeconds};
pub(crate) use opaque::{Any, Fields};
use text::{Shape, Text};

const UUID_TYPE: Fault = Fault("uuid_type", "UUID input should be a string, bytes or UUID object");
const LIST_TYPE: Fault = Fault("list_type", "Input should be a valid list");

pub(crate) trait Rule {
    type Value;

    /// The value, or `None` after noting what is wrong with it.
    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<Self::Value>;

    /// The JSON Schema of what is accepted. Coercions are not shown: they are leniency.
    fn schema(&self, settings: &Settings) -> Value;
}

/// A count that the server stores: 0 to 2⁶³ − 1. The recorded server fails with 500 above that.
pub(crate) const COUNT: Integer = Integer { floor: Floor::AtLeast(0), most: Most::Refused };

/// A number of slots to take or give back: at least 1. No limit has more than 2⁶³ − 1 slots, so a
/// larger number is read as that and is over any limit that it meets.
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

/// What is looked for by its name, whether it is there or not.
pub(crate) const NAMED: Text = Text { shape: Shape::Named };

/// A word or two of somebody's choice, such as an id or a key.
pub(crate) const WORD: Text = Text { shape: Shape::Between(1, 255) };

/// How many limits a request may name, where it names them in a list.
pub(crate) const NAMES_MAX: usize = 256;

/// How many items any other list may have: a step of the server costs so much for each.
const ITEMS_MAX: usize = 1_000;

/// A length that may be 0, and no more than an hour: what a connection can be held open for.
pub(crate) const WAIT_SECONDS: Number =
    Number { floor: Some(Floor::AtLeast(0.0)), most: Some(3_600.0) };

/// A sentence of an operator.
pub(crate) const REASON: Text = Text { shape: Shape::AtMost(500) };

#[derive(Clone, Copy)]
pub(crate) enum Floor<T> {
    AtLeast(T),
    Above(T),
}

impl<T: PartialOrd + Copy + std::fmt::Display> Floor<T> {
    fn holds(self, value: T) -> bool {
        match self {
            Self::AtLeast(floor) => value >= floor,
            Self::Above(floor) => value > floor,
        }
    }

    fn explain(self, input: &Json<'_>, context: impl Fn(T) -> Json<'static>) -> ErrorDetail {
        match self {
            Self::AtLeast(floor) => ErrorDetail::new(
                "greater_than_equal",
                format!("Input should be greater than or equal to {floor}"),
                input,
            )
            .with("ge", context(floor)),
            Self::Above(floor) => ErrorDetail::new(
                "greater_than",
                format!("Input should be greater than {floor}"),
                input,
            )
            .with("gt", context(floor)),
        }
    }
}

fn too_large(
    most: impl std::fmt::Display,
    context: Json<'static>,
    input: &Json<'_>,
) -> ErrorDetail {
    ErrorDetail::new(
        "less_than_equal",
        format!("Input should be less than or equal to {most}"),
        input,
    )
    .with("le", context)
}

/// What happens above the largest integer that the server stores.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Most {
    Refused,
    Clamped,
}

pub(crate) struct Integer {
    floor: Floor<i64>,
    most: Most,
}

impl Rule for Integer {
    type Value = u64;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<u64> {
        let value = match coerce::integer(input) {
            Ok(value) => value,
            Err(fault) => return findings.refuse(fault.at(input)),
        };
        if self.most == Most::Refused && value > i128::from(i64::MAX) {
            return findings.refuse(too_large(i64::MAX, Json::from(i64::MAX), input));
        }
        let value = i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX });
        if self.floor.holds(value) {
            return u64::try_from(value).ok();
        }
        findings.refuse(self.floor.explain(input, Json::from))
    }

    fn schema(&self, _: &Settings) -> Value {
        let mut schema = json!({"type": "integer", "format": "int64"});
        match self.floor {
            Floor::AtLeast(floor) => schema["minimum"] = floor.into(),
            Floor::Above(floor) => schema["exclusiveMinimum"] = floor.into(),
        }
        if self.most == Most::Refused {
            schema["maximum"] = i64::MAX.into();
        }
        schema
    }
}

pub(crate) struct Number {
    floor: Option<Floor<f64>>,
    most: Option<f64>,
}

impl Rule for Number {
    type Value = f64;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<f64> {
        let value = match coerce::number(input) {
            Ok(value) => value,
            Err(fault) => return findings.refuse(fault.at(input)),
        };
        if let Some(most) = self.most
            && !matches!(value.partial_cmp(&most), Some(Less | Equal))
        {
            return findings.refuse(too_large(most, Json::Float(most), input));
        }
        if let Some(floor) = self.floor
            && !floor.holds(value)
        {
            return findings.refuse(floor.explain(input, Json::Float));
        }
        if value.is_finite() {
            return Some(value);
        }
        findings.refuse(coerce::FINITE_NUMBER.at(input))
    }

    fn schema(&self, _: &Settings) -> Value {
        let mut schema = json!({"type": "number"});
        match self.floor {
            Some(Floor::AtLeast(floor)) => schema["minimum"] = floor.into(),
            Some(Floor::Above(floor)) => schema["exclusiveMinimum"] = floor.into(),
            None => {}
        }
        if let Some(most) = self.most {
            schema["maximum"] = most.into();
        }
        schema
    }
}

/// The length of a lease, within what the operator allows.
pub(crate) struct LeaseSeconds;

impl LeaseSeconds {
    fn within(settings: &Settings) -> Number {
        Number {
            floor: Some(Floor::AtLeast(settings.lease_seconds_min)),
            most: Some(settings.lease_seconds_max),
        }
    }
}

impl Rule for LeaseSeconds {
    type Value = f64;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<f64> {
        Self::within(findings.settings).read(input, findings)
    }

    fn schema(&self, settings: &Settings) -> Value {
        Self::within(settings).schema(settings)
    }
}

/// A number of results, up to the page size. Over it the recorded server answers one sentence
/// and forgets what else is wrong.
pub(crate) struct PageSize;

impl Rule for PageSize {
    type Value = u64;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<u64> {
        let most = findings.settings.page_size;
        match coerce::integer(input) {
            Err(fault) => findings.refuse(fault.at(input)),
            Ok(..0) => findings
                .refuse_instead("Invalid limit: must be greater than or equal to 0.".to_owned()),
            Ok(value) if value > i128::from(most) => findings
                .refuse_instead(format!("Invalid limit: must be less than or equal to {most}.")),
            Ok(value) => u64::try_from(value).ok(),
        }
    }

    fn schema(&self, settings: &Settings) -> Value {
        json!({"type": "integer", "minimum": 0, "maximum": settings.page_size})
    }
}

pub(crate) struct Boolean;

impl Rule for Boolean {
    type Value = bool;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<bool> {
        match coerce::boolean(input) {
            Ok(value) => Some(value),
            Err(fault) => findings.refuse(fault.at(input)),
        }
    }

    fn schema(&self, _: &Settings) -> Value {
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

    fn schema(&self, _: &Settings) -> Value {
        json!({"type": "string", "format": "uuid"})
    }
}

/// A list whose items follow one rule. It may be empty, and has 1,000 items at the most.
pub(crate) struct ListOf<R>(pub(crate) R);

impl<R: Rule> Rule for ListOf<R> {
    type Value = Vec<R::Value>;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<Self::Value> {
        read_list(&self.0, ITEMS_MAX, input, findings)
    }

    fn schema(&self, settings: &Settings) -> Value {
        json!({"type": "array", "items": self.0.schema(settings), "maxItems": ITEMS_MAX})
    }
}

/// A list of no more than `most` items.
fn read_list<R: Rule>(
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

fn too_long(what: &str, most: usize, count: usize, input: &Json<'_>) -> ErrorDetail {
    let msg = format!("{what} should have at most {most} items after validation, not {count}");
    let most = Json::Integer(most.to_string().into());
    ErrorDetail::new("too_long", msg, input).with("max_length", most)
}

/// The names of limits to take or give back slots of. Servers before 3.9 accepted an empty list,
/// and their clients still may send one ([`Settings::may_name_nothing`]).
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

    fn schema(&self, settings: &Settings) -> Value {
        let mut schema = ListOfAtMost(NAMES_MAX, NAMED).schema(settings);
        if !settings.may_name_nothing {
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

/// Every item, unless something is wrong with any of them.
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

/// A word out of a few.
pub(crate) trait Choice: Copy + 'static {
    const ALL: &'static [Self];

    fn word(self) -> &'static str;
}

pub(crate) struct OneOf<T>(&'static str, PhantomData<T>);

impl<T> OneOf<T> {
    /// A word that the recorded validation declares as a literal.
    pub(crate) const RULE: Self = Self("literal_error", PhantomData);
    /// A word that it declares as a member of an enumeration.
    pub(crate) const MEMBER: Self = Self("enum", PhantomData);
}

impl<T: Choice> Rule for OneOf<T> {
    type Value = T;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<T> {
        if let Some(text) = input.as_str()
            && let Some(choice) = T::ALL.iter().find(|choice| choice.word() == text)
        {
            return Some(*choice);
        }
        let expected = enumerate(T::ALL.iter().map(|choice| choice.word()));
        let msg = format!("Input should be {expected}");
        findings.refuse(ErrorDetail::new(self.0, msg, input).with("expected", &*expected))
    }

    fn schema(&self, _: &Settings) -> Value {
        let words: Vec<_> = T::ALL.iter().map(|choice| choice.word()).collect();
        json!({"type": "string", "enum": words})
    }
}

/// `'a', 'b' or 'c'`.
fn enumerate(words: impl Iterator<Item = &'static str>) -> String {
    let quoted: Vec<_> = words.map(|word| format!("'{word}'")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// An object within a body, which is declared as bodies are.
pub(crate) struct Nested<T>(PhantomData<T>);

impl<T> Nested<T> {
    pub(crate) const RULE: Self = Self(PhantomData);
}

impl<T: Declared> Rule for Nested<T> {
    type Value = T;

    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<T> {
        body::read_declared(input, findings)
    }

    fn schema(&self, _: &Settings) -> Value {
        crate::schema::reference(T::NAME)
    }
}
