//! `leasehold redis locks`: which locks a Redis holds, and the way from TaskTiger's old locks to
//! token locks.

mod cleanup;
mod guidance;
mod moving;
mod status;
mod verdict;

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use leasehold_redis::{Census, Fleet, Keys, Pace, Redis};

use crate::commands::redis_flags::{RedisFlags, count_parser};
use crate::duration;
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Status(status::Args),
    Advance(moving::AdvanceArgs),
    Rollback(moving::RollbackArgs),
    Cleanup(cleanup::Args),
}

pub(crate) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Status(args) => status::run(args).await,
        Command::Advance(args) => moving::advance(args).await,
        Command::Rollback(args) => moving::rollback(args).await,
        Command::Cleanup(args) => cleanup::run(args).await,
    }
}

/// Which Redis, and how gently to walk over its keys.
#[derive(Debug, clap::Args)]
struct Where {
    #[command(flatten)]
    redis: RedisFlags,

    /// Pause between two SCAN calls; longer is gentler
    #[arg(long, default_value = "2ms", value_parser = duration::parse)]
    pace: Duration,

    /// How many keys Redis looks at in one SCAN call
    #[arg(long, default_value_t = 1_000, value_parser = count_parser())]
    count: usize,
}

impl Where {
    async fn connect(&self) -> Result<Place, Failure> {
        let pace = Pace { pause: self.pace, count: self.count };
        Ok(Place { redis: self.redis.connect().await?, keys: self.redis.keys(), pace })
    }
}

/// A Redis with the keys of one prefix.
struct Place {
    redis: Redis,
    keys: Keys,
    pace: Pace,
}

impl Place {
    async fn look(&self) -> Result<(Fleet, Census), Failure> {
        let fleet = Fleet::read(&self.redis, &self.keys).await?;
        let census = Census::take(&self.redis, &self.keys, &fleet, &self.pace, |seen| {
            crate::output::progress(&format!("looking at the locks: {seen} so far"));
        })
        .await?;
        crate::output::progress_end();
        Ok((fleet, census))
    }
}
