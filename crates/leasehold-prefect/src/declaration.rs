//! How a request body is declared: each field once, with its rule and what its absence means.
//! Readers interpret a declaration: [`crate::read`] reads a body, [`crate::write`] writes its JSON
//! Schema.

use std::borrow::Cow;

use leasehold_python_json::Json;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use crate::schema::Schemas;
use crate::settings::Settings;
use crate::validation::Findings;

/// What a field may be.
pub(crate) trait Rule {
    type Value;

    /// The value, or `None` after noting what is wrong with it.
    fn read(&self, input: &Json<'_>, findings: &mut Findings<'_>) -> Option<Self::Value>;

    /// The JSON Schema of accepted values. It leaves out the coercions, which are leniency.
    fn schema(&self, schemas: &mut Schemas<'_>) -> Value;
}

/// A field of an update: absent, `null`, or a value.
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

impl<T: JsonSchema> JsonSchema for Patch<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
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

/// How a whole body is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Style {
    /// One model: the body must be an object, and may have no unknown fields.
    Model,
    /// Several parameters in one object: `null` means absent, and unknown ones are ignored.
    Parameters,
}

/// A body that is declared with [`body!`] or [`declare!`].
pub(crate) trait Declared: Sized + JsonSchema {
    const STYLE: Style;

    /// Shows each field to the reader. `None` when any of them could not be read.
    fn declare<R: Reader>(reader: &mut R) -> Option<Self>;
}

/// Interprets a declaration.
pub(crate) trait Reader {
    /// A field that must be there.
    fn required<R: Rule>(&mut self, name: &'static str, rule: R) -> Option<R::Value>;

    /// A field whose absence means a default.
    fn defaulted<R: Rule<Value: Serialize>>(
        &mut self,
        name: &'static str,
        rule: R,
        default: fn(&Settings) -> R::Value,
    ) -> Option<R::Value>;

    /// A field that may be absent or `null`.
    fn optional<R: Rule>(&mut self, name: &'static str, rule: R) -> Option<Option<R::Value>>;

    /// A field of an update.
    fn patched<R: Rule>(&mut self, name: &'static str, rule: R) -> Option<Patch<R::Value>>;
}

/// Declares how the fields of a type are read.
macro_rules! declare {
    ($name:ident: $style:ident {
        $($field:ident = $presence:ident($($argument:expr),+);)+
    }) => {
        impl $crate::declaration::Declared for $name {
            const STYLE: $crate::declaration::Style = $crate::declaration::Style::$style;

            fn declare<R: $crate::declaration::Reader>(reader: &mut R) -> Option<Self> {
                $(let $field = reader
                    .$presence(stringify!($field).trim_start_matches("r#"), $($argument),+);)+
                Some(Self { $($field: $field?,)+ })
            }
        }
    };
}
pub(crate) use declare;

/// Declares a request body: the type, and how its fields are read.
macro_rules! body {
    (
        $(#[$meta:meta])+
        pub struct $name:ident: $style:ident {
            $(
                $(#[$about:meta])+
                pub $field:ident: $type:ty = $presence:ident($($argument:expr),+);
            )+
        }
    ) => {
        $(#[$meta])+
        #[derive(Clone, Debug, PartialEq, schemars::JsonSchema)]
        pub struct $name {
            $($(#[$about])+ pub $field: $type,)+
        }

        $crate::declaration::declare! {
            $name: $style { $($field = $presence($($argument),+);)+ }
        }
    };
}
pub(crate) use body;
