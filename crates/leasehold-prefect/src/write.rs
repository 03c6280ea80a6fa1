//! Writes the JSON Schema of a body by its declaration.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::declaration::{Declared, Patch, Reader, Rule, Style};
use crate::schema::{Schemas, unwrap_lines};
use crate::settings::Settings;

impl Schemas<'_> {
    /// A reference to the schema of a body.
    pub(crate) fn of_declared<T: Declared>(&mut self) -> Value {
        let name = T::schema_name();
        if !self.bodies.contains_key(&*name) {
            let schema = declared::<T>(self);
            self.bodies.insert(name.to_string(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }
}

fn declared<T: Declared>(schemas: &mut Schemas<'_>) -> Value {
    let about = T::json_schema(&mut schemas.generator).to_value();
    let mut writer =
        Writer { schemas, about: &about["properties"], properties: Map::new(), required: vec![] };
    T::declare(&mut writer);
    let Writer { properties, required, .. } = writer;
    let mut schema = json!({
        "description": about["description"],
        "type": "object",
        "properties": properties,
    });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    if T::STYLE == Style::Model {
        schema["additionalProperties"] = false.into();
    }
    schema
}

/// The fields as parameters of a query string, in which nothing is `null`.
pub(crate) fn parameters<T: Declared>(schemas: &mut Schemas<'_>) -> Vec<Value> {
    let mut declared = declared::<T>(schemas);
    let required = declared["required"].take();
    let is_required = |name: &str| required.as_array().is_some_and(|it| it.contains(&name.into()));
    let Value::Object(fields) = declared["properties"].take() else { return Vec::new() };
    let parameter = |(name, mut field): (String, Value)| {
        let about = field.as_object_mut().and_then(|field| field.shift_remove("description"));
        let schema = field.pointer_mut("/anyOf/0").map(Value::take);
        let is_required = is_required(&name);
        let mut parameter =
            json!({"name": name, "in": "query", "description": about, "required": is_required});
        parameter["schema"] = schema.unwrap_or(field);
        parameter
    };
    fields.into_iter().map(parameter).collect()
}

/// A reader that reads nothing and writes the schema of each field.
struct Writer<'w, 's> {
    schemas: &'w mut Schemas<'s>,
    /// The fields as schemars describes them.
    about: &'w Value,
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

impl Writer<'_, '_> {
    fn property(&mut self, name: &str, mut schema: Value) {
        schema["description"] = self.about[name]["description"].clone();
        unwrap_lines(&mut schema);
        self.properties.insert(name.to_owned(), schema);
    }
}

impl Reader for Writer<'_, '_> {
    fn required<R: Rule>(&mut self, name: &'static str, rule: R) -> Option<R::Value> {
        let schema = rule.schema(self.schemas);
        self.property(name, schema);
        self.required.push(name);
        None
    }

    fn defaulted<R: Rule<Value: Serialize>>(
        &mut self,
        name: &'static str,
        rule: R,
        default: fn(&Settings) -> R::Value,
    ) -> Option<R::Value> {
        let mut schema = rule.schema(self.schemas);
        schema["default"] = json!(default(self.schemas.settings));
        self.property(name, schema);
        None
    }

    fn optional<R: Rule>(&mut self, name: &'static str, rule: R) -> Option<Option<R::Value>> {
        let schema = json!({"anyOf": [rule.schema(self.schemas), {"type": "null"}]});
        self.property(name, schema);
        None
    }

    fn patched<R: Rule>(&mut self, name: &'static str, rule: R) -> Option<Patch<R::Value>> {
        let schema = rule.schema(self.schemas);
        self.property(name, schema);
        None
    }
}
