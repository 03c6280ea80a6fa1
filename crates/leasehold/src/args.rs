//! The command line: which commands there are, and their help.

use std::env;
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};

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
    let matched = without_empty_variables(Cli::command()).try_get_matches();
    matched.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|error| {
        if let Some(variable) = variable_to_blame(&error) {
            eprintln!("error: the variable {variable} is wrong: {}", in_one_line(&error));
            return Exit::Config.into();
        }
        // Nowhere to print to is no reason to end otherwise.
        let _ = error.print();
        if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS }
    })
}

/// An empty variable is as good as none: it hides nothing that is set elsewhere.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &Arg| {
        let variable = arg.get_env().and_then(env::var_os);
        variable.is_some_and(|value| value.is_empty())
    };
    command
        .mut_args(|arg| if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg })
        .mut_subcommands(without_empty_variables)
}

/// Which variable it is that is no UTF-8, unless it is an argument.
fn variable_that_is_no_text() -> Option<String> {
    if env::args_os().any(|argument| argument.to_str().is_none()) {
        return None;
    }
    let ours = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let mut wrong = ours
        .filter(|(name, value)| name.starts_with("LEASEHOLD_") && value.to_str().is_none())
        .map(|(name, _)| name);
    // Paths need not be text.
    wrong.find(|name| !matches!(name.as_str(), "LEASEHOLD_CONFIG" | "LEASEHOLD_DATA_DIR"))
}

/// The variable that a wrong value comes from, unless it comes from a flag.
fn variable_to_blame(error: &clap::Error) -> Option<String> {
    if error.kind() == ErrorKind::InvalidUtf8 {
        return variable_that_is_no_text();
    }
    let argument = error.get(ContextKind::InvalidArg)?.to_string();
    let flag = argument.split(' ').next()?;
    let option = flag.strip_prefix("--")?;
    let variable = format!("LEASEHOLD_{}", option.replace('-', "_").to_uppercase());
    (env::var_os(&variable).is_some() && !is_given(option)).then_some(variable)
}

/// Whether an option stands on our part of the command line.
pub(crate) fn is_given(option: &str) -> bool {
    env::args_os().take_while(|given| given != "--").any(|given| {
        let given = given.to_string_lossy();
        let rest = given.strip_prefix("--").and_then(|given| given.strip_prefix(option));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    })
}

/// What is wrong, without the hint at `--help`.
fn in_one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let sentence = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<_> = sentence.split_whitespace().collect();
    words.join(" ").trim_start_matches("error: ").to_owned()
}
