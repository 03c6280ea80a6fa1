//! `leasehold migrate`: from another server of limits to this one, and back. A file for each step.

use std::process::ExitCode;

use clap::Subcommand;

use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Move limits from a Prefect server to Leasehold, and back.
    #[command(subcommand)]
    Prefect(Prefect),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Prefect {}

pub(crate) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Prefect(command) => match command {},
    }
}
