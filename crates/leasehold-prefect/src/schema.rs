//! The JSON Schemas of bodies and answers, for the components of an OpenAPI document. Schemars
//! writes those of answers. The schema of a body has what its rules accept, with the bounds that
//! the operator chose, and takes its descriptions from schemars.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value};

use crate::settings::Settings;

/// Collects the schemas that a document refers to.
pub struct Schemas<'s> {
    pub(crate) settings: &'s Settings,
    pub(crate) generator: SchemaGenerator,
    /// The schemas of bodies, by name.
    pub(crate) bodies: Map<String, Value>,
}

impl<'s> Schemas<'s> {
    /// No schemas yet.
    #[must_use]
    pub fn new(settings: &'s Settings) -> Self {
        let with_path = |settings: &mut SchemaSettings| {
            settings.definitions_path = "/components/schemas".into();
        };
        let generator = SchemaSettings::draft2020_12().for_serialize().with(with_path);
        Self { settings, generator: generator.into_generator(), bodies: Map::new() }
    }

    /// The schema of an answer: a reference, if it is an object with a name.
    pub fn of<T: JsonSchema>(&mut self) -> Value {
        self.generator.subschema_for::<T>().to_value()
    }

    /// All of them by name, for `components.schemas`.
    #[must_use]
    pub fn into_components(mut self) -> Map<String, Value> {
        let mut components = self.generator.take_definitions(true);
        components.extend(self.bodies);
        for (name, schema) in &mut components {
            schema["title"] = name.as_str().into();
            unwrap_lines(schema);
        }
        components
    }
}

/// Joins the lines of each description, because the sources wrap them.
pub(crate) fn unwrap_lines(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(about)) = fields.get_mut("description") {
                *about = about.replace('\n', " ");
            }
            fields.values_mut().for_each(unwrap_lines);
        }
        Value::Array(items) => items.iter_mut().for_each(unwrap_lines),
        _ => {}
    }
}
