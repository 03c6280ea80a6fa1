//! `/api/openapi.json`: the API described for programs. Each operation is declared beside its
//! handler. The schemas come from the types that read and write the bodies.

#[cfg(test)]
pub(crate) mod tests;

use axum::body::Bytes;
use axum::http::header;
use axum::routing::{MethodRouter, get};
use leasehold_prefect::{Schemas, Settings};
use serde_json::{Map, Value, json};

use crate::doors::groups::{self, SERVER};
use crate::doors::operation::{Operation, shared_responses};
use crate::doors::routes::Routes;
use crate::http::answer::APPLICATION_JSON;

pub(crate) const PATH: &str = "/api/openapi.json";

const ABOUT: &str = "\
A **limit** has slots. A **lease** holds slots on one or more limits for a holder, until its \
deadline. A holder that is alive renews its lease; a holder that crashed does not, and its slots \
come back by themselves.

The limits API is that of Prefect: its clients work unchanged. They ignore the fields and paths \
that Prefect does not have.

Requests are JSON. Times are in UTC, in the form of RFC 3339. Clients that send \
`X-PREFECT-API-VERSION` must speak 0.8.0 or later. If the server protects against CSRF, every \
write needs `Prefect-Csrf-Token` and `Prefect-Csrf-Client`.";

pub(super) fn add(routes: Routes, settings: &Settings) -> Routes {
    let operation = Operation::new("get", PATH, MethodRouter::new())
        .named("openapi", "This description")
        .answers_with(200, |_| json!({"type": "object"}), "An OpenAPI 3.1 document.");
    let routes = routes.tagged(SERVER).add(operation);
    let document = Bytes::from(document(&routes, settings).to_string());
    let read = async move || ([(header::CONTENT_TYPE, APPLICATION_JSON)], document);
    routes.beside(PATH, "GET", get(read))
}

/// The whole document. It shows the bounds that the operator chose.
pub(crate) fn document(routes: &Routes, settings: &Settings) -> Value {
    let mut schemas = Schemas::new(settings);
    let mut paths = Map::new();
    for (group, _) in groups::ALL {
        for operation in routes.operations.iter().filter(|operation| operation.tag == *group) {
            let path = paths.entry(&operation.path).or_insert_with(|| json!({}));
            path[operation.method] = operation.to_openapi(&mut schemas);
        }
    }
    let tags: Vec<_> = groups::ALL
        .iter()
        .map(|(name, about)| json!({"name": name, "description": about}))
        .collect();
    let basic = json!({
        "type": "http",
        "scheme": "basic",
        "description": "Needed if the server was started with an authentication string.",
    });
    let responses = shared_responses(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Leasehold",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": env!("CARGO_PKG_DESCRIPTION"),
            "description": ABOUT,
            "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        // Alternatives: the empty object stands for a server without authentication.
        "security": [{}, {"basic": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {"basic": basic},
            "responses": responses,
            "schemas": schemas.into_components(),
        },
    })
}
