//! What the command runs under: a lock on a Redis. A limit on a server will stand beside it.

use super::{Args, not_acquired};
use crate::exit::{self, Failure};
use leasehold_redis::{Follower, FollowerOptions, Guard, Lock, Mechanism, UnknownName};

/// Takes the lock, with the mechanism that was asked for or the one that the fleet's phase wants.
pub(super) async fn acquire(args: &Args) -> Result<Guard, Failure> {
    let redis = args.redis.connect().await?;
    let lock = match &args.mechanism {
        Some(name) => {
            let mechanism: Mechanism = name
                .parse()
                .map_err(|error: UnknownName| Failure::new(exit::USAGE, error.to_string()))?;
            Lock::new(&redis, &args.lock, mechanism).keys(args.redis.keys())
        }
        None => {
            let mut options = FollowerOptions::new("leasehold run", crate::commands::hostname());
            options.longest_ttl = args.ttl;
            let follower = Follower::join(&redis, args.redis.keys(), options).await?;
            Lock::following(&follower, &args.lock)
        }
    };
    lock.ttl(args.ttl)
        .notice(args.notice())
        .acquire(args.wait())
        .await
        .map_err(|error| not_acquired(&error))
}
