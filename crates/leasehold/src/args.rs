//! The command line: which commands there are, and their help.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands;
use crate::exit::Exit;

/// Concurrency limits, rate limits and locks in which every slot is held on a lease.
///
/// A holder that crashes is repossessed, nothing leaks, and nobody restarts anything by hand.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[expect(clippy::large_enum_variant, reason = "there is one, and it is read once")]
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    #[command(subcommand)]
    Server(commands::server::Command),
    /// Print a completion script for a shell.
    Completions(commands::completions::Args),
}

const EXAMPLES: &str = "\
Examples:
  leasehold server start
  leasehold server start --port 0 --data-dir ./data
  leasehold completions bash > ~/.local/share/bash-completion/completions/leasehold";

/// Reads the command line. Prints what is wrong with it, or the help that was asked for.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        // Nowhere to print to is no reason to end otherwise.
        let _ = error.print();
        if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS }
    })
}
