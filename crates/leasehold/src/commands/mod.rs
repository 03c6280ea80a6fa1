//! What each command does, a module each.

pub(crate) mod completions;
pub(crate) mod server;

use std::process::ExitCode;

use crate::args::{Cli, Command};

/// Does what the command line asks.
pub(crate) fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Server(command) => server::run(*command),
        Command::Completions(args) => completions::run(&args),
    }
}
