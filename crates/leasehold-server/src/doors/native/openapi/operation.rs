//! How an operation is described, and what all operations have in common.

use leasehold_api::schema::reference;
use serde_json::{Map, Value, json};

const RESPONSES: &str = "#/components/responses/";
const JSON: &str = "application/json";
/// The standard responses that have another shape on the paths that are ours alone.
const OF_OURS: [&str; 4] = ["Unauthorized", "InvalidRequest", "Unavailable", "RecordsUnavailable"];

/// Something that a client can ask for.
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    id: &'static str,
    summary: &'static str,
    tag: &'static str,
    about: &'static str,
    query: Vec<Value>,
    body: Option<Body>,
    responses: Map<String, Value>,
    is_open: bool,
}

struct Body {
    schema: Value,
    is_required: bool,
}

pub(super) fn get(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("get", path, id, summary)
}

pub(super) fn post(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("post", path, id, summary)
}

pub(super) fn patch(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("patch", path, id, summary)
}

pub(super) fn delete(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation::new("delete", path, id, summary)
}

impl Operation {
    fn new(
        method: &'static str,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        let operation = Self {
            method,
            path,
            id,
            summary,
            tag: "",
            about: "",
            query: Vec::new(),
            body: None,
            responses: Map::new(),
            is_open: false,
        };
        let operation = operation.standard("400", "WrongVersion").standard("401", "Unauthorized");
        if method == "get" { operation } else { operation.standard("403", "CsrfFailed") }
    }

    pub(super) fn tag(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    /// What the summary does not say.
    pub(super) fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// A parameter in the query.
    pub(super) fn query(mut self, name: &str, about: &str, schema: Value, required: bool) -> Self {
        let mut parameter =
            json!({"name": name, "in": "query", "description": about, "required": required});
        parameter["schema"] = schema;
        self.query.push(parameter);
        self
    }

    /// A body that must be there.
    pub(super) fn body(self, schema: &'static str) -> Self {
        self.with_body(Body { schema: reference(schema), is_required: true })
    }

    /// A body that clients fill as they like, as this example does.
    pub(super) fn free_body(self, example: &Value) -> Self {
        let kind = if example.is_array() { "array" } else { "object" };
        let schema = json!({"type": kind, "example": example});
        self.with_body(Body { schema, is_required: true })
    }

    /// A body without any field that must be there.
    pub(super) fn optional_body(self, schema: &'static str) -> Self {
        self.with_body(Body { schema: reference(schema), is_required: false })
    }

    fn with_body(mut self, body: Body) -> Self {
        self.body = Some(body);
        self.standard("408", "BodyTimeout").standard("413", "BodyTooLarge").invalid()
    }

    /// Success with a body.
    pub(super) fn answers(mut self, status: u16, schema: Value, about: &str) -> Self {
        self.responses.insert(status.to_string(), with_content(about, schema));
        self
    }

    /// Success without a body.
    pub(super) fn done(mut self, status: u16, about: &str) -> Self {
        self.responses.insert(status.to_string(), json!({"description": about}));
        self
    }

    /// Refused by the rules of limits and leases.
    pub(super) fn refuses(mut self, status: u16, about: &str) -> Self {
        let mut response = with_content(about, reference("Detail"));
        match status {
            422 => response = with_content(about, either("Invalid", "Detail")),
            423 => response["headers"] = retry_after("Seconds until it may succeed."),
            _ => {}
        }
        self.responses.insert(status.to_string(), response);
        self
    }

    /// Refused by those rules, and told more than a sentence.
    pub(super) fn refuses_with(mut self, status: u16, schema: &str, about: &str) -> Self {
        let mut response = with_content(about, reference(schema));
        if status == 423 {
            response["headers"] = retry_after("Whole seconds until it may succeed.");
        }
        self.responses.insert(status.to_string(), response);
        self
    }

    /// Something in the path, the query or the body is not what it must be.
    pub(super) fn invalid(self) -> Self {
        self.standard("422", "InvalidRequest")
    }

    /// It needs the ledger, which may be out of reach.
    pub(super) fn ledger(self) -> Self {
        self.standard("503", "Unavailable")
    }

    /// It needs the records of runs, which may be out of reach.
    pub(super) fn records(self) -> Self {
        self.standard("503", "RecordsUnavailable")
    }

    /// Anybody may ask, and with any version of the API.
    pub(super) fn open(mut self) -> Self {
        self.is_open = true;
        self.responses.remove("401");
        self.any_version()
    }

    /// The version of the API that the client speaks does not matter.
    pub(super) fn any_version(mut self) -> Self {
        self.responses.remove("400");
        self
    }

    /// It is ours alone: all its errors have a `detail`, and a body must be JSON.
    pub(super) fn ours(mut self) -> Self {
        let shared = reference("Invalid");
        for response in self.responses.values_mut() {
            if let Some(name) = response["$ref"].as_str()
                && let Some(name) = name.strip_prefix(RESPONSES)
                && OF_OURS.contains(&name)
            {
                *response = json!({"$ref": format!("{RESPONSES}Our{name}")});
            } else if response["content"][JSON]["schema"]["anyOf"][0] == shared {
                response["content"][JSON]["schema"] = reference("Refused");
            }
        }
        if self.body.is_some() { self.standard("415", "OurMediaType") } else { self }
    }

    /// Adds a response that is the same everywhere, unless there is one of its own.
    fn standard(mut self, status: &str, name: &str) -> Self {
        let response = json!({"$ref": format!("{RESPONSES}{name}")});
        self.responses.entry(status).or_insert(response);
        self
    }

    pub(super) fn to_openapi(&self) -> Value {
        let mut responses: Vec<_> = self.responses.clone().into_iter().collect();
        responses.sort_by(|(one, _), (other, _)| one.cmp(other));
        let parameters: Vec<_> = path_parameters(self.path).chain(self.query.clone()).collect();
        let mut operation = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
        });
        if !self.about.is_empty() {
            operation["description"] = self.about.into();
        }
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(body) = &self.body {
            operation["requestBody"] = json!({
                "required": body.is_required,
                "content": {"application/json": {"schema": body.schema}},
            });
        }
        if self.is_open {
            operation["security"] = json!([]);
        }
        operation["responses"] = Value::Object(Map::from_iter(responses));
        operation
    }
}

fn path_parameters(path: &'static str) -> impl Iterator<Item = Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names.map(|name| {
        let (about, schema) = match name {
            "id_or_name" => ("The limit's id or its name.", json!({"type": "string"})),
            "name" => ("The name.", json!({"type": "string"})),
            "slug" => ("The type's name in paths.", json!({"type": "string"})),
            "checksum" => ("The schema's checksum.", json!({"type": "string"})),
            "tag" => ("The bare tag.", json!({"type": "string"})),
            "lease_id" => ("The lease's id.", json!({"type": "string", "format": "uuid"})),
            _ => ("The id.", json!({"type": "string", "format": "uuid"})),
        };
        json!({"name": name, "in": "path", "description": about, "required": true,
               "schema": schema})
    })
}

/// The responses that mean the same wherever they appear.
pub(super) fn standard_responses() -> Value {
    const NO_LEDGER: &str = "Overloaded, stopping, or the journal cannot be written. Nothing was \
                             changed, unless the journal failed in the very moment.";
    const NO_RECORDS: &str = "Overloaded, stopping, or the records cannot be written. Nothing was \
                              recorded; where slots are held or given back as well, the journal may \
                              be what failed.";
    const UNAUTHORIZED: &str = "The server wants authentication, and it is missing or wrong.";
    const INVALID: &str = "Something in the path, the query or the body is not what it must be.";
    let unavailable = |about, schema| {
        let mut response = with_content(about, reference(schema));
        response["headers"] = retry_after("Seconds to wait before another attempt.");
        response
    };
    json!({
        "WrongVersion": with_content(
            "`X-PREFECT-API-VERSION` is malformed or below 0.8.0.",
            reference("Detail"),
        ),
        "Unauthorized": with_content(UNAUTHORIZED, reference("Exception")),
        "OurUnauthorized": with_content(UNAUTHORIZED, reference("Refused")),
        "CsrfFailed": with_content(
            "The server protects against CSRF, and the token is missing or wrong.",
            reference("Detail"),
        ),
        "BodyTimeout": with_content("The body did not come in time.", reference("Detail")),
        "BodyTooLarge": with_content("The body is larger than 1 MiB.", reference("Detail")),
        "InvalidRequest": with_content(INVALID, either("Invalid", "Detail")),
        "OurInvalidRequest": with_content(INVALID, reference("Refused")),
        "OurMediaType": with_content("The body says that it is no JSON.", reference("Detail")),
        "Unavailable": unavailable(NO_LEDGER, "Exception"),
        "OurUnavailable": unavailable(NO_LEDGER, "Refused"),
        "RecordsUnavailable": unavailable(NO_RECORDS, "Exception"),
        "OurRecordsUnavailable": unavailable(NO_RECORDS, "Refused"),
    })
}

fn with_content(about: &str, schema: Value) -> Value {
    let mut response = json!({"description": about, "content": {"application/json": {}}});
    response["content"]["application/json"]["schema"] = schema;
    response
}

fn retry_after(about: &str) -> Value {
    json!({"Retry-After": {"description": about, "schema": {"type": "number", "minimum": 0}}})
}

fn either(one: &str, other: &str) -> Value {
    json!({"anyOf": [reference(one), reference(other)]})
}
