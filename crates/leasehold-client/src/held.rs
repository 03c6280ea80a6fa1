//! What a client knows of a lease that it holds: held, out of reach, or lost.

use std::time::Duration;

use leasehold_api::leases::EndedLease;
use tokio::time::Instant;

use crate::error::Error;

/// Why a lease no longer protects its holder. The first is what the server says. With the others
/// the client could not ask in time, and the server may grant the slots to another holder.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Lost {
    /// The server says that the lease has ended, and how: it expired, was revoked (by whom and
    /// why), was repossessed, was released by another program, or is unknown to a server that lost
    /// its data.
    #[error("{}", .0.detail)]
    Ended(Box<EndedLease>),
    /// Every renewal failed for so long that the lease is about to expire.
    #[error("the lease could not be renewed in time: {0}")]
    Unreachable(Box<Error>),
    /// No renewal was answered for so long that the lease is about to expire.
    #[error("the lease could not be renewed in time: no answer from the server")]
    NoAnswer,
    /// This process did not run for longer than the lease lasts.
    #[error("this process was paused for longer than the lease lasts")]
    Overslept,
}

impl Lost {
    /// Whether the server said that the lease has ended. If not, it may live on.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        matches!(self, Self::Ended(_))
    }
}

/// Renewals that fail, while the lease is still held.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trouble {
    /// Since when.
    pub(crate) since: Instant,
    /// Why the last one failed.
    pub error: Error,
}

impl Trouble {
    /// For how long renewals fail.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        self.since.elapsed()
    }
}

/// The state of a lease, as the renewing task shows it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// From then on the holder must not rely on it; `None` if it lasts without renewals.
    pub(crate) deadline: Option<Instant>,
    pub(crate) trouble: Option<Trouble>,
    pub(crate) lost: Option<Lost>,
}

impl Held {
    pub(crate) fn until(deadline: Option<Instant>) -> Self {
        Self { deadline, trouble: None, lost: None }
    }
}
