//! `leasehold concurrency-limit`: the limits of tags, with the arguments and the words of `prefect
//! concurrency-limit`.

mod change;
mod show;

use std::process::ExitCode;

use clap::Subcommand;

use crate::commands::api::Api;
use crate::commands::session::Session;
use crate::exit::{Exit, Failure};

const EXIT_CODES: &str = "    0  done
    1  not done, for any reason, as with the command of Prefect";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Create(change::CreateArgs),
    Ls(show::LsArgs),
    Inspect(show::InspectArgs),
    Reset(change::ResetArgs),
    Delete(change::DeleteArgs),
}

pub(crate) async fn run(session: &Session, command: Command) -> Result<ExitCode, Failure> {
    let api = Api::connect(session)?;
    match command {
        Command::Create(args) => change::create(&api, &args).await,
        Command::Ls(args) => show::ls(&api, &args).await,
        Command::Inspect(args) => show::inspect(&api, &args).await,
        Command::Reset(args) => change::reset(&api, &args).await,
        Command::Delete(args) => change::delete(&api, session, &args).await,
    }
}

fn not_found(tag: &str) -> Failure {
    Failure::new(Exit::No, format!("No concurrency limit found for the tag: {tag}"))
}
