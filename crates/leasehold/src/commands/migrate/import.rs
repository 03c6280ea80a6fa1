//! `leasehold migrate prefect import`: from a Prefect server, while nothing runs.

use std::process::ExitCode;

use leasehold_migrate::{
    Applied, Choices, DataDir, Plan, Reading, Target, Timestamp, moment, plan, read,
};
use serde_json::json;

use super::plan_page;
use super::prefect::{
    Answering, Conflicts, DataDirArg, EXIT_CODES, Login, lease_place, now, place,
};
use crate::commands::{help, view};
use crate::exit::{Exit, Failure};
use crate::output;

/// Carry limits and their holders from a Prefect server into a stopped Leasehold server.
///
/// Reads a running server by its API, or a stopped one by its database and by its storage of
/// leases. Nothing is written there. Prints what becomes of each limit and each holder. A holder is
/// carried if its run may still live. All is done in one commit, or nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "\
  leasehold migrate prefect import --from http://prefect:4200/api --dry-run
  leasehold migrate prefect import --from sqlite:////root/.prefect/prefect.db \\
      --leases file:///root/.prefect/concurrency_leases --data-dir ./data
  LEASEHOLD_PREFECT=postgresql://prefect:secret@db/prefect \\
      leasehold migrate prefect import --leases redis://cache --output json"))]
pub(crate) struct Args {
    /// The Prefect server: http(s)://host/api, sqlite:///path, or postgresql://user@host/database.
    /// One with a password is safer in the variable
    #[arg(long, env = crate::argv::PREFECT, hide_env_values = true, value_name = "URL")]
    from: String,

    /// Prefect's storage of leases: file:///path of the directory concurrency_leases, or
    /// redis://host. Without it Prefect has them in its memory
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

    /// Carry the limits of deployments, which only Prefect's server uses
    #[arg(long)]
    deployment_limits: bool,

    /// Carry taken slots that nobody is known to hold, as slots without a lease
    #[arg(long)]
    keep_counts: bool,

    /// When Prefect's server stopped, as 2026-11-27T09:00:00Z: leases that lived then keep the time
    /// that they had left
    #[arg(long, value_name = "TIME", value_parser = time_of)]
    stopped_at: Option<Timestamp>,

    /// Go on with a database that is newer than this version of Leasehold knows
    #[arg(long)]
    force: bool,
}

fn time_of(text: &str) -> Result<Timestamp, String> {
    moment::parse(text).ok_or_else(|| "is no time; give one as 2026-11-27T09:00:00Z".to_owned())
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    args.answering.ended(import(&args)).await
}

async fn import(args: &Args) -> Result<ExitCode, Failure> {
    let from = place(&args.from)?;
    let api = args.login.api(&from)?;
    let reading = Reading { leases: lease_place(args.leases.as_deref())?, insist: args.force };
    let directory = args.data_dir.path()?;
    // Before the long work: a server that runs on the directory is in the way.
    let mut data_dir = if !args.answering.dry_run || DataDir::exists(&directory) {
        Some(DataDir::open(&directory, now())?)
    } else {
        None
    };
    let inventory = read(&from, api.as_ref(), &reading, now(), output::progress).await?;
    output::progress_end();
    let target = data_dir.as_ref().map_or_else(Target::default, DataDir::target);
    let at = now();
    let plan = plan(&inventory, &target, &args.choices(), at);
    let conflicts = plan.conflicts().count();
    let applied = match &mut data_dir {
        Some(data_dir) if !args.answering.dry_run && conflicts == 0 => {
            let applied = data_dir.apply(&plan, at);
            Some(applied.map_err(|error| Failure::new(Exit::Data, error.to_string()))?)
        }
        _ => None,
    };
    args.print(&plan, applied);
    Conflicts::refuse(conflicts)?;
    Ok(args.answering.exit(plan.is_empty(), ExitCode::SUCCESS))
}

impl Args {
    fn choices(&self) -> Choices {
        Choices {
            on_conflict: self.conflicts.on_conflict(),
            deployment_limits: self.deployment_limits,
            keep_counts: self.keep_counts,
            stopped_at: self.stopped_at,
        }
    }

    fn print(&self, plan: &Plan, applied: Option<Applied>) {
        let answer = json!({ "plan": plan, "dry_run": self.answering.dry_run, "applied": applied });
        let page = view::page(self.answering.form(), &answer, |page| {
            plan_page::write(page, plan);
            let says = match applied {
                None if self.answering.dry_run => "dry run: nothing was changed".to_owned(),
                None => return,
                Some(Applied { limits: 0, holders: 0 }) => "nothing to do".to_owned(),
                Some(Applied { limits, holders }) => {
                    format!("carried {limits} limit(s) and {holders} holder(s)")
                }
            };
            page.line("");
            page.line(&says);
        });
        page.print();
    }
}
