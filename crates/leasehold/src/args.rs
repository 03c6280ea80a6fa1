//! The tree of commands. What a command takes stands beside the command.

use crate::commands::{locks, redis_scan, run};
use clap::{Parser, Subcommand};

/// Concurrency limits, rate limits and locks in which every slot is held on a lease.
#[derive(Debug, Parser)]
#[command(
    name = "leasehold",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(run::Args),
    /// See which locks a Redis holds, and move a fleet from TaskTiger's old locks to token locks
    #[command(subcommand)]
    Locks(locks::Command),
    RedisScan(redis_scan::Args),
    /// Print a shell's completion script
    #[command(
        after_help = "Examples:\n  leasehold completions bash > /etc/bash_completion.d/leasehold\n  \
                            leasehold completions zsh > \"${fpath[1]}/_leasehold\""
    )]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Ends the process group of a command whose `leasehold run` has died
    #[command(hide = true)]
    Warden(run::WardenArgs),
}
