//! The schemas are complete and say what validation does.

use leasehold_api::{Settings, schemas};
use serde_json::{Value, json};

#[test]
fn a_body_shows_its_rules() {
    let schemas = schemas(&Settings::default());
    let schema = &schemas["CreateTagLimit"];
    assert_eq!(
        *schema,
        json!({
            "title": "CreateTagLimit",
            "description": "A new tag limit, or a new number for one that exists.",
            "type": "object",
            "properties": {
                "tag": {
                    "type": "string",
                    "pattern": "^[^/%&><]*$",
                    "maxLength": 996,
                    "description": "The tag.",
                },
                "concurrency_limit": {
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                    "maximum": i64::MAX,
                    "description": "How many task runs with the tag may run at once.",
                },
            },
            "required": ["tag", "concurrency_limit"],
            "additionalProperties": false,
        })
    );
}

#[test]
fn bounds_are_those_that_the_operator_chose() {
    let settings = Settings {
        lease_seconds_min: 1.0,
        lease_seconds_default: 2.0,
        page_size: 7,
        ..Settings::default()
    };
    let schemas = schemas(&settings);
    let length = &schemas["RenewLease"]["properties"]["lease_duration"];
    assert_eq!((&length["minimum"], &length["default"]), (&json!(1.0), &json!(2.0)));
    let limit = &schemas["Filter"]["properties"]["limit"];
    assert_eq!((&limit["maximum"], &limit["default"]), (&json!(7), &json!(7)));
}

#[test]
fn every_reference_leads_to_a_schema_and_every_schema_is_described() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let schemas = schemas(&Settings::default());
    let mut found = Vec::new();
    schemas.values().for_each(|schema| references(schema, &mut found));
    assert!(found.len() > 3);
    for reference in found {
        let name = reference.trim_start_matches("#/components/schemas/");
        assert!(schemas.contains_key(name), "{reference}");
    }
    for (name, schema) in &schemas {
        assert_eq!(schema["title"], **name);
        assert!(schema["description"].as_str().is_some_and(|text| !text.is_empty()));
    }
}
