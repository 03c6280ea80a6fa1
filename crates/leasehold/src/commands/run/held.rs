//! What the command runs under: slots of limits, a lock on a Redis, or both.

use std::time::Duration;

use leasehold_client::Client;
use leasehold_redis::ReleaseError;
use tokio::time::Instant;

use super::args::Args;
use super::lease::{self, Leased};
use super::lock::{self, Locked};
use super::loss::Loss;
use crate::commands::session::Session;
use crate::commands::slots;
use crate::exit::{Exit, Failure};

/// What is held so far.
#[derive(Default)]
pub(super) struct Held {
    lock: Option<Locked>,
    lease: Option<Leased>,
    client: Option<Client>,
}

/// How long a run that was stopped while it waited takes to give back what it may have been granted
/// at that moment.
const SETTLED_WITHIN: Duration = Duration::from_secs(1);

impl Held {
    /// Takes everything. Can be dropped: what was taken stays here.
    ///
    /// The lock comes first: a run that waits for it has no slots that others could use.
    pub(super) async fn acquire(&mut self, session: &Session, args: &Args) -> Result<(), Failure> {
        let mut wait = args.wait;
        if let Some(id) = &args.lock {
            let since = Instant::now();
            self.lock = Some(lock::acquire(args, id).await?);
            wait = wait.map(|wait| wait.saturating_sub(since.elapsed()));
        }
        if args.limit.is_empty() {
            return Ok(());
        }
        let client = self.client.insert(slots::connect(session)?).clone();
        let lease = tokio::select! {
            biased;
            loss = self.lost() => {
                let message =
                    format!("{} was lost while waiting for the slots: {loss}", loss.what());
                return Err(Failure::new(Exit::LockLost, message));
            }
            lease = lease::acquire(args, &client, wait) => lease?,
        };
        self.lease = Some(lease);
        Ok(())
    }

    /// Resolves when anything is lost, with the first loss.
    pub(super) async fn lost(&self) -> Loss {
        let lock = async {
            match &self.lock {
                Some(lock) => Loss::Lock(lock.id.clone(), lock.guard.lost().await),
                None => std::future::pending().await,
            }
        };
        let lease = async {
            match &self.lease {
                Some(lease) => Loss::Slots(lease.names.clone(), lease.guard.lost().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            loss = lock => loss,
            loss = lease => loss,
        }
    }

    /// Until when the command may run if nothing more is answered; `None` if nothing ends.
    pub(super) fn held_until(&self) -> Option<Instant> {
        let lock = self.lock.as_ref().and_then(|lock| lock.guard.held_until());
        let lease = self.lease.as_ref().and_then(|lease| lease.guard.held_until());
        lock.into_iter().chain(lease.map(Instant::from_std)).min()
    }

    /// Whether everything is held at this instant.
    pub(super) fn is_held(&self) -> bool {
        self.lock.as_ref().is_none_or(|lock| lock.guard.is_held())
            && self.lease.as_ref().is_none_or(|lease| lease.guard.is_held())
    }

    /// What the command finds in its environment; `None` removes a variable.
    pub(super) fn environment(&self) -> Vec<(&'static str, Option<String>)> {
        self.lease.as_ref().map(Leased::environment).unwrap_or_default()
    }

    /// Gives everything back, without a command that ran.
    pub(super) async fn give_up(mut self) {
        let client = self.client.take();
        self.release(None).await;
        if let Some(client) = client {
            client.settle(SETTLED_WITHIN).await;
        }
    }

    /// Gives everything back; the slots after `keep`. Answers what became of each.
    pub(super) async fn release(self, keep: Option<Duration>) -> Vec<Result<(), Loss>> {
        let mut outcomes = Vec::new();
        if let Some(lease) = self.lease {
            outcomes.push(lease.release(keep).await);
        }
        if let Some(lock) = self.lock {
            let id = lock.id.clone();
            outcomes.push(lock.release().await.map_err(|error| match error {
                ReleaseError::Lost(lost) => Loss::Lock(id, lost),
                error => Loss::Unreleased(error.to_string()),
            }));
        }
        outcomes
    }
}
