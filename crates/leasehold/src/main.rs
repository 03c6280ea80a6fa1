//! The `leasehold` program.

mod args;
mod commands;
mod duration;
mod exit;
mod output;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match commands::dispatch(cli) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
