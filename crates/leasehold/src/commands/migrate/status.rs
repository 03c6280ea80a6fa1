//! `leasehold migrate prefect status`.

use std::process::ExitCode;

use leasehold_api::migration::{MigratingLimit, Migration, MigrationPhase, SeenLease};
use leasehold_client::Error;

use super::EXIT_CODES;
use crate::commands::api::Api;
use crate::commands::help;
use crate::commands::session::Session;
use crate::commands::view::{self, FormArg, WatchArg};
use crate::commands::who::{counted, slots, who};
use crate::duration;
use crate::exit::{Exit, Failure};
use crate::output::{Page, Style, quoted};
use crate::time::{ago, until};

const PATH: &str = "/leasehold/migration";

/// Show where each limit stands: who grants it, who holds it, and what nobody explains.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold migrate prefect status
  leasehold migrate prefect status --watch
  leasehold migrate prefect status database tag:ocr
  leasehold migrate prefect status --output json"))]
pub(crate) struct Args {
    /// The limits to show, with the leases that were seen; all of them in short without it
    #[arg(value_name = "LIMIT", add = crate::complete::limits())]
    limits: Vec<String>,

    #[command(flatten)]
    form: FormArg,

    #[command(flatten)]
    watch: WatchArg,
}

pub(super) async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    let api = Api::connect(session)?;
    args.watch
        .show(async || {
            let migration = look(&api, &args.limits).await?;
            let in_short = args.limits.is_empty();
            Ok(view::page(args.form.form(), &migration, |page| print(page, &migration, in_short)))
        })
        .await
}

/// Where the migration stands, with these limits alone, or with all if none is named.
pub(super) async fn look(api: &Api, names: &[String]) -> Result<Migration, Failure> {
    let mut migration: Migration =
        api.client().get(PATH).await.map_err(|error| no_upstream(api, error))?;
    for name in names {
        if !migration.limits.iter().any(|limit| limit.name == *name) {
            let message = format!("no limit {} is in the migration", quoted(name));
            return Err(Failure::new(Exit::No, message));
        }
    }
    migration.limits.retain(|limit| names.is_empty() || names.contains(&limit.name));
    Ok(migration)
}

/// In words, if the server is not in front of another one.
pub(super) fn no_upstream(api: &Api, error: Error) -> Failure {
    match error {
        Error::NotServed { .. } | Error::NotFound { .. } => Failure::new(
            Exit::Unavailable,
            format!(
                "{} is in front of no Prefect server: start `leasehold server start --upstream \
                 http://prefect:4200/api`, and use its address",
                api.client().url()
            ),
        ),
        error => error.into(),
    }
}

fn print(page: &mut Page, migration: &Migration, in_short: bool) {
    let reached = if migration.is_reachable { "" } else { ", which does not answer" };
    page.labelled("Upstream", &format!("{}{reached}", migration.upstream));
    let longest = std::time::Duration::try_from_secs_f64(migration.longest_lease_seconds);
    let longest = longest.unwrap_or_default();
    let longest =
        if longest.is_zero() { "none seen yet".to_owned() } else { duration::show(longest) };
    page.labelled("Longest lease", &longest);
    if migration.leases_of_unknown_limits > 0 {
        let leases = counted(migration.leases_of_unknown_limits, "lease");
        page.labelled("Not yet known", &format!("{leases} whose limits were not seen"));
    }
    if let (Some(since), Some(after)) = (migration.watching_since, migration.judged_after) {
        let left = until(after);
        let judged = if left.is_zero() {
            String::new()
        } else {
            format!("; slots from before are judged in {}", duration::show(left))
        };
        page.labelled("Watching since", &format!("{}{judged}", ago(since)));
    }
    page.line("");
    if migration.limits.is_empty() {
        return page.line("There are no limits.");
    }
    let rows: Vec<_> = migration.limits.iter().map(row).collect();
    let head = ["Limit", "Phase", "Taken", "Here", "Foreign", "Seen", "Unexplained", "Note"];
    page.table(head, &rows, &[0, 7]);
    if !in_short {
        migration.limits.iter().for_each(|limit| details(page, limit));
    }
}

pub(super) fn phase(phase: MigrationPhase) -> &'static str {
    match phase {
        MigrationPhase::Upstream => "upstream",
        MigrationPhase::Draining => "draining",
        MigrationPhase::Leasehold => "leasehold",
        MigrationPhase::Returning => "returning",
    }
}

fn row(limit: &MigratingLimit) -> [String; 8] {
    let unexplained = match limit.phantoms {
        0 => limit.unexplained.to_string(),
        phantoms => format!("{}, {} dead", limit.unexplained, phantoms),
    };
    [
        limit.name.clone(),
        phase(limit.phase).to_owned(),
        format!("{}/{}", limit.taken, limit.slots),
        limit.held_here.to_string(),
        limit.foreign.to_string(),
        limit.leases.len().to_string(),
        unexplained,
        note(limit).unwrap_or_default(),
    ]
}

/// The first thing to know about a limit.
fn note(limit: &MigratingLimit) -> Option<String> {
    let held = |count: u64| format!("{} held for a moment", counted(count, "request"));
    limit
        .failure
        .clone()
        .or_else(|| limit.stays.clone())
        .or_else(|| limit.warning.clone())
        .or_else(|| (limit.held_requests > 0).then(|| held(limit.held_requests)))
        .or_else(|| {
            (!limit.together.is_empty()).then(|| format!("with {}", limit.together.join(", ")))
        })
}

/// Who holds a limit, as far as that was seen passing.
pub(in crate::commands) fn details(page: &mut Page, limit: &MigratingLimit) {
    page.line("");
    page.styled(&[(Style::Strong, &limit.name)]);
    for lease in &limit.leases {
        page.paragraph(Style::Plain, 4, &format!("  {}", seen(lease)));
    }
    for run in &limit.unseen_task_runs {
        page.line(&format!("  task_run {run}, which was not seen passing"));
    }
    if limit.unexplained > 0 {
        let what = format!("  {} that no lease explains", slots(limit.unexplained));
        let what = match limit.phantoms {
            0 => what,
            phantoms => format!(
                "{what}; {} of them for longer than the longest lease: `leasehold migrate prefect \
                 drop-phantoms {} --dry-run`",
                phantoms, limit.name
            ),
        };
        page.paragraph(Style::Warning, 4, &what);
    }
    if let Some(warning) = &limit.warning {
        page.paragraph(Style::Warning, 4, &format!("  {warning}"));
    }
    if limit.dropped > 0 {
        page.line(&format!("  {} dropped; the upstream still counts them", slots(limit.dropped)));
    }
}

fn seen(lease: &SeenLease) -> String {
    let renewal = match (lease.next_renewal, lease.deadline) {
        (Some(at), _) => format!(", renews in {}", duration::show(until(at))),
        (None, Some(at)) => format!(", ends in {}", duration::show(until(at))),
        (None, None) => ", cannot renew".to_owned(),
    };
    let holder = who(lease.holder.as_ref(), None);
    format!("{holder}: {}, {}{renewal}", slots(lease.slots), ago(lease.since))
}
