//! Which server answers at an address.

use leasehold_client::{Client, Error};
use serde::Serialize;
use serde_json::Value;

/// A server that speaks the API of limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Identity {
    pub(crate) kind: Kind,
    pub(crate) version: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Leasehold,
    Prefect,
}

impl std::fmt::Display for Identity {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.kind {
            Kind::Leasehold => "Leasehold",
            Kind::Prefect => "Prefect",
        };
        write!(out, "{name} {}", self.version)
    }
}

/// Asks a server which it is. A server before version 1 of Leasehold names itself in its API's
/// description alone: to Prefect's clients it shows a version of Prefect.
pub(crate) async fn identify(client: &Client) -> Result<Identity, Error> {
    let description: Result<Value, _> = client.get("/openapi.json").await;
    let info = match &description {
        Ok(description) => &description["info"],
        Err(Error::NotServed { .. } | Error::NotFound { .. } | Error::Unexpected { .. }) => {
            &Value::Null
        }
        Err(error) => return Err(error.clone()),
    };
    if info["title"] == "Leasehold" {
        let version = info["version"].as_str().unwrap_or("unknown").to_owned();
        return Ok(Identity { kind: Kind::Leasehold, version });
    }
    Ok(Identity { kind: Kind::Prefect, version: client.get("/admin/version").await? })
}
