//! `leasehold redis`: what concerns a Redis and no server of ours.

use std::process::ExitCode;

use clap::Subcommand;

use crate::commands::{locks, redis_scan};
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See which locks a Redis holds, and move a fleet from TaskTiger's old locks to token locks.
    #[command(subcommand)]
    Locks(locks::Command),
    Scan(redis_scan::Args),
}

pub(crate) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Locks(command) => locks::run(command).await,
        Command::Scan(args) => redis_scan::run(args).await,
    }
}
