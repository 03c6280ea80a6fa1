//! Request bodies as they are on the wire: bytes with a type, beside an id in the path, or a query
//! string.

use std::collections::BTreeSet;

use leasehold_python_json::{Json, JsonError};
use schemars::JsonSchema;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::declaration::{Declared, Style};
use crate::read::read_declared;
use crate::rule::opaque;
use crate::schema::Schemas;
use crate::settings::Settings;
use crate::validation::{Fault, Findings, Invalid, Loc};
use crate::{path, write};

const JSON_INVALID: Fault = Fault("json_invalid", "JSON decode error");
const REPEATED: Fault = Fault("repeated", "Parameter was given more than once");

/// How many levels a body may nest. The bodies of this API nest up to 3 levels; clients nest their
/// own values in them. `serde_json` reads the recorded values again, and refuses more than 127
/// levels.
const DEPTH_MAX: usize = 100;

/// A request body as it is on the wire.
pub trait Body: Sized + JsonSchema {
    /// Reads and validates. `content_type` is the header's value. Without the header, the body is
    /// read as JSON. With a type that is not JSON, the body is a plain string, which is no model
    /// and holds no parameters. Without bytes there is no body.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the fields.
    fn from_bytes(
        content_type: Option<&str>,
        bytes: &[u8],
        settings: &Settings,
    ) -> Result<Self, Invalid>;

    /// Reads and validates a body together with the id in the path. One answer has the errors of
    /// both, the path's first. If the body is no JSON, the answer has only that error. `name` is
    /// the name of the id in the path.
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

    /// Reads and validates the parameters of a query string, given as decoded names and values.
    ///
    /// # Errors
    /// Everything that is wrong. A repeated parameter is wrong.
    fn from_query(pairs: Vec<(String, String)>, settings: &Settings) -> Result<Self, Invalid>;

    /// A reference to the schema of the body. The schema has the bounds that the operator chose.
    fn schema(schemas: &mut Schemas<'_>) -> Value;

    /// The fields as an OpenAPI document describes the parameters of a query string.
    fn parameters(schemas: &mut Schemas<'_>) -> Vec<Value>;
}

impl<T: Declared> Body for T {
    fn from_bytes(
        content_type: Option<&str>,
        bytes: &[u8],
        settings: &Settings,
    ) -> Result<Self, Invalid> {
        read(None, content_type, bytes, settings).map(|(_, body)| body)
    }

    fn from_parts(
        name: &'static str,
        id: &str,
        content_type: Option<&str>,
        bytes: &[u8],
        settings: &Settings,
    ) -> Result<(Uuid, Self), Invalid> {
        read(Some((name, id)), content_type, bytes, settings)
    }

    fn from_query(pairs: Vec<(String, String)>, settings: &Settings) -> Result<Self, Invalid> {
        read_query(pairs, settings)
    }

    fn schema(schemas: &mut Schemas<'_>) -> Value {
        schemas.of_declared::<T>()
    }

    fn parameters(schemas: &mut Schemas<'_>) -> Vec<Value> {
        write::parameters::<T>(schemas)
    }
}

/// Reads a body, and the id in the path if there is one. Otherwise the id is nil.
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
    // A body that is no JSON holds no parameters, but an error echoes it.
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

/// Whether a Content-Type is `application/json` or `application/…+json`. An absent header counts as
/// JSON; an empty one does not.
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

/// Reads a body whose fields only its client interprets. `None` if it is no object.
///
/// # Errors
///
/// [`Invalid::Unreadable`], as with every other body.
pub fn object(bytes: &[u8]) -> Result<Option<Map<String, Value>>, Invalid> {
    let text = str::from_utf8(bytes).map_err(|_| Invalid::Unreadable)?;
    match Json::parse_within(text, DEPTH_MAX) {
        Ok(json) => match opaque::value(&json) {
            Value::Object(fields) => Ok(Some(fields)),
            _ => Ok(None),
        },
        Err(JsonError::Syntax { .. }) => Ok(None),
        Err(_) => Err(Invalid::Unreadable),
    }
}
