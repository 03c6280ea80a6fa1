//! The API of limits that Leasehold and Prefect share, as the commands use it.

use std::collections::HashSet;
use std::time::Duration;

use leasehold_api::Timestamp;
use leasehold_api::leases::Waiter;
use leasehold_client::{Client, Error, Limit, LimitChanges, encoded};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::args::VERSION;
use crate::commands::server::log;
use crate::commands::session::Session;
use crate::exit::{Exit, Failure};
use crate::output;

/// For how long a request is sent again while a server does not answer.
const RETRY_FOR: Duration = Duration::from_secs(2);

/// A global limit to create.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct NewLimit {
    pub(crate) name: String,
    pub(crate) limit: u64,
    pub(crate) active: bool,
    pub(crate) active_slots: u64,
    pub(crate) slot_decay_per_second: f64,
}

/// The limit of a tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TagLimit {
    pub(crate) id: Uuid,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) tag: String,
    pub(crate) concurrency_limit: u64,
    pub(crate) active_slots: Vec<Uuid>,
}

/// The server that the environment names.
pub(crate) struct Api {
    client: Client,
}

impl Api {
    pub(crate) fn connect(session: &Session) -> Result<Self, Failure> {
        Ok(Self { client: connect(session, RETRY_FOR)? })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// All global limits by name, and those of tags, which are among them.
    pub(crate) async fn limits(&self) -> Result<Vec<Limit>, Error> {
        let mut limits = self.client.limits().await?;
        // Pages of a list that changes meanwhile may show one limit twice.
        limits.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        limits.dedup_by_key(|limit| limit.id);
        Ok(limits)
    }

    /// A global limit by its name or id.
    pub(crate) async fn limit(&self, name: &str) -> Result<Option<Limit>, Error> {
        found(self.client.limit(name).await)
    }

    pub(crate) async fn create_limit(&self, new: &NewLimit) -> Result<Limit, Error> {
        self.client.post("/v2/concurrency_limits/", new).await
    }

    pub(crate) async fn change_limit(&self, name: &str, to: &LimitChanges) -> Result<(), Error> {
        self.client.change_limit(name, to).await
    }

    pub(crate) async fn delete_limit(&self, name: &str) -> Result<(), Error> {
        self.client.delete_limit(name).await
    }

    /// The requests that wait for a limit; nothing at a server that does not show them, and for a
    /// limit that a server behind this one grants.
    pub(crate) async fn waiters(&self, name: &str) -> Result<Option<Vec<Waiter>>, Error> {
        match self.client.waiters(name).await {
            Ok(waiters) => Ok(Some(waiters)),
            Err(Error::NotServed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The limits of all tags, in the server's order, which `--offset` counts in.
    pub(crate) async fn tag_limits(&self) -> Result<Vec<TagLimit>, Error> {
        let mut limits: Vec<TagLimit> = self.all("/concurrency_limits/filter").await?;
        let mut seen = HashSet::new();
        limits.retain(|limit| seen.insert(limit.id));
        Ok(limits)
    }

    pub(crate) async fn tag_limit(&self, tag: &str) -> Result<Option<TagLimit>, Error> {
        found(self.client.get(&of_tag(tag)).await)
    }

    /// Creates the limit of a tag, or gives it another number of slots.
    pub(crate) async fn set_tag_limit(&self, tag: &str, slots: u64) -> Result<TagLimit, Error> {
        let body = json!({"tag": tag, "concurrency_limit": slots});
        self.client.post("/concurrency_limits/", &body).await
    }

    pub(crate) async fn reset_tag_limit(&self, tag: &str) -> Result<(), Error> {
        self.client.post(&format!("{}/reset", of_tag(tag)), &json!({})).await
    }

    pub(crate) async fn delete_tag_limit(&self, tag: &str) -> Result<(), Error> {
        self.client.delete(&of_tag(tag)).await
    }

    /// All pages of a list, however long the server's pages are.
    async fn all<A: DeserializeOwned>(&self, path: &str) -> Result<Vec<A>, Error> {
        let mut all = Vec::new();
        loop {
            let page: Vec<A> = self.client.post(path, &json!({"offset": all.len()})).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }
}

/// A client of the server that the environment names, or the profile of the command line.
pub(crate) fn connect(session: &Session, retry_for: Duration) -> Result<Client, Failure> {
    let wrong = |error| Failure::new(Exit::Config, format!("{error}"));
    let builder = match &session.profile {
        Some(profile) => Client::builder().profile(profile),
        None => Client::builder().env(),
    };
    let client = builder
        .map_err(wrong)?
        .user_agent(format!("leasehold/{VERSION}"))
        .retry_for(retry_for)
        .build()
        .map_err(wrong)?;
    if session.verbose {
        log::start_verbose();
        let settings = client.settings();
        let credentials = match settings.credentials {
            Some(_) => format!("credentials {}", settings.credentials_from),
            None => "no credentials".to_owned(),
        };
        let (url, from) = (client.url(), &settings.url_from);
        output::say(&format!("the server is {url} ({from}), {credentials}"));
    }
    Ok(client)
}

fn of_tag(tag: &str) -> String {
    format!("/concurrency_limits/tag/{}", encoded(tag))
}

/// What was asked for, or nothing if the server has none.
pub(crate) fn found<A>(answer: Result<A, Error>) -> Result<Option<A>, Error> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
