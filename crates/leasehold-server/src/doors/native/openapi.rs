//! `/api/openapi.json`: the API described for programs. The bodies' schemas come from the types
//! that read and write them; what each operation does stands in [`operations`].

mod lease_operations;
mod operation;
mod operations;
mod run_operations;
#[cfg(test)]
pub(crate) mod tests;

use axum::body::Bytes;
use axum::http::header;
use axum::routing::get;
use leasehold_api::{Settings, schemas};
use serde_json::{Map, Value, json};

use crate::doors::{Routes, otherwise};
use crate::http::error::APPLICATION_JSON;

pub(crate) const PATH: &str = "/api/openapi.json";

const ABOUT: &str = "\
A **limit** has slots. A **lease** holds slots on one or more limits for a holder, until its \
deadline. A holder that is alive renews its lease; a holder that crashed does not, and its slots \
come back by themselves.

The limits API is that of Prefect: its clients work unchanged. Where there are more fields or \
paths than Prefect has, its clients ignore them.

Requests are JSON. Times are in UTC, in the form of RFC 3339. Clients that send \
`X-PREFECT-API-VERSION` must speak 0.8.0 or later. If the server protects against CSRF, every \
write needs `Prefect-Csrf-Token` and `Prefect-Csrf-Client`.";

pub(crate) fn add(routes: Routes, settings: &Settings) -> Routes {
    let document = Bytes::from(document(settings).to_string());
    let read = move || async move { ([(header::CONTENT_TYPE, APPLICATION_JSON)], document) };
    routes.add(PATH, otherwise("GET", get(read)))
}

/// The whole document. Bounds that an operator can choose are shown as chosen.
pub(crate) fn document(settings: &Settings) -> Value {
    let mut paths = Map::new();
    for operation in operations::all(settings) {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = operation.to_openapi();
    }
    let tags: Vec<_> = operations::TAGS
        .iter()
        .map(|(name, about)| json!({"name": name, "description": about}))
        .collect();
    let basic = json!({
        "type": "http",
        "scheme": "basic",
        "description": "Needed if the server was started with an authentication string.",
    });
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
        // Either of the two: an empty object stands for a server without authentication.
        "security": [{}, {"basic": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "securitySchemes": {"basic": basic},
            "responses": operation::standard_responses(),
            "schemas": schemas(settings),
        },
    })
}
