//! An operation of the API: its route and its description, declared once, beside its handler.

use std::collections::BTreeMap;

use axum::handler::Handler;
use axum::routing::{self, MethodRouter};
use leasehold_prefect::error::{Detail, Exception};
use leasehold_prefect::{Body, Invalid, Refused, Schemas};
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::native::paths::is_native;
use crate::app::App;

const RESPONSES: &str = "#/components/responses/";
/// The shared responses that have another shape in the native API.
const OF_OURS: [&str; 4] = ["Unauthorized", "InvalidRequest", "Unavailable", "RecordsUnavailable"];

/// Writes a schema, or a reference to one.
type SchemaOf = fn(&mut Schemas<'_>) -> Value;

/// A route with one method.
pub(crate) struct Operation {
    pub(super) methods: MethodRouter<App>,
    pub(super) description: Description,
}

/// The description of an operation in the OpenAPI document.
pub(crate) struct Description {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) tag: &'static str,
    id: &'static str,
    summary: &'static str,
    about: &'static str,
    query: Option<fn(&mut Schemas<'_>) -> Vec<Value>>,
    body: Option<Content>,
    responses: BTreeMap<u16, Response>,
    is_open: bool,
}

struct Content {
    schema: SchemaOf,
    is_required: bool,
}

enum Response {
    /// A response that many operations have, by its name.
    Shared(&'static str),
    Empty(&'static str),
    Content(&'static str, SchemaOf),
    /// A request that is invalid, or that the rules refuse.
    Invalid(&'static str),
}

macro_rules! methods {
    ($($method:ident),+) => {
        $(
            #[doc = concat!("The operation of `", stringify!($method), "` at a path.")]
            pub(crate) fn $method<H, T>(path: impl Into<String>, handler: H) -> Operation
            where
                H: Handler<T, App>,
                T: 'static,
            {
                Operation::new(stringify!($method), path, routing::$method(handler))
            }
        )+
    };
}

methods!(get, post, patch, delete);

impl Operation {
    /// The operation of a method at a path.
    pub(crate) fn new(
        method: &'static str,
        path: impl Into<String>,
        methods: MethodRouter<App>,
    ) -> Self {
        let description = Description {
            method,
            path: path.into(),
            tag: "",
            id: "",
            summary: "",
            about: "",
            query: None,
            body: None,
            responses: BTreeMap::new(),
            is_open: false,
        };
        let operation = Self { methods, description };
        let operation = operation.shared(400, "WrongVersion").shared(401, "Unauthorized");
        if method == "get" { operation } else { operation.shared(403, "CsrfFailed") }
    }

    /// Its id and its summary.
    pub(crate) fn named(mut self, id: &'static str, summary: &'static str) -> Self {
        self.description.id = id;
        self.description.summary = summary;
        self
    }

    /// A description beyond the summary.
    pub(crate) fn about(mut self, about: &'static str) -> Self {
        self.description.about = about;
        self
    }

    /// The parameters of its query string.
    pub(crate) fn query<T: Body>(mut self) -> Self {
        self.description.query = Some(T::parameters);
        self.invalid()
    }

    /// A body that must be there.
    pub(crate) fn body<T: Body>(self) -> Self {
        self.with_body(T::schema, true)
    }

    /// A body without any field that must be there.
    pub(crate) fn optional_body<T: Body>(self) -> Self {
        self.with_body(T::schema, false)
    }

    /// A body whose fields only clients interpret.
    pub(crate) fn free_body(self, schema: SchemaOf) -> Self {
        self.with_body(schema, true)
    }

    fn with_body(mut self, schema: SchemaOf, is_required: bool) -> Self {
        self.description.body = Some(Content { schema, is_required });
        let is_ours = is_native(&self.description.path);
        let operation = self.shared(408, "BodyTimeout").shared(413, "BodyTooLarge").invalid();
        if is_ours { operation.shared(415, "OurMediaType") } else { operation }
    }

    /// Success with a body.
    pub(crate) fn answers<T: JsonSchema>(self, status: u16, about: &'static str) -> Self {
        self.answers_with(status, schema_of::<T>, about)
    }

    /// Success with a body that has no type.
    pub(crate) fn answers_with(self, status: u16, schema: SchemaOf, about: &'static str) -> Self {
        self.response(status, Response::Content(about, schema))
    }

    /// Success without a body.
    pub(crate) fn done(self, status: u16, about: &'static str) -> Self {
        self.response(status, Response::Empty(about))
    }

    /// Refused by the rules of limits and leases, in a sentence.
    pub(crate) fn refuses(self, status: u16, about: &'static str) -> Self {
        match status {
            422 => self.response(status, Response::Invalid(about)),
            _ => self.refuses_with::<Detail>(status, about),
        }
    }

    /// Refused by the rules of limits and leases, with more than a sentence.
    pub(crate) fn refuses_with<T: JsonSchema>(self, status: u16, about: &'static str) -> Self {
        self.response(status, Response::Content(about, schema_of::<T>))
    }

    /// The path, the query or the body may be invalid.
    pub(crate) fn invalid(self) -> Self {
        self.shared(422, "InvalidRequest")
    }

    /// It needs the ledger, which may be unavailable.
    pub(crate) fn ledger(self) -> Self {
        self.shared(503, "Unavailable")
    }

    /// It needs the records of runs, which may be unavailable.
    pub(crate) fn records(self) -> Self {
        self.shared(503, "RecordsUnavailable")
    }

    /// It needs no credentials, and accepts every version of the API.
    pub(crate) fn open(mut self) -> Self {
        self.description.is_open = true;
        self.description.responses.remove(&401);
        self.any_version()
    }

    /// It accepts every version of the API.
    pub(crate) fn any_version(mut self) -> Self {
        self.description.responses.remove(&400);
        self
    }

    fn response(mut self, status: u16, response: Response) -> Self {
        self.description.responses.insert(status, response);
        self
    }

    /// Adds a shared response, unless the status has one already.
    fn shared(mut self, status: u16, name: &'static str) -> Self {
        self.description.responses.entry(status).or_insert(Response::Shared(name));
        self
    }
}

impl Description {
    /// The operation in an OpenAPI document.
    pub(super) fn to_openapi(&self, schemas: &mut Schemas<'_>) -> Value {
        let is_ours = is_native(&self.path);
        let responses = self.responses.iter();
        let responses: Map<_, _> = responses
            .map(|(status, response)| {
                (status.to_string(), response.to_openapi(*status, is_ours, schemas))
            })
            .collect();
        let mut operation =
            json!({"operationId": self.id, "tags": [self.tag], "summary": self.summary});
        if !self.about.is_empty() {
            operation["description"] = self.about.into();
        }
        let mut parameters: Vec<_> = path_parameters(&self.path).collect();
        parameters.extend(self.query.iter().flat_map(|query| query(schemas)));
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(Content { schema, is_required }) = self.body {
            let content = json!({"application/json": {"schema": schema(schemas)}});
            operation["requestBody"] = json!({"required": is_required, "content": content});
        }
        if self.is_open {
            operation["security"] = json!([]);
        }
        operation["responses"] = responses.into();
        operation
    }
}

impl Response {
    fn to_openapi(&self, status: u16, is_ours: bool, schemas: &mut Schemas<'_>) -> Value {
        let mut response = match self {
            Self::Shared(name) if is_ours && OF_OURS.contains(name) => {
                return shared(&format!("Our{name}"));
            }
            Self::Shared(name) => return shared(name),
            Self::Empty(about) => json!({"description": about}),
            Self::Content(about, schema) => with_content(about, &schema(schemas)),
            Self::Invalid(about) if is_ours => with_content(about, &schemas.of::<Refused>()),
            Self::Invalid(about) => with_content(about, &invalid(schemas)),
        };
        if status == 423 {
            response["headers"] = retry_after("Seconds until it may succeed.");
        }
        response
    }
}

fn path_parameters(path: &str) -> impl Iterator<Item = Value> {
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

/// The responses that many operations have.
pub(super) fn shared_responses(schemas: &mut Schemas<'_>) -> Value {
    const NO_LEDGER: &str = "The server is overloaded or stopping, or the journal cannot be written. \
                             Nothing was changed, unless the journal failed in that very commit.";
    const NO_RECORDS: &str = "The server is overloaded or stopping, or the records cannot be written. \
                              Nothing was recorded. If slots are granted or released as well, the \
                              journal may have failed.";
    const UNAUTHORIZED: &str = "The server requires authentication, and it is missing or wrong.";
    const INVALID: &str = "The path, the query or the body is invalid.";
    let [detail, exception] = [schemas.of::<Detail>(), schemas.of::<Exception>()];
    let refused = schemas.of::<Refused>();
    let unavailable = |about, schema: &Value| {
        let mut response = with_content(about, schema);
        response["headers"] = retry_after("Seconds to wait before another attempt.");
        response
    };
    let detail = |about| with_content(about, &detail);
    json!({
        "WrongVersion": detail("`X-PREFECT-API-VERSION` is malformed or below 0.8.0."),
        "Unauthorized": with_content(UNAUTHORIZED, &exception),
        "OurUnauthorized": with_content(UNAUTHORIZED, &refused),
        "CsrfFailed": detail("The server protects against CSRF, and the token is missing or wrong."),
        "BodyTimeout": detail("The body did not come in time."),
        "BodyTooLarge": detail("The body is larger than 1 MiB."),
        "InvalidRequest": with_content(INVALID, &invalid(schemas)),
        "OurInvalidRequest": with_content(INVALID, &refused),
        "OurMediaType": detail("The Content-Type of the body is not JSON."),
        "Unavailable": unavailable(NO_LEDGER, &exception),
        "OurUnavailable": unavailable(NO_LEDGER, &refused),
        "RecordsUnavailable": unavailable(NO_RECORDS, &exception),
        "OurRecordsUnavailable": unavailable(NO_RECORDS, &refused),
    })
}

fn schema_of<T: JsonSchema>(schemas: &mut Schemas<'_>) -> Value {
    schemas.of::<T>()
}

fn shared(name: &str) -> Value {
    json!({"$ref": format!("{RESPONSES}{name}")})
}

fn with_content(about: &str, schema: &Value) -> Value {
    json!({"description": about, "content": {"application/json": {"schema": schema}}})
}

fn retry_after(about: &str) -> Value {
    json!({"Retry-After": {"description": about, "schema": {"type": "number", "minimum": 0}}})
}

fn invalid(schemas: &mut Schemas<'_>) -> Value {
    json!({"anyOf": [schemas.of::<Invalid>(), schemas.of::<Detail>()]})
}
