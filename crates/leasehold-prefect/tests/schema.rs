//! The schemas of bodies say what validation does, in the words of their types.

use leasehold_api::leases::{Lease, ListPage, NewLease};
use leasehold_prefect::limits::{Filter, IncrementWithLease, RenewLease};
use leasehold_prefect::runs::FlowRun;
use leasehold_prefect::tags::CreateTagLimit;
use leasehold_prefect::{Body, Invalid, Schemas, Settings};
use serde_json::{Map, Value, json};

/// The schemas of one body and of all that it refers to.
fn of<T: Body>(settings: &Settings) -> Map<String, Value> {
    let mut schemas = Schemas::new(settings);
    T::schema(&mut schemas);
    schemas.into_components()
}

#[test]
fn a_body_shows_its_rules() {
    assert_eq!(
        of::<CreateTagLimit>(&Settings::default())["CreateTagLimit"],
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
    let length = &of::<RenewLease>(&settings)["RenewLease"]["properties"]["lease_duration"];
    assert_eq!((&length["minimum"], &length["default"]), (&json!(1.0), &json!(2.0)));
    let limit = &of::<Filter>(&settings)["Filter"]["properties"]["limit"];
    assert_eq!((&limit["maximum"], &limit["default"]), (&json!(7), &json!(7)));
}

#[test]
fn a_body_within_a_body_has_its_own_rules() {
    let schemas = of::<NewLease>(&Settings::default());
    assert_eq!(schemas["WantedSlots"]["properties"]["slots"]["default"], 1);
    assert_eq!(schemas["NewHolder"]["required"], json!(["kind", "id"]));
    let schemas = of::<IncrementWithLease>(&Settings::default());
    let kind = &schemas["Holder"]["properties"]["type"];
    assert_eq!(kind["enum"], json!(["flow_run", "task_run", "deployment"]));
}

#[test]
fn a_query_string_has_parameters_that_are_never_null() {
    let settings = Settings::default();
    let count = json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": i64::MAX});
    let mut offset = count.clone();
    offset["default"] = 0.into();
    assert_eq!(
        Value::from(ListPage::parameters(&mut Schemas::new(&settings))),
        json!([
            {
                "name": "offset",
                "in": "query",
                "description": "How many to skip.",
                "required": false,
                "schema": offset,
            },
            {
                "name": "limit",
                "in": "query",
                "description": "The most to list; a page if it is absent.",
                "required": false,
                "schema": count,
            },
        ])
    );
}

#[test]
fn an_answer_shows_all_its_fields() {
    let settings = Settings::default();
    let mut schemas = Schemas::new(&settings);
    assert_eq!(schemas.of::<Lease>(), json!({"$ref": "#/components/schemas/Lease"}));
    schemas.of::<FlowRun>();
    schemas.of::<Invalid>();
    let components = schemas.into_components();
    let lease = &components["Lease"];
    assert_eq!(lease["required"].as_array().map(Vec::len), Some(7));
    assert_eq!(lease["properties"]["created"]["format"], "date-time");
    let run = components["FlowRun"]["properties"].as_object().map(Map::len);
    assert_eq!(run, Some(36));
    for name in ["Origin", "HeldLimit", "State", "ErrorDetail"] {
        let about = components[name]["description"].as_str();
        assert!(about.is_some_and(|about| !about.is_empty() && !about.contains('\n')), "{name}");
    }
}
