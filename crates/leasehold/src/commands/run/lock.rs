//! The lock on a Redis that the command runs under.

use std::time::Duration;

use leasehold_redis::{AcquireError, Follower, FollowerOptions, Guard, Lock, ReleaseError, Wait};
use tokio::time::Instant;

use super::args::Args;
use super::waiting::Wanted;
use crate::exit::{Exit, Failure};
use crate::output;

/// The lock, and the follower that reports it to the fleet.
pub(super) struct Locked {
    pub(super) id: String,
    pub(super) guard: Guard,
    follower: Option<Follower>,
}

/// Takes the lock, with the mechanism that was asked for or the one that the fleet's phase wants.
pub(super) async fn acquire(args: &Args, id: &str) -> Result<Locked, Failure> {
    let redis = args.redis.connect().await?;
    let (lock, follower) = match &args.mechanism {
        Some(mechanism) => (Lock::new(&redis, id, *mechanism).keys(args.redis.keys()), None),
        None => {
            let mut options = FollowerOptions::new("leasehold run", crate::commands::hostname());
            options.longest_ttl = args.ttl;
            let follower = Follower::join(&redis, args.redis.keys(), options).await?;
            (Lock::following(&follower, id), Some(follower))
        }
    };
    let wanted = Wanted {
        redis: &redis,
        keys: args.redis.keys(),
        id,
        at_most: args.wait,
        since: Instant::now(),
    };
    let lock = lock.ttl(args.ttl).notice(args.notice());
    let acquired = tokio::select! {
        biased;
        acquired = lock.acquire(wait_of(args.wait)) => acquired,
        never = wanted.report() => match never {},
    };
    output::progress_end();
    match acquired {
        Ok(guard) => Ok(Locked { id: id.to_owned(), guard, follower }),
        Err(error) => {
            let failure = not_acquired(&error, &wanted).await;
            leave(follower).await;
            Err(failure)
        }
    }
}

fn wait_of(wait: Option<Duration>) -> Wait {
    match wait {
        None => Wait::Forever,
        Some(Duration::ZERO) => Wait::No,
        Some(wait) => Wait::AtMost(wait),
    }
}

async fn not_acquired(error: &AcquireError, wanted: &Wanted<'_>) -> Failure {
    let exit = match error {
        AcquireError::NotInTime { waited, .. } => {
            let waited = crate::duration::show(*waited);
            let held = wanted.look().await;
            let message = format!("lock {:?} was not granted within {waited}: {held}", wanted.id);
            return Failure::new(Exit::Busy, message);
        }
        AcquireError::Fault { fault, .. } => Exit::from(fault),
        _ => Exit::Unavailable,
    };
    Failure::new(exit, error.to_string())
}

impl Locked {
    /// Gives the lock back and leaves the fleet.
    pub(super) async fn release(self) -> Result<(), ReleaseError> {
        let released = self.guard.release().await;
        leave(self.follower).await;
        released
    }
}

async fn leave(follower: Option<Follower>) {
    if let Some(follower) = follower {
        // If Redis cannot be reached, the heartbeat expires by itself.
        let _ = follower.leave().await;
    }
}
