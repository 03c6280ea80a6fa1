//! Limits, their holders and their waiters: read and changed. Lists are read to their end, page by
//! page.

use leasehold_api::Timestamp;
use leasehold_api::leases::{EndedLease, FindLeases, Lease, LimitLease, RevokeLease, Waiter};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::client::{Client, encoded};
use crate::error::Error;

const LIMITS: &str = "/v2/concurrency_limits";

/// A limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Limit {
    /// Its id, which never changes.
    pub id: Uuid,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// When it was last changed by an operator.
    pub updated: Option<Timestamp>,
    /// Whether it is enforced.
    pub active: bool,
    /// Its name.
    pub name: String,
    /// How many slots there are.
    pub limit: u64,
    /// How many of them are taken now, after decay.
    pub active_slots: u64,
    /// How many slots drain in a second; 0 for a limit that is no rate limit.
    pub slot_decay_per_second: f64,
}

/// A new limit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NewLimit {
    /// Its name, which no other limit may have.
    pub name: String,
    /// How many slots there are.
    pub limit: u64,
    /// Whether it is enforced.
    pub active: bool,
    /// How many slots drain in a second; 0 for a limit that is no rate limit.
    pub slot_decay_per_second: f64,
}

impl NewLimit {
    /// An active limit with so many slots.
    #[must_use]
    pub fn new(name: impl Into<String>, limit: u64) -> Self {
        Self { name: name.into(), limit, active: true, slot_decay_per_second: 0.0 }
    }

    /// As a rate limit: so many slots drain in a second.
    #[must_use]
    pub fn decay(mut self, slots_per_second: f64) -> Self {
        self.slot_decay_per_second = slots_per_second;
        self
    }
}

/// Changes to a limit. What is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LimitChanges {
    /// Whether it is enforced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Its new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many slots there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Alone: an operator's reset to so many taken slots, which revokes leases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active_slots: Option<u64>,
    /// How many slots drain in a second; 0 for a limit that is no rate limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot_decay_per_second: Option<f64>,
}

impl Client {
    /// All limits, by name. Those of tags are called `tag:…`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn limits(&self) -> Result<Vec<Limit>, Error> {
        let path = format!("{LIMITS}/filter");
        let mut all: Vec<Limit> = Vec::new();
        loop {
            let body = serde_json::json!({"offset": all.len()});
            let page: Vec<Limit> =
                self.request(Method::POST, &path).json(&body).repeatable().send().await?;
            if page.is_empty() {
                // Pages of a list that changes meanwhile may show one limit twice.
                all.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
                all.dedup_by_key(|limit| limit.id);
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// The limit with this name or id.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn limit(&self, name: &str) -> Result<Limit, Error> {
        self.get(&path_of(name)).await
    }

    /// Creates a limit.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is one with this name; see [`Error`].
    pub async fn create_limit(&self, limit: &NewLimit) -> Result<Limit, Error> {
        self.post(&format!("{LIMITS}/"), limit).await
    }

    /// Changes the limit with this name or id.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn change_limit(&self, name: &str, changes: &LimitChanges) -> Result<(), Error> {
        let request = self.request(Method::PATCH, &path_of(name)).json(changes);
        // A second reset would revoke the leases that were granted after the first; a second
        // renaming would find no limit.
        let is_repeatable = changes.active_slots.is_none() && changes.name.is_none();
        if is_repeatable { request.repeatable().send().await } else { request.send().await }
    }

    /// Deletes the limit with this name or id. Leases lose their slots on it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_limit(&self, name: &str) -> Result<(), Error> {
        self.delete(&path_of(name)).await
    }

    /// All that holds slots of the limit with this name or id, oldest first, and then the slots
    /// that no lease holds.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn holders(&self, name: &str) -> Result<Vec<LimitLease>, Error> {
        let is_lease = |entry: &LimitLease| entry.id.is_some();
        self.pages(&format!("{}/leases", path_of(name)), &[], is_lease).await
    }

    /// All requests that wait for the limit with this name or id, in the order in which they are to
    /// be granted.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn waiters(&self, name: &str) -> Result<Vec<Waiter>, Error> {
        self.pages(&format!("{}/waiters", path_of(name)), &[], |_| true).await
    }

    /// All leases that fit, oldest first. `offset` and `limit` of the filter are ignored.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn leases(&self, filter: &FindLeases) -> Result<Vec<Lease>, Error> {
        let fields = [
            ("limit_name", &filter.limit_name),
            ("holder_kind", &filter.holder_kind),
            ("holder_id", &filter.holder_id),
        ];
        let given = fields.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        self.pages("/leases", &given.collect::<Vec<_>>(), |_| true).await
    }

    /// The lease with this id.
    ///
    /// # Errors
    /// [`Error::Ended`] if it has ended or never was; see [`Error`].
    pub async fn lease(&self, id: Uuid) -> Result<Lease, Error> {
        self.get(&format!("/leases/{id}")).await
    }

    /// Takes a lease away from its holder, who learns why and by whom. `Some` if it had ended
    /// before.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn revoke(&self, id: Uuid, why: &RevokeLease) -> Result<Option<EndedLease>, Error> {
        let request = self.request(Method::DELETE, &format!("/leases/{id}")).json(why);
        match request.send().await {
            Ok(()) => Ok(None),
            Err(Error::Ended(ended)) => Ok(Some(*ended)),
            Err(error) => Err(error),
        }
    }

    /// Reads a list to its end. `counts` says which entries the offset counts.
    async fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        counts: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, Error> {
        let mut all: Vec<T> = Vec::new();
        loop {
            let offset = all.iter().filter(|entry| counts(entry)).count();
            let mut request = self.request(Method::GET, path).query("offset", offset);
            for (name, value) in query {
                request = request.query(name, value);
            }
            let page: Vec<T> = request.send().await?;
            let is_last = page.is_empty() || !page.iter().all(&counts);
            all.extend(page);
            if is_last {
                return Ok(all);
            }
        }
    }
}

fn path_of(name: &str) -> String {
    format!("{LIMITS}/{}", encoded(name))
}
