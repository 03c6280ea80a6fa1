//! `leasehold migrate prefect export`: back to a Prefect server, while nothing runs here.

use std::process::ExitCode;

use leasehold_migrate::{
    ExportChoices, Exported, LeasePlace, Place, Reading, Receiver, Record, export_to_api,
    export_to_database, plan_export, read,
};

use super::export_page::{self, Outcome};
use super::prefect::{
    Answering, Conflicts, DataDirArg, EXIT_CODES, Login, lease_place, now, place,
};
use crate::commands::help;
use crate::exit::{Exit, Failure};
use crate::output;

/// Carry limits and leases from a stopped Leasehold server to a Prefect server.
///
/// Writes into the database of a stopped Prefect server and its files of leases, or speaks to a
/// running one by its API. The database has to exist: start Prefect's server on it once. Prints
/// what becomes of each limit and each lease.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "\
  leasehold migrate prefect export --to http://prefect:4200/api --dry-run
  leasehold migrate prefect export --to sqlite:////root/.prefect/prefect.db \\
      --leases file:///root/.prefect/concurrency_leases --data-dir ./data"))]
pub(crate) struct Args {
    /// The Prefect server: http(s)://host/api, sqlite:///path, or postgresql://user@host/database.
    /// One with a password is safer in the variable
    #[arg(long, env = crate::argv::PREFECT, hide_env_values = true, value_name = "URL")]
    to: String,

    /// Prefect's directory of leases: file:///path of the directory concurrency_leases. Without it
    /// Prefect has them in its memory, where nobody can write
    #[arg(long, value_name = "URL", env = "PREFECT_LEASES", hide_env_values = true)]
    leases: Option<String>,

    #[command(flatten)]
    login: Login,

    #[command(flatten)]
    data_dir: DataDirArg,

    #[command(flatten)]
    answering: Answering,

    #[command(flatten)]
    conflicts: Conflicts,

    /// Count slots there that no lease holds: nothing there returns them
    #[arg(long)]
    keep_counts: bool,

    /// Go on with a database that is newer than this version of Leasehold knows
    #[arg(long)]
    force: bool,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    args.answering.ended(export(&args)).await
}

async fn export(args: &Args) -> Result<ExitCode, Failure> {
    let to = place(&args.to)?;
    let api = args.login.api(&to)?;
    let leases = lease_place(args.leases.as_deref())?;
    let lease_directory = match &leases {
        Some(LeasePlace::Redis(_)) => {
            let message = "leases can be written into files alone: give --leases file:///path, or \
                           export to a running server by its API";
            return Err(Failure::new(Exit::Usage, message));
        }
        // A directory that is not there yet has no leases.
        Some(LeasePlace::Files(path)) => Some(path.clone()),
        None => None,
    };
    let (directory, here) = args.data_dir.open()?;
    let leases = leases.filter(|_| lease_directory.as_ref().is_some_and(|path| path.exists()));
    let reading = Reading { leases, insist: args.force };
    let there = read(&to, api.as_ref(), &reading, now(), output::progress).await?;
    output::progress_end();
    let receiver = match there.shape {
        Some(shape) => Receiver::Database { shape, has_lease_files: lease_directory.is_some() },
        None => Receiver::Api,
    };
    let plan = plan_export(&here.inventory(), &there, receiver, args.choices(), now());
    let conflicts = plan.conflicts().count();
    let mut outcome = Outcome::Planned;
    if !args.answering.dry_run && conflicts == 0 {
        outcome = match (&to, &api) {
            (Place::Api(_), Some(api)) => {
                let mut record = Record::open(&directory)?;
                let exported = export_to_api(&plan, api, &mut record, output::progress).await;
                output::progress_end();
                Outcome::Done(exported?)
            }
            _ => {
                export_to_database(&plan, &to, lease_directory.as_deref(), args.force).await?;
                Outcome::Done(written(&plan))
            }
        };
    }
    export_page::print(&plan, &outcome, args.answering.form());
    Conflicts::refuse(conflicts)?;
    Ok(args.answering.exit(plan.is_empty(), outcome.exit()))
}

/// What a plan for a database wrote.
fn written(plan: &leasehold_migrate::ExportPlan) -> Exported {
    use leasehold_migrate::Way;
    let limits = plan.limits.iter().filter(|limit| limit.fate.is_written()).count();
    let is_left = |way: &Way| matches!(way, Way::Left(_));
    let holders = plan.holders.iter().filter(|holder| !is_left(&holder.way)).count();
    Exported { limits, holders, ..Exported::default() }
}

impl Args {
    fn choices(&self) -> ExportChoices {
        ExportChoices {
            on_conflict: self.conflicts.on_conflict(),
            only_add: false,
            keep_counts: self.keep_counts,
        }
    }
}
