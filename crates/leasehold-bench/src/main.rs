//! Measures Leasehold beside its peers, all in the same run on the same machine.
//!
//! A claim about speed is a ratio within one run: absolute numbers belong to a machine.

mod client;
mod cycles;
mod echo;
mod rate;
mod system;

use clap::{Parser, Subcommand};

/// Measure Leasehold beside its peers.
///
/// Build with --release; the program `leasehold` has to be beside this one:
/// cargo build --release -p leasehold -p leasehold-bench
#[derive(Debug, Parser)]
#[command(arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Cycles of acquire and release per second over keep-alive HTTP, durable, beside a bare
    /// HTTP server that echoes the same bodies.
    Cycles(cycles::Args),
    /// What a rate limit grants while four clients hammer it, beside what is configured.
    Rate(rate::Args),
    /// The bare HTTP server of `cycles`.
    #[command(hide = true)]
    Echo,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Cycles(args) => cycles::run(&args).await,
        Command::Rate(args) => rate::run(&args).await,
        Command::Echo => echo::serve().await,
    }
}
