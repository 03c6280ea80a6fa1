//! Measures Leasehold and its peers, all in the same run on the same machine.
//!
//! A claim about speed is a ratio within one run: absolute numbers hold for one machine only.

mod bulk;
mod client;
mod compare;
mod cycles;
mod disk;
mod echo;
mod gateway;
mod growth;
mod handoff;
mod load;
mod locks;
mod machine;
mod makespan;
mod process;
mod rate;
mod report;
mod scale;
mod soak;
mod systems;
mod table;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// Measure Leasehold and its peers.
///
/// Run it by cargo, with --release, in a folder on a disk:
/// cargo run --release -p leasehold-bench -- compare
#[derive(Debug, Parser)]
#[command(arg_required_else_help = true, max_term_width = 80)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All of the following, in one run, with its targets.
    Compare(compare::Args),
    /// Cycles of acquire and release per second, of every installed system.
    Cycles(cycles::Args),
    /// What a rate limit grants while clients hammer it, compared with what is configured.
    Rate(rate::Args),
    /// How long a slot stands idle between two holders, with a long queue.
    Handoff(handoff::Args),
    /// How long real Prefect clients take for many short tasks on a limit.
    Makespan(makespan::Args),
    /// A million live leases: memory, speed, restart, and many that end at once.
    Scale(scale::Args),
    /// How cost grows with limits and waiters that a request does not touch.
    Growth(growth::Args),
    /// Requests that are passed on to another server, compared with nginx's `proxy_pass`.
    Gateway(gateway::Args),
    /// All attacks at once, for an hour; fails if a bound is broken.
    Soak(soak::Args),
    /// The locks and semaphores of leasehold-redis, compared with redis-py's and TaskTiger's.
    Locks(locks::Args),
    /// The bare HTTP server.
    #[command(hide = true)]
    Echo(echo::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    process::raise_file_limit()?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // A signal drops the run: its servers stop, and their data is deleted.
    tokio::select! {
        result = run(Cli::parse().command) => result,
        _ = interrupt.recv() => anyhow::bail!("interrupted; what was started is stopped"),
        _ = terminate.recv() => anyhow::bail!("terminated; what was started is stopped"),
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    if !matches!(command, Command::Echo(_) | Command::Locks(_)) {
        process::build_leasehold()?;
    }
    match command {
        Command::Compare(args) => compare::run(&args).await,
        Command::Cycles(args) => report::print(&cycles::measure(&args).await?, args.json),
        Command::Rate(args) => report::print(&rate::measure(&args).await?, args.json),
        Command::Handoff(args) => report::print(&handoff::measure(&args).await?, args.json),
        Command::Makespan(args) => report::print(&makespan::measure(&args).await?, args.json),
        Command::Scale(args) => report::print(&scale::measure(&args).await?, args.json),
        Command::Growth(args) => report::print(&growth::measure(&args).await?, args.json),
        Command::Gateway(args) => report::print(&gateway::measure(&args).await?, args.json),
        Command::Soak(args) => report::print_or_fail(&soak::measure(&args).await?, args.json),
        Command::Locks(args) => report::print(&locks::measure(&args).await?, args.json),
        Command::Echo(args) => echo::serve(&args).await,
    }
}
