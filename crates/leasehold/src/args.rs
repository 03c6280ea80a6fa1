//! The command line: which commands there are, and their help.

#[cfg(test)]
mod options_page;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands;
use crate::commands::server::log::{self, LogFormat};
use crate::exit::Exit;

/// The version, and the commit that it was built from.
pub(crate) const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("LEASEHOLD_COMMIT"), ")");
/// The commit, or `unknown`.
pub(crate) const COMMIT: &str = env!("LEASEHOLD_COMMIT");
/// What our variables begin with.
pub(crate) const OURS: &str = "LEASEHOLD_";

/// Concurrency limits, rate limits and locks in which every slot is held on a lease.
///
/// A holder that crashes is repossessed, nothing leaks, and nobody restarts anything by hand.
#[derive(Debug, Parser)]
#[command(version = VERSION, arg_required_else_help = true, max_term_width = 80, after_help = EXAMPLES)]
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
            let sentence = format!("the variable {variable} is wrong: {}", in_one_line(&error));
            log::say_error(log_format(), &sentence);
            return Exit::Config.into();
        }
        if error.use_stderr() && log_format() == LogFormat::Json {
            log::say_error(LogFormat::Json, &in_one_line(&error));
            return Exit::Usage.into();
        }
        // Nowhere to print to is no reason to end otherwise.
        let _ = error.print();
        if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS }
    })
}

/// How the log of a server would look, as far as a command line says it that is wrong.
fn log_format() -> LogFormat {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let is_server = arguments.first().is_some_and(|command| command == "server");
    let given = arguments.iter().zip(arguments.iter().skip(1).map(Some).chain([None]));
    let is_json = |(argument, next): (&OsString, Option<&OsString>)| {
        argument == "--log-format=json"
            || (argument == "--log-format" && next.is_some_and(|next| next == "json"))
    };
    let by_variable = || {
        !is_given("log-format")
            && env::var_os(variable_of("log-format")).is_some_and(|value| value == "json")
    };
    let is_json = is_server && (given.into_iter().any(is_json) || by_variable());
    if is_json { LogFormat::Json } else { LogFormat::Text }
}

/// An empty variable is as good as none: it hides nothing that is set elsewhere.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &Arg| {
        let variable = arg.get_env().and_then(env::var_os);
        // Kubernetes sets LEASEHOLD_PORT to `tcp://…` beside a service that is called `leasehold`.
        variable.is_some_and(|value| {
            value.is_empty() || value.as_encoded_bytes().starts_with(b"tcp://")
        })
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
        .filter(|(name, value)| name.starts_with(OURS) && value.to_str().is_none())
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
    let variable = variable_of(option);
    (env::var_os(&variable).is_some() && !is_given(option)).then_some(variable)
}

/// The variable that sets an option.
pub(crate) fn variable_of(option: &str) -> String {
    format!("{OURS}{}", option.replace('-', "_").to_uppercase())
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
