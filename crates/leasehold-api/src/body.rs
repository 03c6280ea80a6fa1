//! How a request body is declared, and how the declaration reads it.
//!
//! A declaration names each field once, with its rule and what its absence means. It is
//! interpreted twice: by [`Fields`], which reads a body and notes what is wrong, and by the
//! writer of JSON Schema in [`crate::schema`].

use std::collections::BTreeSet;

use leasehold_python_json::{Json, JsonError, Text};
use serde::Serialize;
use uuid::Uuid;

use crate::path;
use crate::rule::Rule;
use crate::validation::{Fault, Findings, Invalid, Loc, MISSING};

const JSON_INVALID: Fault = Fault("json_invalid", "JSON decode error");
const REPEATED: Fault = Fault("repeated", "Parameter was given more than once");
const EXTRA_FORBIDDEN: Fault = Fault("extra_forbidden", "Extra inputs are not permitted");
const MODEL_ATTRIBUTES_TYPE: Fault = Fault(
    "model_attributes_type",
    "Input should be a valid dictionary or object to extract fields from",
);

/// Deeper bodies are refused. No body of this API nests beyond 3 levels by itself; clients nest values of
/// their own in it. `serde_json` reads the recorded ones again, and refuses more than 127 levels.
pub(crate) const DEPTH_MAX: usize = 100;

/// What the operator chose and validation depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The shortest lease that may be asked for; 60 by contract.
    pub lease_seconds_min: f64,
    /// The longest lease that may be asked for; 86400 by contract.
    pub lease_seconds_max: f64,
    /// The length of a lease when none is asked for; 300 by contract.
    pub lease_seconds_default: f64,
    /// A filter's default and maximum number of results; 200 by contract.
    pub page_size: u64,
    /// Whether a request may name no limit at all when it takes or gives back slots. By contract it
    /// may not, but clients before 3.9 may.
    pub may_name_nothing: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease_seconds_min: 60.0,
            lease_seconds_max: 86_400.0,
            lease_seconds_default: 300.0,
            page_size: 200,
            may_name_nothing: false,
        }
    }
}

/// A request body as it is on the wire.
pub trait Body: Sized {
    /// Reads and validates. `content_type` is the header's value: absent is read as JSON; one that
    /// is not JSON makes the body a plain string, which is no model and holds no parameters. No
    /// bytes are no body.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the fields.
    fn from_bytes(
        content_type: Option<&str>,
        bytes: &[u8],
        settings: &Settings,
    ) -> Result<Self, Invalid>;

    /// Reads and validates a body together with the id in the path: the errors of both are one
    /// answer, the path's first. A body that is no JSON is reported alone. `name` is what the
    /// path calls the id.
    ///
    /// # Errors
    /// Everything that is wrong with the id, then with the fields.
    fn from_parts(
        name: &'static str,
        id: &str,
        content_type: Option<&str>,
        bytes: &[u8],
        settings: &Settings,
    ) -> Result<(Uuid, Self), Invalid>;

    /// Reads and validates the parameters of a query string: the names and values in it, decoded.
    ///
    /// # Errors
    /// Everything that is wrong, a parameter that is there twice included.
    fn from_query(pairs: Vec<(String, String)>, settings: &Settings) -> Result<Self, Invalid>;
}

/// A field of an update: not sent, sent as `null`, or sent with a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// Not in the body.
    #[default]
    Absent,
    /// `null`, which the recorded server answers with 409.
    Null,
    /// The new value.
    Set(T),
}

impl<T> Patch<T> {
    /// The value that was sent, if one was.
    pub fn as_set(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// Whether the field is in the body.
    pub fn is_sent(&self) -> bool {
        !matches!(self, Self::Absent)
    }

    /// Whether the field is in the body as `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// What a body as a whole may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Style {
    /// One model: it must be there, must be an object and must hold nothing else.
    Model,
    /// Parameters that happen to travel together: `null` is as good as absent, and what is
    /// unknown is ignored.
    Parameters,
}

/// A body that is declared with [`body!`].
pub(crate) trait Declared: Sized {
    const NAME: &'static str;
    const ABOUT: &'static str;
    const STYLE: Style;

    /// Shows each field to the reader. `None` when any of them could not be read.
    fn declare<R: Reader>(reader: &mut R) -> Option<Self>;
}

/// Interprets a declaration.
pub(crate) trait Reader {
    /// A field that must be there.
    fn required<R: Rule>(&mut self, name: &'static str, about: &str, rule: R) -> Option<R::Value>;

    /// A field whose absence means a default.
    fn defaulted<R: Rule<Value: Serialize>>(
        &mut self,
        name: &'static str,
        about: &str,
        rule: R,
        default: fn(&Settings) -> R::Value,
    ) -> Option<R::Value>;

    /// A field that may be absent or `null`.
    fn optional<R: Rule>(
        &mut self,
        name: &'static str,
        about: &str,
        rule: R,
    ) -> Option<Option<R::Value>>;

    /// A field of an update.
    fn patched<R: Rule>(
        &mut self,
        name: &'static str,
        about: &str,
        rule: R,
    ) -> Option<Patch<R::Value>>;
}

/// Declares a request body: the type, how it is read, and its schema.
macro_rules! body {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident: $style:ident {
            $(
                $(#[doc = $doc:literal])+
                pub $field:ident: $type:ty = $presence:ident($wire:literal, $($argument:expr),+);
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl $crate::body::Declared for $name {
            const NAME: &'static str = stringify!($name);
            const ABOUT: &'static str = concat!($($about),+);
            const STYLE: $crate::body::Style = $crate::body::Style::$style;

            fn declare<R: $crate::body::Reader>(reader: &mut R) -> Option<Self> {
                $(let $field = reader.$presence($wire, concat!($($doc),+), $($argument),+);)+
                Some(Self { $($field: $field?,)+ })
            }
        }

        impl $crate::Body for $name {
            fn from_bytes(
                content_type: Option<&str>,
                bytes: &[u8],
                settings: &$crate::Settings,
            ) -> Result<Self, $crate::Invalid> {
                $crate::body::read(None, content_type, bytes, settings).map(|(_, body)| body)
            }

            fn from_parts(
                name: &'static str,
                id: &str,
                content_type: Option<&str>,
                bytes: &[u8],
                settings: &$crate::Settings,
            ) -> Result<(uuid::Uuid, Self), $crate::Invalid> {
                $crate::body::read(Some((name, id)), content_type, bytes, settings)
            }

            fn from_query(
                pairs: Vec<(String, String)>,
                settings: &$crate::Settings,
            ) -> Result<Self, $crate::Invalid> {
                $crate::body::read_query(pairs, settings)
            }
        }
    };
}
pub(crate) use body;

/// Reads a body, and the id in the path where there is one (otherwise the id is nil).
pub(crate) fn read<T: Declared>(
    id: Option<(&'static str, &str)>,
    content_type: Option<&str>,
    bytes: &[u8],
    settings: &Settings,
) -> Result<(Uuid, T), Invalid> {
    let is_json = is_json(content_type);
    let body = if bytes.is_empty() {
        Json::Null
    } else if is_json {
        parse(bytes)?
    } else {
        Json::Text(String::from_utf8_lossy(bytes).into())
    };
    // Parameters are not looked for in what is not JSON, but what was sent is echoed.
    let readable = match T::STYLE {
        Style::Parameters if !is_json => &Json::Null,
        Style::Parameters | Style::Model => &body,
    };
    let mut findings = Findings::new(settings);
    let id = match id {
        Some((name, id)) => path::read_id(name, id, &mut findings),
        None => Some(Uuid::nil()),
    };
    let value = findings.within("body", |findings| read_declared(readable, findings));
    match (id, value) {
        (Some(id), Some(value)) => Ok((id, value)),
        _ => Err(findings.into_invalid(body)),
    }
}

/// Reads the parameters of a query string.
pub(crate) fn read_query<T: Declared>(
    pairs: Vec<(String, String)>,
    settings: &Settings,
) -> Result<T, Invalid> {
    let mut findings = Findings::new(settings);
    let mut names = BTreeSet::new();
    let mut fields = Vec::with_capacity(pairs.len());
    let value = findings.within("query", |findings| {
        for (name, value) in pairs {
            let value = Json::Text(value.into());
            if names.insert(name.clone()) {
                fields.push((name.into(), value));
            } else {
                findings.within(name, |findings| findings.refuse::<()>(REPEATED.at(&value)));
            }
        }
        let is_exact = findings.is_empty();
        read_declared(&Json::Object(fields), findings).filter(|_| is_exact)
    });
    value.ok_or_else(|| findings.into_invalid(Json::Null))
}

/// Reads a value as a declared body. `Json::Null` is no body.
pub(crate) fn read_declared<T: Declared>(
    whole: &Json<'_>,
    findings: &mut Findings<'_>,
) -> Option<T> {
    let fields = match (whole, T::STYLE) {
        (Json::Object(fields), _) => Sent::Fields(fields),
        (Json::Null, Style::Parameters) => Sent::Fields(&[]),
        (_, Style::Parameters) => Sent::Unusable,
        (Json::Null, Style::Model) => return findings.refuse(MISSING.at(&Json::Null)),
        (other, Style::Model) => {
            return findings.refuse(MODEL_ATTRIBUTES_TYPE.at(other));
        }
    };
    let mut reader = Fields { whole, sent: fields, style: T::STYLE, known: Vec::new(), findings };
    let value = T::declare(&mut reader);
    let complete = reader.refuse_unknown();
    value.filter(|_| complete)
}

fn parse(bytes: &[u8]) -> Result<Json<'_>, Invalid> {
    let text = str::from_utf8(bytes).map_err(|_| Invalid::Unreadable)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    Json::parse_within(text, DEPTH_MAX).map_err(|error| match error {
        JsonError::Syntax { message, position } => {
            let mut detail = JSON_INVALID.at(&Json::Object(vec![])).with("error", message);
            detail.loc = vec![Loc::from("body"), Loc::from(position)];
            Invalid::Fields { details: vec![detail], request_body: Json::from(text) }
        }
        _ => Invalid::Unreadable,
    })
}

/// Whether a Content-Type is `application/json` or `application/…+json`. An absent one is taken to
/// be; an empty one is not.
#[must_use]
pub fn is_json(content_type: Option<&str>) -> bool {
    let value = match content_type {
        None | Some("application/json") => return true,
        Some(value) => value,
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    let Some((main, sub)) = essence.split_once('/') else {
        return false;
    };
    main.eq_ignore_ascii_case("application")
        && !sub.contains('/')
        && (sub.eq_ignore_ascii_case("json") || sub.to_ascii_lowercase().ends_with("+json"))
}

/// What there is to read fields from.
#[derive(Clone, Copy)]
enum Sent<'a> {
    Fields(&'a [(Text<'a>, Json<'a>)]),
    /// A list, a string or a number where parameters were expected: every one of them is
    /// missing, the optional ones too.
    Unusable,
}

/// Reads the fields of one body.
struct Fields<'a, 'f, 's> {
    whole: &'a Json<'a>,
    sent: Sent<'a>,
    style: Style,
    known: Vec<&'static str>,
    findings: &'f mut Findings<'s>,
}

/// A field as it was found.
enum Found<'a> {
    Absent,
    Unusable,
    Value(&'a Json<'a>),
}

impl<'a> Fields<'a, '_, '_> {
    fn find(&mut self, name: &'static str) -> Found<'a> {
        let Sent::Fields(fields) = self.sent else {
            return Found::Unusable;
        };
        let value = fields.iter().find(|(key, _)| key.as_str() == Some(name));
        match (value, self.style) {
            (Some((_, Json::Null)) | None, Style::Parameters) | (None, Style::Model) => {
                if self.style == Style::Model {
                    self.known.push(name);
                }
                Found::Absent
            }
            (Some((_, value)), Style::Parameters) => Found::Value(value),
            (Some((_, value)), Style::Model) => {
                self.known.push(name);
                Found::Value(value)
            }
        }
    }

    fn missing<T>(&mut self, name: &'static str) -> Option<T> {
        let input = match self.style {
            Style::Model => self.whole,
            Style::Parameters => &Json::Null,
        };
        (self.findings).within(name, |findings| findings.refuse(MISSING.at(input)))
    }

    fn check<R: Rule>(
        &mut self,
        name: &'static str,
        rule: &R,
        value: &Json<'_>,
    ) -> Option<R::Value> {
        (self.findings).within(name, |findings| rule.read(value, findings))
    }

    /// Notes each field that a model does not know. Whether there was none.
    fn refuse_unknown(self) -> bool {
        let (Style::Model, Sent::Fields(fields)) = (self.style, self.sent) else {
            return true;
        };
        let mut complete = true;
        for (key, value) in fields {
            if !key.as_str().is_some_and(|key| self.known.contains(&key)) {
                complete = false;
                let step = Loc::from(key.to_lossy().into_owned());
                self.findings
                    .within(step, |findings| findings.refuse::<()>(EXTRA_FORBIDDEN.at(value)));
            }
        }
        complete
    }
}

impl Reader for Fields<'_, '_, '_> {
    fn required<R: Rule>(&mut self, name: &'static str, _: &str, rule: R) -> Option<R::Value> {
        match self.find(name) {
            Found::Absent | Found::Unusable => self.missing(name),
            Found::Value(value) => self.check(name, &rule, value),
        }
    }

    fn defaulted<R: Rule<Value: Serialize>>(
        &mut self,
        name: &'static str,
        _: &str,
        rule: R,
        default: fn(&Settings) -> R::Value,
    ) -> Option<R::Value> {
        match self.find(name) {
            Found::Absent => Some(default(self.findings.settings)),
            Found::Unusable => self.missing(name),
            Found::Value(value) => self.check(name, &rule, value),
        }
    }

    fn optional<R: Rule>(
        &mut self,
        name: &'static str,
        _: &str,
        rule: R,
    ) -> Option<Option<R::Value>> {
        match self.find(name) {
            Found::Absent | Found::Value(Json::Null) => Some(None),
            Found::Unusable => self.missing(name),
            Found::Value(value) => self.check(name, &rule, value).map(Some),
        }
    }

    fn patched<R: Rule>(
        &mut self,
        name: &'static str,
        _: &str,
        rule: R,
    ) -> Option<Patch<R::Value>> {
        match self.find(name) {
            Found::Absent => Some(Patch::Absent),
            Found::Unusable => self.missing(name),
            Found::Value(Json::Null) => Some(Patch::Null),
            Found::Value(value) => self.check(name, &rule, value).map(Patch::Set),
        }
    }
}
