//! `leasehold migrate`: from another server of limits to this one, and back. A file for each step.

mod export;
mod export_page;
mod import;
mod moving;
mod plan_page;
mod prefect;
mod restore;
pub(super) mod status;

use std::process::ExitCode;

use clap::Subcommand;

use crate::commands::session::Session;
use crate::exit::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Move limits from a Prefect server to Leasehold, and back.
    #[command(subcommand)]
    Prefect(Prefect),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Prefect {
    Status(status::Args),
    Advance(moving::AdvanceArgs),
    Rollback(moving::RollbackArgs),
    DropPhantoms(moving::DropArgs),
    Import(import::Args),
    Export(export::Args),
    Restore(restore::Args),
}

pub(crate) async fn run(session: &Session, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Prefect(Prefect::Status(args)) => status::run(session, args).await,
        Command::Prefect(Prefect::Advance(args)) => moving::advance(session, args).await,
        Command::Prefect(Prefect::Rollback(args)) => moving::roll_back(session, args).await,
        Command::Prefect(Prefect::DropPhantoms(args)) => moving::drop(session, args).await,
        Command::Prefect(Prefect::Import(args)) => import::run(args).await,
        Command::Prefect(Prefect::Export(args)) => export::run(args).await,
        Command::Prefect(Prefect::Restore(args)) => restore::run(args).await,
    }
}

const EXIT_CODES: &str = "    0  done, or there was nothing to do
    1  a limit stays where it is; the answer says why
    2  with --dry-run: there is something to do
   64  the command line is wrong
   69  the server cannot be reached, or is in front of no Prefect server
   77  the server refused the credentials
   78  a variable or a profile is wrong
  130  ended by Ctrl-C; what was begun goes on";
