//! Rate limits: slots that drain by themselves, so that nothing is released.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use leasehold_api::leases::{Lease, Mode};

use crate::acquire::{Acquire, Wait};
use crate::client::Client;
use crate::error::Error;
use crate::waiting::Waiting;

/// The longest ttl that a server grants by default.
const TTL_MAX: f64 = 86_400.0;

impl Client {
    /// A request for one slot of a rate limit, which waits until the rate allows it. Await it.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), leasehold_client::Error> {
    /// # let client = leasehold_client::Client::from_env().unwrap();
    /// client.rate_limit("api").slots(2).await?;
    /// // Now call the API twice.
    /// # Ok(())
    /// # }
    /// ```
    pub fn rate_limit(&self, limit: impl Into<String>) -> RateLimit {
        let acquire = self.acquire(limit).wait(Wait::Forever);
        RateLimit { acquire: Acquire { mode: Mode::RateLimit, ..acquire } }
    }
}

/// A request for slots of a rate limit. Await it: there is nothing to hold and to release.
#[derive(Debug)]
#[must_use = "nothing is asked for before it is awaited"]
pub struct RateLimit {
    acquire: Acquire,
}

impl RateLimit {
    /// How many slots; 1 unless it is set.
    pub fn slots(mut self, slots: u64) -> Self {
        self.acquire = self.acquire.slots(slots);
        self
    }

    /// How long to wait; for ever unless it is set.
    pub fn wait(mut self, wait: impl Into<Wait>) -> Self {
        self.acquire = self.acquire.wait(wait);
        self
    }

    /// Requests with a higher priority are granted first; 0 unless it is set.
    pub fn priority(mut self, priority: i32) -> Self {
        self.acquire = self.acquire.priority(priority);
        self
    }

    /// Who asks; `process` and `HOST:PID` unless it is set.
    pub fn holder(mut self, kind: impl Into<String>, id: impl Into<String>) -> Self {
        self.acquire = self.acquire.holder(kind, id);
        self
    }

    /// Calls `watcher` while the request waits: see [`Acquire::on_waiting`].
    pub fn on_waiting(mut self, watcher: impl FnMut(&Waiting) + Send + 'static) -> Self {
        self.acquire = self.acquire.on_waiting(watcher);
        self
    }

    async fn run(self) -> Result<Lease, Error> {
        let Some(wanted) = self.acquire.limits.first() else {
            return Err(Error::Unwritable { detail: "no limit is named".to_owned() });
        };
        let limit = self.acquire.client.limit(&wanted.name).await?;
        // What a lease holds when it ends is given back, and would be granted once more. By then,
        // all of it has drained.
        let ttl = (limit.limit as f64 / limit.slot_decay_per_second).clamp(1.0, TTL_MAX);
        let ttl = if ttl.is_finite() { ttl } else { 1.0 };
        let guard = self.acquire.ttl(Duration::from_secs_f64(ttl.ceil())).await?;
        Ok(guard.leak())
    }
}

impl IntoFuture for RateLimit {
    type Output = Result<Lease, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
