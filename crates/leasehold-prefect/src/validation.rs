//! Everything that is wrong with a request, in the words and the shape of the recorded API: a list
//! of details, each with its kind, its place, a sentence and the input at fault.

use std::borrow::Cow;
use std::collections::BTreeMap;

use leasehold_python_json::Json;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::settings::Settings;

/// How many details an answer has: the answer to a body of a megabyte must not have fifty
/// megabytes.
const DETAILS_MAX: usize = 1000;

/// Why a request is invalid. Serializes as the body of the answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Invalid {
    /// Fields, a path or a query parameter are at fault.
    Fields {
        /// All that was found, in the order of the fields.
        details: Vec<ErrorDetail>,
        /// The body as it was read, or the raw text of one that is no JSON; `null` without one.
        request_body: Json<'static>,
    },
    /// A single sentence, `{"detail": …}`: a filter over its page size.
    Detail(String),
    /// JSON that is no text (UTF-8), is nested deeper than 100 levels, or holds an integer of
    /// more than 4300 digits. The recorded server answers these with 400.
    Unreadable,
}

impl Invalid {
    /// The status code of the answer: 422, and 400 for a body that is [`Invalid::Unreadable`].
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Fields { .. } | Self::Detail(_) => 422,
            Self::Unreadable => 400,
        }
    }
}

impl Serialize for Invalid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_map(None)?;
        match self {
            Self::Fields { details, request_body } => {
                body.serialize_entry("exception_message", "Invalid request received.")?;
                body.serialize_entry("exception_detail", details)?;
                body.serialize_entry("request_body", request_body)?;
            }
            Self::Detail(detail) => body.serialize_entry("detail", detail)?,
            Self::Unreadable => {
                body.serialize_entry("detail", "There was an error parsing the body")?;
            }
        }
        body.end()
    }
}

impl JsonSchema for Invalid {
    fn schema_name() -> Cow<'static, str> {
        "Invalid".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Everything that is wrong with a request, in the order of its fields.",
            "type": "object",
            "properties": {
                "exception_message": {"type": "string"},
                "exception_detail": generator.subschema_for::<Vec<ErrorDetail>>(),
                "request_body": {},
            },
            "required": ["exception_message", "exception_detail", "request_body"],
        })
    }
}

/// An error of the native API. `detail` is always there; programs find more in the rest, if it is
/// there.
#[derive(JsonSchema)]
pub struct Refused {
    /// A sentence for people.
    pub detail: String,
    /// `Invalid request received.`
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception_message: Option<String>,
    /// Everything that is wrong with the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception_detail: Option<Vec<ErrorDetail>>,
    /// The body as it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_body: Option<serde_json::Value>,
}

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ErrorDetail {
    /// The kind of error, such as `int_parsing`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Where it is, from the outside in: `["body", "names", 0]`.
    pub loc: Vec<Loc>,
    /// A sentence for people.
    pub msg: Cow<'static, str>,
    /// The input at fault.
    #[schemars(with = "serde_json::Value")]
    pub input: Json<'static>,
    /// The bounds or the pattern that were not met, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "in_order")]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub ctx: Vec<(&'static str, Json<'static>)>,
}

fn in_order<S: Serializer>(
    ctx: &[(&'static str, Json<'static>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(ctx.iter().map(|(name, value)| (name, value)))
}

impl ErrorDetail {
    /// An error at the place that is being read.
    pub(crate) fn new(
        kind: &'static str,
        msg: impl Into<Cow<'static, str>>,
        input: &Json<'_>,
    ) -> Self {
        Self {
            kind,
            loc: Vec::new(),
            msg: msg.into(),
            input: input.clone().into_owned(),
            ctx: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Json<'static>>) -> Self {
        self.ctx.push((name, value.into()));
        self
    }
}

/// An error that is the same wherever it occurs: its kind and its sentence.
pub(crate) struct Fault(pub(crate) &'static str, pub(crate) &'static str);

impl Fault {
    pub(crate) fn at(self, input: &Json<'_>) -> ErrorDetail {
        ErrorDetail::new(self.0, self.1, input)
    }
}

/// The field or the whole body is not there.
pub(crate) const MISSING: Fault = Fault("missing", "Field required");

/// One step to the place of an error.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Loc {
    /// A part of the request (`body`, `path`, `query`) or a field.
    Name(Cow<'static, str>),
    /// An item of a list, or the character at which broken JSON breaks.
    Index(usize),
}

impl From<&'static str> for Loc {
    fn from(name: &'static str) -> Self {
        Self::Name(Cow::Borrowed(name))
    }
}

impl From<String> for Loc {
    fn from(name: String) -> Self {
        Self::Name(Cow::Owned(name))
    }
}

impl From<usize> for Loc {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// The faults found so far. Without a fault it allocates nothing: the reader assembles the place of
/// a fault on its way out.
pub(crate) struct Findings<'s> {
    pub(crate) settings: &'s Settings,
    details: Vec<ErrorDetail>,
    instead: Option<String>,
}

impl<'s> Findings<'s> {
    pub(crate) fn new(settings: &'s Settings) -> Self {
        Self { settings, details: Vec::new(), instead: None }
    }

    /// Whether there is no fault so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.details.is_empty()
    }

    /// Notes a fault at the current place. Returns `None` for the reader to return.
    pub(crate) fn refuse<T>(&mut self, detail: ErrorDetail) -> Option<T> {
        if self.details.len() < DETAILS_MAX {
            self.details.push(detail);
        }
        None
    }

    /// Notes a fault whose sentence is the whole answer, whatever else is wrong.
    pub(crate) fn refuse_instead<T>(&mut self, sentence: String) -> Option<T> {
        self.instead.get_or_insert(sentence);
        None
    }

    /// Reads one step further in. Faults found there have that step in their place.
    pub(crate) fn within<T>(
        &mut self,
        step: impl Into<Loc>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let found = self.details.len();
        let value = read(self);
        if let Some(new) = self.details.get_mut(found..)
            && !new.is_empty()
        {
            let step = step.into();
            for detail in new {
                detail.loc.insert(0, step.clone());
            }
        }
        value
    }

    /// The answer, once reading has failed.
    pub(crate) fn into_invalid(self, request_body: Json<'_>) -> Invalid {
        match self.instead {
            Some(sentence) => Invalid::Detail(sentence),
            None => {
                Invalid::Fields { details: self.details, request_body: request_body.into_owned() }
            }
        }
    }
}
