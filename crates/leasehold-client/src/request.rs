//! The requests that any endpoint takes, sent again where that is safe.

use std::fmt::Display;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use crate::answer::Answer;
use crate::backoff::Backoff;
use crate::client::{Client, encoded};
use crate::error::Error;
use crate::transport::Call;

impl Client {
    /// Reads `path`, which is below the URL of the API: `/v2/concurrency_limits/database`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, Error> {
        self.request(Method::GET, path).send().await
    }

    /// Sends a body to `path`. The request is sent again only if the server cannot have carried it
    /// out. An answer without a body reads as `()`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post<A: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<A, Error> {
        self.request(Method::POST, path).json(body).send().await
    }

    /// Changes what is at `path`; as [`post`](Self::post).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn patch<A: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<A, Error> {
        self.request(Method::PATCH, path).json(body).send().await
    }

    /// Deletes what is at `path`.
    ///
    /// # Errors
    /// See [`Error`]. If an answer was lost, the second attempt may find nothing to delete.
    pub async fn delete<A: DeserializeOwned>(&self, path: &str) -> Result<A, Error> {
        self.request(Method::DELETE, path).send().await
    }

    /// A request of any kind, with a query or a body.
    pub fn request(&self, method: Method, path: &str) -> Request<'_> {
        Request::new(self, method, path)
    }
}

/// A request to one endpoint. Reads and deletions are sent again after any outage; writes only if
/// the server cannot have carried them out, unless they are [`repeatable`](Self::repeatable).
#[derive(Clone, Debug)]
#[must_use]
pub struct Request<'client> {
    client: &'client Client,
    call: Call,
    is_repeatable: bool,
    retry_for: Duration,
    /// Why the body cannot be written.
    fault: Option<String>,
}

impl<'client> Request<'client> {
    pub(crate) fn new(client: &'client Client, method: Method, path: &str) -> Self {
        let is_repeatable = matches!(method, Method::GET | Method::HEAD | Method::DELETE);
        let call = Call {
            method,
            path: path.to_owned(),
            body: None,
            headers: HeaderMap::new(),
            timeout: None,
        };
        Self { client, call, is_repeatable, retry_for: client.retry_for(), fault: None }
    }

    /// Adds `name=value` to the query.
    pub fn query(mut self, name: &str, value: impl Display) -> Self {
        let mark = if self.call.path.contains('?') { '&' } else { '?' };
        let value = encoded(&value.to_string());
        self.call.path.push_str(&format!("{mark}{}={value}", encoded(name)));
        self
    }

    /// Sends this as JSON.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.call.body = Some(body.into()),
            Err(error) => self.fault = Some(error.to_string()),
        }
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.call.headers.insert(name, value);
        self
    }

    /// The request may be sent again when its answer was lost: twice has the effect of once.
    pub fn repeatable(mut self) -> Self {
        self.is_repeatable = true;
        self
    }

    /// How long one attempt may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.call.timeout = Some(timeout);
        self
    }

    /// For how long it is sent again.
    pub fn retry_for(mut self, retry_for: Duration) -> Self {
        self.retry_for = retry_for;
        self
    }

    /// Sends it and reads the answer. An answer without a body reads as `()`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn send<A: DeserializeOwned>(self) -> Result<A, Error> {
        let answer = self.answer().await?;
        self.client.transport().read(&answer)
    }

    async fn answer(&self) -> Result<Answer, Error> {
        if let Some(detail) = self.fault.clone() {
            return Err(Error::Unwritable { detail });
        }
        let until = Instant::now() + self.retry_for;
        let mut backoff = Backoff::default();
        loop {
            let sent = self.client.transport().send(&self.call).await;
            let Call { method, path, .. } = &self.call;
            let error = match sent {
                Ok(answer) => {
                    tracing::debug!(%method, path, status = answer.status, "answered");
                    return Ok(answer);
                }
                Err(error) => error,
            };
            tracing::debug!(%method, path, %error, "failed");
            let is_safe = error.is_outage() && (self.is_repeatable || error.changed_nothing());
            let pause = backoff.next(error.retry_after(), fastrand::f64());
            if !is_safe || Instant::now() + pause > until {
                return Err(error);
            }
            tracing::debug!(%error, ?pause, path = self.call.path, "sending the request again");
            sleep(pause).await;
        }
    }
}
