//! A guard: a lease that renews itself, says when it is lost, and is released on drop.

use std::fmt;
use std::time::Duration;

use leasehold_api::leases::{HeldLimit, Lease, ReleasedLease, Renewal};
use reqwest::Method;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::Error;
use crate::held::{Held, Lost, Trouble};
use crate::keeper::{Keeper, renew_now};

/// How a lease is, as far as this process knows.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum State {
    /// It is held, and its renewals arrive.
    Held,
    /// It is held until [`Guard::time_left`] is over, and its renewals fail.
    OutOfReach(Trouble),
    /// The holder must not rely on it.
    Lost(Lost),
}

/// Why a release did not find the lease alive.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// It ended before the release: for a while nothing protected what it was to protect.
    #[error("the lease was lost before it was released: {0}")]
    Lost(Lost),
    /// The server may not have released it. It expires by itself.
    #[error("the lease may not have been released, and expires by itself: {0}")]
    Unreleased(Error),
}

/// Slots that are held. They are renewed in the background, at a third of their ttl, until the
/// guard is released or dropped. [`lost`](Self::lost) resolves before the server may give them on.
///
/// A dropped guard releases its lease in the background. Before the end of a program, call
/// [`release`](Self::release): it waits for the answer, and says what happened.
#[must_use = "a guard that is dropped releases its slots"]
pub struct Guard {
    client: Client,
    keeper: Keeper,
    runtime: Handle,
    lease: Lease,
    ttl: Duration,
    state: watch::Receiver<Held>,
    /// Whether dropping it still has to release it.
    is_armed: bool,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Guard")
            .field("id", &self.id())
            .field("state", &state)
            .finish_non_exhaustive()
    }
}

impl Guard {
    /// Begins to renew a lease that the server keeps until `until` at least.
    pub(crate) fn new(
        client: &Client,
        lease: Lease,
        ttl: Duration,
        notice: Duration,
        until: Instant,
    ) -> Self {
        let keeper = client.keeper();
        let state = match lease.deadline {
            Some(_) => keeper.keep(lease.id, ttl, notice, until),
            // A lease that holds nothing needs no renewals.
            None => watch::channel(Held::until(None)).1,
        };
        let (client, runtime) = (client.clone(), Handle::current());
        Self { client, keeper, runtime, lease, ttl, state, is_armed: true }
    }

    /// The lease's id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.lease.id
    }

    /// The lease as the server granted it.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// What it holds. Inactive limits are not among them: they limit nothing.
    #[must_use]
    pub fn limits(&self) -> &[HeldLimit] {
        &self.lease.limits
    }

    /// Greater than that of every earlier lease. Give it to the resource that you protect, and let
    /// that refuse lower ones. `None` if the lease holds nothing.
    #[must_use]
    pub fn fencing_token(&self) -> Option<u64> {
        self.lease.fencing_token
    }

    /// How long the lease lasts without a renewal.
    #[must_use]
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Whether the lease is held at this instant, as far as this process can know.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let state = self.state.borrow();
        state.lost.is_none() && state.deadline.is_none_or(|deadline| Instant::now() < deadline)
    }

    /// Until when the holder can go on if the server answers nothing more. `None` for a lease that
    /// holds nothing, which lasts. It can be in the past.
    #[must_use]
    pub fn held_until(&self) -> Option<std::time::Instant> {
        self.state.borrow().deadline.map(Instant::into_std)
    }

    /// How long the holder can go on if the server answers nothing more.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let deadline = self.state.borrow().deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// How the lease is now.
    #[must_use]
    pub fn state(&self) -> State {
        let state = self.state.borrow();
        match (&state.lost, &state.trouble) {
            (Some(lost), _) => State::Lost(lost.clone()),
            (None, _) if state.deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                State::Lost(Lost::Overslept)
            }
            (None, Some(trouble)) => State::OutOfReach(trouble.clone()),
            (None, None) => State::Held,
        }
    }

    /// Resolves when the [`state`](Self::state) has changed since the last call, with the new one:
    /// renewals fail, or arrive again, or the lease is lost. A lease that seemed lost because the
    /// server could not be reached may turn out to be held.
    pub async fn changed(&mut self) -> State {
        if self.state.changed().await.is_err() {
            // The renewing task has ended with its runtime, or the lease has.
            std::future::pending::<()>().await;
        }
        self.state()
    }

    /// Resolves when the holder can no longer rely on the lease: `notice` before the server may
    /// grant its slots to another holder, or when the server says that the lease has ended. The
    /// future can be dropped, and the function called again.
    pub async fn lost(&self) -> Lost {
        let mut state = self.state.clone();
        let lost = match state.wait_for(|state| state.lost.is_some()).await {
            Ok(state) => state.lost.clone(),
            // The lease needs no more renewals: its last state stays.
            Err(_) => self.state.borrow().lost.clone(),
        };
        match lost {
            Some(lost) => lost,
            None if self.state.borrow().deadline.is_some() => Lost::Overslept,
            None => std::future::pending().await,
        }
    }

    /// Releases the lease and waits for the answer. The server says whether it was held until now,
    /// even if it could not be reached for a while.
    ///
    /// # Errors
    /// If it had ended before, or the server cannot be reached.
    pub async fn release(mut self) -> Result<ReleasedLease, ReleaseError> {
        self.is_armed = false;
        self.keeper.forget(self.id());
        release(&self.client, self.id()).await
    }

    /// Keeps the slots for `span` from now, whatever happens to this process, and then lets them
    /// go: the lease is renewed once more and never released.
    ///
    /// # Errors
    /// If the lease has ended. If the server cannot be reached for
    /// [`retry_for`](crate::ClientBuilder::retry_for), the lease ends with the ttl that it has.
    pub async fn keep_for(mut self, span: Duration) -> Result<(), ReleaseError> {
        self.disarm();
        let (transport, patience) = (self.client.transport(), self.client.retry_for());
        let until = Instant::now() + patience;
        let mut backoff = Backoff::default();
        loop {
            let renewed = renew_now(transport, &[self.id()], span, transport.timeout()).await;
            let error = match renewed.map(|renewals| renewals.leases.into_iter().next()) {
                Ok(Some(Renewal::Ended(ended))) => {
                    return Err(ReleaseError::Lost(Lost::Ended(Box::new(ended))));
                }
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            let pause = backoff.next(error.retry_after(), fastrand::f64());
            if !error.is_outage() || Instant::now() + pause > until {
                return Err(ReleaseError::Unreleased(error));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Neither renews nor releases the lease from now on: it expires, unless another program that
    /// knows its id renews it.
    pub fn leak(mut self) -> Lease {
        self.disarm();
        self.lease.clone()
    }

    fn disarm(&mut self) {
        self.is_armed = false;
        self.keeper.forget(self.id());
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.is_armed {
            return;
        }
        self.keeper.forget(self.id());
        let (client, id) = (self.client.clone(), self.id());
        self.client.in_background(&self.runtime, async move {
            if let Err(error) = release(&client, id).await {
                tracing::debug!(%error, %id, "a dropped lease was not released");
            }
        });
    }
}

/// Releases a lease. A second release has the same answer, so that it is sent again.
pub(crate) async fn release(client: &Client, id: Uuid) -> Result<ReleasedLease, ReleaseError> {
    let request = client.request(Method::DELETE, &format!("/leases/{id}"));
    request.send().await.map_err(|error| match error {
        Error::Ended(ended) => ReleaseError::Lost(Lost::Ended(ended)),
        error => ReleaseError::Unreleased(error),
    })
}
