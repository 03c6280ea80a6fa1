//! The API of a running Prefect server.

use leasehold_client::{Client, Error as ClientError};
use serde_json::{Value, json};

use crate::error::Error;

/// How many objects a server gives in one answer.
const PAGE: usize = 200;

/// The API of a running Prefect server.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
    /// Where it is, without a password.
    place: String,
}

impl Api {
    /// With a client whose URL is that of the API.
    pub fn new(client: Client) -> Self {
        let place = client.url().to_owned();
        Self { client, place }
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// The version of the server, such as `3.9.1`.
    pub(crate) async fn version(&self) -> Result<String, Error> {
        let version: Value = self.get("/admin/version").await?;
        let version = version.as_str().map(str::to_owned);
        version.ok_or_else(|| Error::NoPrefect {
            place: self.place.clone(),
            reason: "its version is no text".to_owned(),
        })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Error> {
        self.client.get(path).await.map_err(|error| self.error(path, error))
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.try_post(path, body).await.map_err(|error| self.error(path, error))
    }

    /// With the client's error, for what the caller can do about it.
    pub(crate) async fn try_post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.client.post(path, body).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Result<(), Error> {
        self.client.patch(path, body).await.map_err(|error| self.error(path, error))
    }

    /// The objects of one answer.
    pub(crate) async fn list(&self, path: &str, body: Value) -> Result<Vec<Value>, Error> {
        match self.post(path, &body).await? {
            Value::Array(objects) => Ok(objects),
            other => Err(Error::NoPrefect {
                place: self.place.clone(),
                reason: format!("{path} answered {other} instead of a list"),
            }),
        }
    }

    /// All objects of a list, page by page.
    pub(crate) async fn pages(&self, path: &str) -> Result<Vec<Value>, Error> {
        let mut all = Vec::new();
        loop {
            let body = json!({ "limit": PAGE, "offset": all.len() });
            let page = self.list(path, body).await?;
            let is_last = page.len() < PAGE;
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }

    pub(crate) fn error(&self, path: &str, error: ClientError) -> Error {
        let place = self.place.clone();
        match error {
            ClientError::Unreachable { cause, .. } => Error::Unreachable { place, reason: cause },
            ClientError::Unauthorized { detail, .. } | ClientError::Forbidden { detail } => {
                Error::Login { place, reason: detail }
            }
            ClientError::NotServed { path, .. } => {
                Error::NoPrefect { place, reason: format!("it does not serve {path}") }
            }
            ClientError::Unexpected { detail, .. } => Error::NoPrefect { place, reason: detail },
            ClientError::Redirected { to, .. } => {
                Error::NoPrefect { place, reason: format!("it redirects to {to}") }
            }
            error => Error::Refused { place, what: path.to_owned(), reason: error.to_string() },
        }
    }
}
