//! `leasehold gcl`: global concurrency limits, with the arguments and the words of `prefect gcl`.

mod change;
mod delete;
mod show;

use std::process::ExitCode;

use clap::Subcommand;

use crate::commands::api::Api;
use crate::commands::session::Session;
use crate::exit::{Exit, Failure};
use crate::output::quoted;

const EXIT_CODES: &str = "    0  done
    1  not done, for any reason, as with the command of Prefect";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ls(show::LsArgs),
    Inspect(show::InspectArgs),
    Create(change::CreateArgs),
    Update(change::UpdateArgs),
    Enable(change::EnableArgs),
    Disable(change::DisableArgs),
    Delete(delete::Args),
}

pub(crate) async fn run(session: &Session, command: Command) -> Result<ExitCode, Failure> {
    let api = Api::connect(session)?;
    match command {
        Command::Ls(args) => show::ls(&api, &args).await,
        Command::Inspect(args) => show::inspect(&api, &args).await,
        Command::Create(args) => change::create(&api, &args).await,
        Command::Update(args) => change::update(&api, &args).await,
        Command::Enable(args) => change::enable(&api, &args).await,
        Command::Disable(args) => change::disable(&api, &args).await,
        Command::Delete(args) => delete::run(&api, session, &args).await,
    }
}

fn not_found(name: &str) -> Failure {
    Failure::new(Exit::No, format!("Global concurrency limit {} not found.", quoted(name)))
}
