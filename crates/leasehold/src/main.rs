//! The `leasehold` program.

mod args;
mod commands;
mod duration;
mod exit;
mod output;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match args::Cli::try_parse() {
        Ok(cli) => commands::dispatch(cli).unwrap_or_else(|failure| failure.report()),
        Err(error) => exit::usage(&error),
    }
}
