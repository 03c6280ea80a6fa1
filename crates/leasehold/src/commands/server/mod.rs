//! `leasehold server`.

mod announce;
mod descriptors;
mod journal;
pub(crate) mod log;
mod options;
mod service_manager;
mod start;
mod takeover;

use std::process::ExitCode;

pub(crate) use self::options::default_data_dir;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Serve limits and leases over HTTP until Ctrl-C or SIGTERM.
    ///
    /// All data is in one directory, and a restart loses nothing. For clients of Prefect, set
    /// PREFECT_API_URL to the address that the server prints.
    // A number below 0 gets an error about its range, and not about an unknown option.
    #[command(after_help = options::HELP, allow_negative_numbers = true)]
    Start(options::Args),
}

/// Runs a command. `cli` is the whole command line.
pub(crate) fn run(command: Command, cli: clap::Command) -> ExitCode {
    match command {
        Command::Start(args) => match options::Settings::resolve(args, cli) {
            Ok(settings) => start::run(settings),
            Err(refused) => start::fail(&refused.error, refused.error.exit(), refused.log_format),
        },
    }
}
