//! The same for programs without an async runtime. Renewals run on a thread of the client.
//!
//! ```no_run
//! use leasehold_client::{Wait, blocking::Client};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::from_env()?;
//! let guard = client.acquire(client.ask("database").wait(Wait::Forever))?;
//! for step in 0..10 {
//!     if !guard.is_held() {
//!         return Err("the lease is lost".into());
//!     }
//!     // … a step that takes less than the notice …
//! }
//! guard.release()?;
//! # Ok(())
//! # }
//! ```

use std::future::{Future, IntoFuture};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use leasehold_api::leases::{Lease, ReleasedLease};
use tokio::runtime::{Builder, Runtime};

use crate::acquire::Acquire;
use crate::error::Error;
use crate::guard::{self, ReleaseError};
use crate::held::Lost;
use crate::rate_limit::RateLimit;
use crate::source::SettingsError;

/// How long a dropped guard waits for its release.
const DROPPED_WITHIN: Duration = Duration::from_secs(5);

/// A client of one server. Its methods block; none may be called from async code.
#[derive(Clone, Debug)]
pub struct Client {
    client: crate::Client,
    runtime: Arc<Background>,
}

/// A runtime that may be dropped anywhere.
#[derive(Debug)]
struct Background(Option<Runtime>);

impl Background {
    fn block_on<F: Future>(&self, future: F) -> Option<F::Output> {
        Some(self.0.as_ref()?.block_on(future))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Client {
    /// Makes a client that blocks from one that does not.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn new(client: crate::Client) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("leasehold-client")
            .enable_all()
            .build()?;
        Ok(Self { client, runtime: Arc::new(Background(Some(runtime))) })
    }

    /// A client of the server that the environment names: see
    /// [`ClientBuilder::env`](crate::ClientBuilder::env).
    ///
    /// # Errors
    /// If the environment names no server that can be.
    pub fn from_env() -> Result<Self, SettingsError> {
        let client = crate::Client::from_env()?;
        Self::new(client).map_err(|error| SettingsError::Tls(error.to_string()))
    }

    /// A request for one slot of a limit, for [`acquire`](Self::acquire).
    pub fn ask(&self, limit: impl Into<String>) -> Acquire {
        self.client.acquire(limit)
    }

    /// Takes the slots that a request asks for.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn acquire(&self, acquire: Acquire) -> Result<Guard, Error> {
        let guard = self.run(acquire.into_future())?;
        Ok(Guard { guard: Some(guard), runtime: Arc::clone(&self.runtime) })
    }

    /// Takes the slots of a rate limit: `client.rate_limit(client.rate("api").slots(2))`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn rate_limit(&self, rate: RateLimit) -> Result<Lease, Error> {
        self.run(rate.into_future())
    }

    /// A request for one slot of a rate limit, for [`rate_limit`](Self::rate_limit).
    pub fn rate(&self, limit: impl Into<String>) -> RateLimit {
        self.client.rate_limit(limit)
    }

    /// Runs any request of the async client: `client.run(client.client().limits())`.
    pub fn run<F: Future>(&self, request: F) -> F::Output {
        match self.runtime.block_on(request) {
            Some(output) => output,
            None => unreachable!("the runtime is taken when it is dropped"),
        }
    }

    /// The async client.
    #[must_use]
    pub fn client(&self) -> &crate::Client {
        &self.client
    }
}

/// Slots that are held: see [`Guard`](guard::Guard). Dropping it waits for the release, up to 5 s.
#[derive(Debug)]
#[must_use = "a guard that is dropped releases its slots"]
pub struct Guard {
    guard: Option<guard::Guard>,
    runtime: Arc<Background>,
}

impl Guard {
    /// Waits until the lease is lost, or until `within` is over.
    #[must_use]
    pub fn lost_within(&self, within: Duration) -> Option<Lost> {
        let guard = self.guard.as_ref()?;
        let lost = async { tokio::time::timeout(within, guard.lost()).await.ok() };
        self.runtime.block_on(lost).flatten()
    }

    /// Releases the lease and waits for the answer.
    ///
    /// # Errors
    /// If it had ended before, or the server cannot be reached.
    pub fn release(mut self) -> Result<ReleasedLease, ReleaseError> {
        let released = self.guard.take().map(guard::Guard::release);
        match released.and_then(|released| self.runtime.block_on(released)) {
            Some(outcome) => outcome,
            None => unreachable!("a guard is taken when it is released or dropped"),
        }
    }
}

impl Deref for Guard {
    type Target = guard::Guard;

    fn deref(&self) -> &guard::Guard {
        match &self.guard {
            Some(guard) => guard,
            None => unreachable!("a guard is taken when it is released or dropped"),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(guard) = self.guard.take() else { return };
        // Async code must not block: there the release goes on in the background.
        if tokio::runtime::Handle::try_current().is_err() {
            // `timeout` needs the runtime's clock when it is made.
            let release = async { tokio::time::timeout(DROPPED_WITHIN, guard.release()).await };
            let _ = self.runtime.block_on(release);
        }
    }
}
