//! `leasehold server`.

mod announce;
mod descriptors;
pub(crate) mod log;
mod options;
mod start;

use std::process::ExitCode;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Serve limits and leases over HTTP until Ctrl-C or SIGTERM.
    ///
    /// Everything is kept in one directory, and a restart loses nothing. Prefect clients use
    /// it with PREFECT_API_URL set to the address that it prints.
    // What is below 0 is refused for that, and not taken for an option that there is not.
    #[command(after_help = options::HELP, allow_negative_numbers = true)]
    Start(options::Args),
}

pub(crate) fn run(command: Command) -> ExitCode {
    match command {
        Command::Start(args) => match options::Settings::resolve(args) {
            Ok(settings) => start::run(settings),
            Err(refused) => start::fail(&refused.error, refused.error.exit(), refused.log_format),
        },
    }
}
