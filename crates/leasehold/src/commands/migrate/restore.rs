//! `leasehold migrate prefect restore`: what still lives here is counted at Prefect again.

use std::process::ExitCode;

use leasehold_migrate::{
    ExportChoices, OnConflict, Reading, Receiver, Record, export_to_api, plan_export, read,
};

use super::export_page::{self, Outcome};
use super::prefect::{Answering, DataDirArg, EXIT_CODES, Login, now, place};
use crate::commands::help;
use crate::exit::{Exit, Failure};
use crate::output;

/// Count at Prefect what still lives here, when the gateway is gone.
///
/// Reads the journal of a gateway that does not come back, and asks the Prefect server behind it
/// for the slots of each lease that lives, with the time that it has left. Limits that are not
/// there are left out, and none is changed. What was asked for is in prefect-restored.json in the
/// data directory, so that a second call asks for nothing twice. Where an answer was lost, a lease
/// is asked for again: what is counted twice comes back when it expires.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "\
  leasehold migrate prefect restore --data-dir ./data --to http://prefect:4200/api --dry-run
  leasehold migrate prefect restore --data-dir ./data --to http://prefect:4200/api"))]
pub(crate) struct Args {
    /// The API of the Prefect server, such as http://prefect:4200/api
    #[arg(long, env = crate::argv::PREFECT, hide_env_values = true, value_name = "URL")]
    to: String,

    #[command(flatten)]
    login: Login,

    #[command(flatten)]
    data_dir: DataDirArg,

    #[command(flatten)]
    answering: Answering,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    args.answering.ended(restore(&args)).await
}

async fn restore(args: &Args) -> Result<ExitCode, Failure> {
    let to = place(&args.to)?;
    let Some(api) = args.login.api(&to)? else {
        let message = "restore speaks to a running server: give --to http://host:port/api, or use \
                       export for a database";
        return Err(Failure::new(Exit::Usage, message));
    };
    let (directory, here) = args.data_dir.open()?;
    let there = read(&to, Some(&api), &Reading::default(), now(), output::progress).await?;
    output::progress_end();
    let choices =
        ExportChoices { on_conflict: OnConflict::Skip, only_add: true, keep_counts: true };
    let plan = plan_export(&here.inventory(), &there, Receiver::Api, choices, now());
    let mut outcome = Outcome::Planned;
    if !args.answering.dry_run {
        let mut record = Record::open(&directory)?;
        let exported = export_to_api(&plan, &api, &mut record, output::progress).await;
        output::progress_end();
        outcome = Outcome::Done(exported?);
    }
    export_page::print(&plan, &outcome, args.answering.form());
    Ok(args.answering.exit(plan.is_empty(), outcome.exit()))
}
