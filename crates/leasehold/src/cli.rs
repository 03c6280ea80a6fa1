//! The command line: which commands there are, their help, and what runs for each.

#[cfg(test)]
mod options_page;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::args::{
    OURS, VERSION, in_one_line, is_given, option_of, variable_of, without_unset_variables,
};
use crate::commands;
use crate::commands::server::log::{self, LogFormat};
use crate::commands::session::Session;
use crate::exit::{Exit, Failure};

/// Concurrency limits, rate limits and locks in which every slot is held on a lease.
///
/// When a holder crashes, its slots come back by themselves.
#[derive(Debug, Parser)]
#[command(version = VERSION, after_help = EXAMPLES)]
#[command(arg_required_else_help = true, max_term_width = 80)]
pub(crate) struct Cli {
    #[command(flatten)]
    session: Session,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server.
    #[command(subcommand)]
    Server(Box<commands::server::Command>),
    Run(Box<commands::run::Args>),
    RateLimit(commands::rate_limit::Args),
    Top(commands::top::Args),
    /// Manage global concurrency limits, as `prefect gcl` does.
    #[command(subcommand, visible_alias = "global-concurrency-limit")]
    Gcl(commands::gcl::Command),
    /// Manage the concurrency limits of tags, as `prefect concurrency-limit` does.
    #[command(subcommand, alias = "concurrency-limits")]
    ConcurrencyLimit(commands::concurrency_limit::Command),
    /// See who holds slots, and end leases by hand.
    #[command(subcommand)]
    Leases(commands::leases::Command),
    Waiters(commands::waiters::Args),
    Why(commands::why::Args),
    Events(commands::events::Args),
    Status(commands::status::Args),
    Doctor(commands::doctor::Args),
    Apply(commands::apply::ApplyArgs),
    Diff(commands::apply::DiffArgs),
    Export(commands::apply::ExportArgs),
    Backup(commands::backup::BackupArgs),
    Restore(commands::backup::RestoreArgs),
    /// Move a journal from one place to another.
    #[command(subcommand)]
    Journal(commands::journal::Command),
    /// Move from another server of limits to this one, and back.
    #[command(subcommand)]
    Migrate(commands::migrate::Command),
    /// See and move the locks on a Redis, and scan its keys.
    #[command(subcommand)]
    Redis(commands::redis::Command),
    /// The same as `redis locks`.
    #[command(subcommand, hide = true)]
    Locks(commands::locks::Command),
    #[command(hide = true)]
    RedisScan(commands::redis_scan::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
    /// End the process group of a command whose `leasehold run` has died.
    #[command(hide = true)]
    Warden(commands::run::WardenArgs),
}

const EXAMPLES: &str = "\
Examples:
  leasehold server start
  leasehold server start --port 0 --data-dir ./data
  leasehold gcl create database --limit 10
  leasehold gcl ls
  leasehold run --limit database -- ./report.sh
  leasehold run --redis redis://127.0.0.1 --lock nightly -- ./report.sh
  leasehold why database
  leasehold apply -f limits.yaml
  leasehold redis locks status --redis redis://127.0.0.1
  source <(leasehold completions bash)";

impl Cli {
    /// Does what the command line asks.
    pub(crate) fn run(self) -> ExitCode {
        let result = match self.command {
            Command::Server(server) => return commands::server::run(*server, command()),
            Command::Completions(args) => commands::completions::run(&args),
            Command::Gcl(command) => {
                as_prefect(block_on(commands::gcl::run(&self.session, command)))
            }
            Command::ConcurrencyLimit(command) => {
                as_prefect(block_on(commands::concurrency_limit::run(&self.session, command)))
            }
            Command::Leases(command) => block_on(commands::leases::run(&self.session, command)),
            Command::Waiters(args) => block_on(commands::waiters::run(&self.session, args)),
            Command::Why(args) => block_on(commands::why::run(&self.session, args)),
            Command::Events(args) => block_on(commands::events::run(&self.session, args)),
            Command::Status(args) => block_on(commands::status::run(&self.session, args)),
            Command::Doctor(args) => block_on(commands::doctor::run(&self.session, args)),
            Command::Run(args) => block_on(commands::run::run(&self.session, *args)),
            Command::RateLimit(args) => block_on(commands::rate_limit::run(&self.session, args)),
            Command::Top(args) => block_on(commands::top::run(&self.session, args)),
            Command::Locks(command) => block_on(commands::locks::run(command)),
            Command::RedisScan(args) => block_on(commands::redis_scan::run(args)),
            Command::Apply(args) => block_on(commands::apply::apply(&self.session, args)),
            Command::Diff(args) => block_on(commands::apply::diff(&self.session, args)),
            Command::Export(args) => block_on(commands::apply::export(&self.session, args)),
            Command::Migrate(command) => block_on(commands::migrate::run(&self.session, command)),
            Command::Backup(args) => commands::backup::back_up(&args),
            Command::Restore(args) => commands::backup::restore(&args),
            Command::Journal(command) => commands::journal::run(&command),
            Command::Redis(command) => block_on(commands::redis::run(command)),
            Command::Man(args) => commands::man::run(&args, command()),
            Command::Warden(args) => commands::run::warden(&args),
        };
        result.unwrap_or_else(|failure| failure.report())
    }
}

/// The commands of Prefect end with 0 or 1, and those in their place do, too.
fn as_prefect(result: Result<ExitCode, Failure>) -> Result<ExitCode, Failure> {
    result.map_err(|failure| failure.with(Exit::No))
}

/// One thread is enough for a program that waits; none of its timers waits for another's work.
fn block_on<F: Future<Output = Result<ExitCode, Failure>>>(future: F) -> Result<ExitCode, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Os, format!("failed to start: {error}")))?
        .block_on(future)
}

/// Reads the command line. Prints what is wrong with it, or the help that was asked for.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    let matched = without_unset_variables(command()).try_get_matches();
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
        // A closed terminal does not change the exit code.
        let _ = error.print();
        match error.use_stderr() {
            true if is_of_prefect() => Exit::No.into(),
            true => Exit::Usage.into(),
            false => ExitCode::SUCCESS,
        }
    })
}

/// Whether the command stands in the place of one of Prefect's.
fn is_of_prefect() -> bool {
    let commands = ["gcl", "global-concurrency-limit", "concurrency-limit", "concurrency-limits"];
    let is_given = |given: &OsString| commands.iter().any(|command| given == command);
    env::args_os()
        .skip(1)
        .find(|given| !given.to_string_lossy().starts_with('-'))
        .is_some_and(|first| is_given(&first))
}

/// The format of the log, as far as a wrong command line says it.
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

/// The whole command line. The variables of its options get our prefix.
pub(crate) fn command() -> clap::Command {
    fn with_prefix(command: clap::Command) -> clap::Command {
        let named = |arg: Arg| match arg.get_env().and_then(|name| name.to_str()) {
            Some(name) if !name.starts_with(OURS) => {
                let name = format!("{OURS}{name}");
                arg.env(name)
            }
            _ => arg,
        };
        command.mut_args(named).mut_subcommands(with_prefix)
    }
    with_prefix(Cli::command())
}

/// The variable that is no UTF-8, unless it is an argument.
fn variable_that_is_no_text() -> Option<String> {
    if env::args_os().any(|argument| argument.to_str().is_none()) {
        return None;
    }
    let ours = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let mut wrong = ours
        .filter(|(name, value)| name.starts_with(OURS) && value.to_str().is_none())
        .map(|(name, _)| name);
    // A path need not be UTF-8.
    wrong.find(|name| !matches!(name.as_str(), "LEASEHOLD_CONFIG" | "LEASEHOLD_DATA_DIR"))
}

/// The variable that a wrong value comes from, unless it comes from a flag.
fn variable_to_blame(error: &clap::Error) -> Option<String> {
    if error.kind() == ErrorKind::InvalidUtf8 {
        return variable_that_is_no_text();
    }
    let option = option_of(error)?;
    let variable = variable_of(&option);
    (env::var_os(&variable).is_some() && !is_given(&option)).then_some(variable)
}

#[cfg(test)]
mod tests {
    use super::command;

    /// Checks what `--help` says for a command and those below it.
    fn check(command: &mut clap::Command, path: &str) {
        let subcommands: Vec<_> =
            command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        let help = command.clone().term_width(80).render_long_help().to_string();
        let long: Vec<_> = help.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{path}: {long:?}");
        if subcommands.is_empty() && !command.is_hide_set() {
            for part in ["Exit codes:\n", "64  the command line is wrong", "\n  leasehold "] {
                let is_of_prefect = part.starts_with("64")
                    && (path.contains(" gcl ") || path.contains(" concurrency-limit "));
                assert!(help.contains(part) || is_of_prefect, "{path} lacks {part:?}: {help}");
            }
        }
        for name in subcommands.iter().filter(|name| *name != "help") {
            if let Some(below) = command.find_subcommand_mut(name) {
                check(below, &format!("{path} {name}"));
            }
        }
    }

    #[test]
    fn the_help_of_each_command_has_codes_and_an_example_in_eighty_columns() {
        let mut all = command();
        all.build();
        all.clone().debug_assert();
        check(&mut all, "leasehold");
    }
}
