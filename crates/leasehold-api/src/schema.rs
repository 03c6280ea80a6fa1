//! JSON Schemas of the bodies and the answers, written from their declarations. The paths of the
//! OpenAPI document are assembled by whoever serves them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::body::{Declared, Patch, Reader, Style};
use crate::rule::Rule;
use crate::{Settings, Timestamp, events, leases, limits, origin, runs, tags, unleased};

/// The schemas of all bodies and answers by name, for `components.schemas` of an OpenAPI 3.1
/// document. Bounds that an operator can choose are shown as chosen.
#[must_use]
pub fn schemas(settings: &Settings) -> Map<String, Value> {
    let mut schemas = Map::new();
    let bodies = [
        body::<limits::Holder>(settings),
        body::<limits::CreateLimit>(settings),
        body::<limits::UpdateLimit>(settings),
        body::<limits::Filter>(settings),
        body::<limits::Increment>(settings),
        body::<limits::IncrementWithLease>(settings),
        body::<limits::Decrement>(settings),
        body::<limits::ReleaseLease>(settings),
        body::<limits::RenewLease>(settings),
        body::<tags::CreateTagLimit>(settings),
        body::<tags::TagIncrement>(settings),
        body::<tags::TagDecrement>(settings),
        body::<tags::ResetTag>(settings),
        body::<leases::NewLease>(settings),
        body::<leases::WantedSlots>(settings),
        body::<leases::NewHolder>(settings),
        body::<leases::LeaseRenewal>(settings),
        body::<leases::LeaseRenewals>(settings),
        body::<leases::RevokeLease>(settings),
        body::<runs::CreateFlow>(settings),
        body::<runs::ProposedState>(settings),
        body::<runs::CreateFlowRun>(settings),
        body::<runs::UpdateFlowRun>(settings),
        body::<runs::CreateTaskRun>(settings),
        body::<runs::UpdateTaskRun>(settings),
        body::<runs::SetState>(settings),
        body::<runs::ResumeFlowRun>(settings),
        body::<runs::ListFlows>(settings),
        body::<runs::ListFlowRuns>(settings),
        body::<runs::ListTaskRuns>(settings),
        body::<runs::FilterRuns>(settings),
    ];
    let answers = [
        limits::Limit::component(),
        limits::CreatedLimit::component(),
        limits::MinimalLimit::component(),
        limits::Acquired::component(),
        tags::TagLimit::component(),
        leases::Lease::component(),
        leases::NamedHolder::component(),
        origin::Origin::component(),
        origin::Named::component(),
        origin::Identified::component(),
        leases::RenewedLease::component(),
        leases::ReleasedLease::component(),
        leases::EndedLease::component(),
        leases::Renewals::component(),
        leases::MissingLimits::component(),
        leases::NoRoom::component(),
        leases::FullLimit::component(),
        leases::StuckOn::component(),
        leases::LimitLease::component(),
        leases::HeldLimit::component(),
        leases::LeaseHolder::component(),
        leases::Waiter::component(),
        unleased::SlotsWithoutLease::component(),
        unleased::TagLimitWithSlots::component(),
        runs::Flow::component(),
        runs::State::component(),
        runs::FlowRun::component(),
        runs::TaskRun::component(),
        runs::Transition::component(),
        events::Event::component(),
        events::EventHolder::component(),
        events::EventPage::component(),
    ];
    for (name, schema) in bodies.into_iter().chain(answers).chain(errors()) {
        schemas.insert(name.to_owned(), schema);
    }
    schemas
}

/// A reference to one of the [`schemas`].
#[must_use]
pub fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn body<T: Declared>(settings: &Settings) -> (&'static str, Value) {
    let mut writer = Writer { settings, properties: Map::new(), required: Vec::new() };
    T::declare(&mut writer);
    let mut schema = object(T::NAME, T::ABOUT, writer.properties, writer.required);
    if T::STYLE == Style::Model {
        schema["additionalProperties"] = false.into();
    }
    (T::NAME, schema)
}

fn object(
    name: &str,
    about: &str,
    properties: Map<String, Value>,
    required: Vec<&'static str>,
) -> Value {
    let properties = Value::Object(properties);
    let mut schema = json!({
        "title": name,
        "description": about.trim(),
        "type": "object",
        "properties": properties,
    });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    schema
}

fn described(mut schema: Value, about: &str) -> Value {
    schema["description"] = about.trim().into();
    schema
}

fn nullable(schema: Value) -> Value {
    Map::from_iter([("anyOf".to_owned(), Value::Array(vec![schema, json!({"type": "null"})]))])
        .into()
}

/// Reads nothing: it writes down what it is shown.
struct Writer<'s> {
    settings: &'s Settings,
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

impl Writer<'_> {
    fn property(&mut self, name: &str, about: &str, schema: Value) {
        (self.properties).insert(name.to_owned(), described(schema, about));
    }
}

impl Reader for Writer<'_> {
    fn required<R: Rule>(&mut self, name: &'static str, about: &str, rule: R) -> Option<R::Value> {
        self.property(name, about, rule.schema(self.settings));
        self.required.push(name);
        None
    }

    fn defaulted<R: Rule<Value: Serialize>>(
        &mut self,
        name: &'static str,
        about: &str,
        rule: R,
        default: fn(&Settings) -> R::Value,
    ) -> Option<R::Value> {
        let mut schema = rule.schema(self.settings);
        if let Ok(default) = serde_json::to_value(default(self.settings)) {
            schema["default"] = default;
        }
        self.property(name, about, schema);
        None
    }

    fn optional<R: Rule>(
        &mut self,
        name: &'static str,
        about: &str,
        rule: R,
    ) -> Option<Option<R::Value>> {
        self.property(name, about, nullable(rule.schema(self.settings)));
        None
    }

    fn patched<R: Rule>(
        &mut self,
        name: &'static str,
        about: &str,
        rule: R,
    ) -> Option<Patch<R::Value>> {
        self.property(name, about, rule.schema(self.settings));
        None
    }
}

/// A type of a field of an answer.
pub(crate) trait Shown {
    fn schema() -> Value;
}

/// An answer, which is a component of its own.
pub(crate) trait Component {
    const NAME: &'static str;
    const ABOUT: &'static str;

    /// Its fields, those that it has in common with others first.
    fn fields() -> Vec<ShownField>;

    fn component() -> (&'static str, Value) {
        let fields = Self::fields();
        let required = fields.iter().map(|(field, _, _)| *field).collect();
        let properties = (fields.into_iter())
            .map(|(field, about, schema)| (field.to_owned(), described(schema, about)))
            .collect();
        (Self::NAME, object(Self::NAME, Self::ABOUT, properties, required))
    }
}

/// A field's name, what it means, and its schema.
pub(crate) type ShownField = (&'static str, &'static str, Value);

macro_rules! shown {
    ($($type:ty => $schema:tt),+ $(,)?) => {
        $(impl Shown for $type {
            fn schema() -> Value {
                json!($schema)
            }
        })+
    };
}

shown! {
    bool => {"type": "boolean"},
    i64 => {"type": "integer", "format": "int64"},
    u64 => {"type": "integer", "format": "int64", "minimum": 0},
    f64 => {"type": "number"},
    String => {"type": "string"},
    Uuid => {"type": "string", "format": "uuid"},
    Timestamp => {"type": "string", "format": "date-time"},
    BTreeMap<String, String> => {"type": "object", "additionalProperties": {"type": "string"}},
    Value => {},
}

impl<T: Shown> Shown for Vec<T> {
    fn schema() -> Value {
        json!({"type": "array", "items": T::schema()})
    }
}

impl<T: Shown> Shown for Option<T> {
    fn schema() -> Value {
        nullable(T::schema())
    }
}

/// Declares an answer: the type, how it is written, and its schema. Every field is always there. An
/// answer may begin with the fields of another, which both have in common: `struct FlowRun: Run`.
macro_rules! answer {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident $(: $base:ident)? {
            $($(#[doc = $doc:literal])+ pub $field:ident: $type:ty,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize)]
        pub struct $name {
            $(
                /// What it has in common with others.
                #[serde(flatten)]
                pub common: $base,
            )?
            $($(#[doc = $doc])+ pub $field: $type,)+
        }

        impl $crate::schema::Shown for $name {
            fn schema() -> serde_json::Value {
                $crate::schema::reference(stringify!($name))
            }
        }

        impl $crate::schema::Component for $name {
            const NAME: &'static str = stringify!($name);
            const ABOUT: &'static str = concat!($($about),+);

            fn fields() -> Vec<$crate::schema::ShownField> {
                let own = vec![$((
                    stringify!($field).trim_start_matches("r#"),
                    concat!($($doc),+),
                    <$type as $crate::schema::Shown>::schema(),
                )),+];
                $(let own = [<$base as $crate::schema::Component>::fields(), own].concat();)?
                own
            }
        }
    };
}
pub(crate) use answer;

/// Declares a word out of a few.
macro_rules! choice {
    (
        $(#[doc = $about:literal])+
        pub enum $name:ident {
            $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $crate::rule::Choice for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl $name {
            /// The word on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                $crate::rule::Choice::word(self)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl $crate::schema::Shown for $name {
            fn schema() -> serde_json::Value {
                let words = <Self as $crate::rule::Choice>::ALL.iter().map(|word| word.as_str());
                serde_json::json!({"type": "string", "enum": words.collect::<Vec<_>>()})
            }
        }
    };
}
pub(crate) use choice;

/// The bodies of errors, which are written by hand because they are no declarations.
fn errors() -> [(&'static str, Value); 5] {
    let text = json!({"type": "string"});
    let details = json!({"type": "array", "items": reference("ErrorDetail")});
    let place = json!({"anyOf": [{"type": "string"}, {"type": "integer"}]});
    [
        (
            "ErrorDetail",
            json!({
                "title": "ErrorDetail",
                "description": "One thing that is wrong with a request.",
                "type": "object",
                "properties": {
                    "type": text,
                    "loc": {"type": "array", "items": place},
                    "msg": text,
                    "input": {},
                    "ctx": {"type": "object"},
                },
                "required": ["type", "loc", "msg", "input"],
            }),
        ),
        (
            "Invalid",
            json!({
                "title": "Invalid",
                "description": "Everything that is wrong with a request, in the order of its fields.",
                "type": "object",
                "properties": {
                    "exception_message": text,
                    "exception_detail": details,
                    "request_body": {},
                },
                "required": ["exception_message", "exception_detail", "request_body"],
            }),
        ),
        (
            "Detail",
            json!({
                "title": "Detail",
                "description": "What the rules of the limits refuse.",
                "type": "object",
                "properties": {"detail": text},
                "required": ["detail"],
            }),
        ),
        (
            "Refused",
            json!({
                "title": "Refused",
                "description": "What is refused at the paths that are ours alone. `detail` is always \
                                there; the rest says more for programs where there is more.",
                "type": "object",
                "properties": {
                    "detail": text,
                    "exception_message": text,
                    "exception_detail": details,
                    "request_body": {},
                },
                "required": ["detail"],
            }),
        ),
        (
            "Exception",
            json!({
                "title": "Exception",
                "description": "A failure of the server, or a request without credentials.",
                "type": "object",
                "properties": {"exception_message": text},
                "required": ["exception_message"],
            }),
        ),
    ]
}
