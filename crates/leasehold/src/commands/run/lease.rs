//! The slots that the command runs under.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use leasehold_api::Timestamp;
use leasehold_client::{Client, Error, Guard, NewLimit, ReleaseError};

use super::args::Args;
use super::loss::{Loss, names_of};
use crate::commands::slots::{self, Queue};
use crate::exit::Failure;
use crate::output;

/// Slots that are held.
pub(super) struct Leased {
    /// The limits that were asked for.
    pub(super) names: Vec<String>,
    pub(super) guard: Guard,
}

/// Takes slots on all limits of the command line.
pub(super) async fn acquire(
    args: &Args,
    client: &Client,
    wait: Option<Duration>,
) -> Result<Leased, Failure> {
    let names: Vec<_> = args.limit.iter().map(|limit| limit.name.clone()).collect();
    let queue = Queue::new(client, names.clone(), wait);
    let mut acquired = attempt(args, client, wait, &queue).await;
    if let (Err(Error::LimitsMissing(missing)), Some(slots)) = (&acquired, args.create) {
        for name in &missing.missing {
            create(client, name, slots).await?;
        }
        acquired = attempt(args, client, wait, &queue).await;
    }
    output::progress_end();
    let guard = match acquired {
        Ok(guard) => guard,
        Err(error) => return Err(slots::not_granted(client, error, &queue).await),
    };
    for name in &names {
        if !guard.limits().iter().any(|held| held.name == *name) {
            output::say(&format!("limit {name:?} is not active: it limits nothing"));
        }
    }
    Ok(Leased { names, guard })
}

async fn attempt(
    args: &Args,
    client: &Client,
    wait: Option<Duration>,
    queue: &Queue,
) -> Result<Guard, Error> {
    let Some((first, others)) = args.limit.split_first() else { unreachable!("one is required") };
    let mut acquire = client.acquire(&first.name).slots(first.slots);
    for limit in others {
        acquire = acquire.and(&limit.name, limit.slots);
    }
    if let Some(holder) = &args.holder {
        acquire = acquire.holder("process", holder);
    }
    if let Some(program) = args.command.first().and_then(|it| Path::new(it).file_name()) {
        acquire = acquire.label("command", program.to_string_lossy());
    }
    let left = wait.map(|wait| wait.saturating_sub(queue.waited()));
    let acquire = acquire
        .ttl(args.ttl)
        .notice(args.notice())
        .wait(slots::wait_of(left))
        .priority(args.priority)
        .on_waiting(queue.watcher());
    tokio::select! {
        biased;
        acquired = acquire.into_future() => acquired,
        never = queue.report() => match never {},
    }
}

/// Another run may have created it at the same moment, with its own number of slots.
async fn create(client: &Client, name: &str, slots: u64) -> Result<(), Failure> {
    match client.create_limit(&NewLimit::new(name, slots)).await {
        Ok(_) => {
            output::say(&format!("created limit {name:?} with {slots} slots"));
            Ok(())
        }
        Err(Error::Conflict { .. }) => Ok(()),
        Err(error) => Err(Failure::from(error).within(&format!("failed to create {name:?}"))),
    }
}

impl Leased {
    /// What the command finds in its environment.
    pub(super) fn environment(&self) -> Vec<(&'static str, Option<String>)> {
        let token = self.guard.fencing_token().map(|token| token.to_string());
        vec![
            ("LEASEHOLD_LEASE_ID", Some(self.guard.id().to_string())),
            ("LEASEHOLD_FENCING_TOKEN", token),
            ("LEASEHOLD_DEADLINE", self.guard.held_until().map(deadline)),
        ]
    }

    /// Gives the slots back, or keeps them for a while.
    pub(super) async fn release(self, keep: Option<Duration>) -> Result<(), Loss> {
        let Self { names, guard } = self;
        let released = match keep {
            Some(keep) => guard.keep_for(keep).await,
            None => guard.release().await.map(drop),
        };
        released.map_err(|error| match error {
            ReleaseError::Lost(lost) => Loss::Slots(names, lost),
            error => Loss::Unreleased(format!("{}: {error}", names_of(&names))),
        })
    }
}

/// A moment of the monotonic clock, as this machine's clock shows it.
fn deadline(until: Instant) -> String {
    let at = SystemTime::now() + until.saturating_duration_since(Instant::now());
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)).to_string()
}
