//! The command line: which commands there are, and their help.

use std::env;
use std::process::ExitCode;

use clap::error::ContextKind;
use clap::{Parser, Subcommand};

use crate::commands;
use crate::exit::Exit;

/// Concurrency limits, rate limits and locks in which every slot is held on a lease.
///
/// A holder that crashes is repossessed, nothing leaks, and nobody restarts anything by hand.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, max_term_width = 80, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    #[command(subcommand)]
    Server(Box<commands::server::Command>),
    Run(commands::run::Args),
    /// See which locks a Redis holds, and move a fleet from TaskTiger's old locks to token locks.
    #[command(subcommand)]
    Locks(commands::locks::Command),
    RedisScan(commands::redis_scan::Args),
    /// Print a completion script for a shell.
    Completions(commands::completions::Args),
    /// End the process group of a command whose `leasehold run` has died.
    #[command(hide = true)]
    Warden(commands::run::WardenArgs),
}

const EXAMPLES: &str = "\
Examples:
  leasehold server start
  leasehold server start --port 0 --data-dir ./data
  leasehold run --redis redis://127.0.0.1 --lock nightly -- ./report.sh
  leasehold locks status --redis redis://127.0.0.1
  source <(leasehold completions bash)";

/// Reads the command line. Prints what is wrong with it, or the help that was asked for.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        if let Some(variable) = variable_to_blame(&error) {
            eprintln!("error: the variable {variable} is wrong: {}", in_one_line(&error));
            return Exit::Config.into();
        }
        // Nowhere to print to is no reason to end otherwise.
        let _ = error.print();
        if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS }
    })
}

/// The variable that a wrong value comes from, unless it comes from a flag.
fn variable_to_blame(error: &clap::Error) -> Option<String> {
    let argument = error.get(ContextKind::InvalidArg)?.to_string();
    let flag = argument.split(' ').next()?;
    let option = flag.strip_prefix("--")?;
    let variable = format!("LEASEHOLD_{}", option.replace('-', "_").to_uppercase());
    let is_flag = |given: std::ffi::OsString| {
        let given = given.to_string_lossy();
        given.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    (env::var_os(&variable).is_some() && !env::args_os().any(is_flag)).then_some(variable)
}

/// What is wrong, without the hint at `--help`.
fn in_one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let sentence = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<_> = sentence.split_whitespace().collect();
    words.join(" ").trim_start_matches("error: ").to_owned()
}
