//! `leasehold why`: who holds a limit, since when, whether they live, who waits, and what would
//! free it.

mod story;

use std::collections::BTreeMap;
use std::process::ExitCode;

use leasehold_api::leases::{LimitLease, Waiter};
use leasehold_api::migration::MigratingLimit;
use leasehold_client::{Error, Limit};
use serde::{Deserialize, Serialize};

use crate::commands::api::{Api, found};
use crate::commands::help;
use crate::commands::migrate::status::details;
use crate::commands::session::Session;
use crate::commands::status::migration;
use crate::commands::view::{self, FormArg, WatchArg};
use crate::exit::{Exit, Failure};
use crate::output::{Page, Style, quoted};
use crate::time::now;

/// Explain a limit: who holds it, since when, who waits, and what would free it.
#[derive(Debug, clap::Args)]
#[command(after_help = help(super::READ_EXIT_CODES, "  leasehold why database
  leasehold why tag:ocr --watch
  leasehold why database --output json"))]
pub(crate) struct Args {
    /// The limit; that of the tag ocr is tag:ocr
    #[arg(add = crate::complete::limits())]
    name: String,

    #[command(flatten)]
    form: FormArg,

    #[command(flatten)]
    watch: WatchArg,
}

/// All that is asked to explain a limit.
#[derive(Debug, Serialize)]
struct Findings {
    limit: Limit,
    holders: Vec<LimitLease>,
    waiters: Vec<Waiter>,
    /// The runs of holders without a deadline, by their ids; `null` for one that is not on record.
    runs: BTreeMap<String, Option<Run>>,
}

/// What the server recorded of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Run {
    name: Option<String>,
    state_name: Option<String>,
    flow_run_id: Option<String>,
}

/// Of so many holders the runs are looked up.
const RUNS_MAX: usize = 20;

pub(crate) async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    let api = Api::connect(session)?;
    args.watch
        .show(async || {
            let Some(limit) = api.limit(&args.name).await? else {
                return Err(no_limit(&api, &args.name).await);
            };
            let form = args.form.form();
            let holders = match api.client().holders(&args.name).await {
                Ok(holders) => holders,
                Err(Error::NotServed { .. }) => {
                    let seen = seen_upstream(&api, &limit).await?;
                    return Ok(view::page(form, &seen, |page| print_seen(page, &limit, &seen)));
                }
                Err(error) => return Err(error.into()),
            };
            let waiters = api.waiters(&args.name).await?.unwrap_or_default();
            let runs = runs(&api, &holders).await?;
            let findings = Findings { limit, holders, waiters, runs };
            let story = story::tell(&findings, now());
            let answer = story::Answer { findings: &findings, story: &story };
            Ok(view::page(form, &answer, |page| print(page, &story)))
        })
        .await
}

/// The runs of holders that have no deadline.
async fn runs(api: &Api, holders: &[LimitLease]) -> Result<BTreeMap<String, Option<Run>>, Failure> {
    let mut runs = BTreeMap::new();
    let lasting = holders.iter().filter(|lease| lease.deadline.is_none());
    for holder in lasting.filter_map(|lease| lease.holder.as_ref()).take(RUNS_MAX) {
        let path = match holder.r#type.as_str() {
            "task_run" => format!("/task_runs/{}", holder.id),
            "flow_run" => format!("/flow_runs/{}", holder.id),
            _ => continue,
        };
        runs.insert(holder.id.clone(), found(api.client().get::<Run>(&path).await)?);
    }
    Ok(runs)
}

/// What passed of a limit that the Prefect server behind this one grants.
async fn seen_upstream(api: &Api, limit: &Limit) -> Result<MigratingLimit, Failure> {
    let limits = migration(api).await?.map(|migration| migration.limits).unwrap_or_default();
    limits.into_iter().find(|seen| seen.name == limit.name).ok_or_else(|| {
        Failure::new(
            Exit::Unavailable,
            format!(
                "{} of {} slots of {} are taken, and this server does not say by whom: it is no \
                 Leasehold. In front of it, `leasehold server start --upstream {}` sees who \
                 asks",
                limit.active_slots,
                limit.limit,
                quoted(&limit.name),
                api.client().url()
            ),
        )
    })
}

fn print_seen(page: &mut Page, limit: &Limit, seen: &MigratingLimit) {
    let headline = format!(
        "The Prefect server behind this one grants {}: {} of {} slots are taken. Seen passing:",
        limit.name, limit.active_slots, limit.limit
    );
    page.paragraph(Style::Strong, 0, &headline);
    details(page, seen);
}

/// Says which names are near.
async fn no_limit(api: &Api, name: &str) -> Failure {
    let names = api.limits().await.unwrap_or_default().into_iter().map(|limit| limit.name);
    let near = |other: &String| strsim::jaro_winkler(&other.to_lowercase(), &name.to_lowercase());
    let mut near: Vec<_> = names.map(|other| (near(&other), other)).collect();
    near.retain(|(nearness, other)| *nearness > 0.8 || other.strip_prefix("tag:") == Some(name));
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    let near: Vec<_> = near.iter().take(3).map(|(_, other)| quoted(other)).collect();
    let hint = match near.is_empty() {
        true => format!("; `leasehold gcl create {name} --limit 1` creates it"),
        false => format!("; there is {}", near.join(", ")),
    };
    Failure::new(Exit::No, format!("there is no limit {}{hint}", quoted(name)))
}

fn print(page: &mut Page, story: &story::Story) {
    page.paragraph(Style::Strong, 0, &story.headline);
    for (title, lines) in story.sections() {
        if lines.is_empty() {
            continue;
        }
        page.line("");
        page.styled(&[(Style::Strong, title)]);
        for line in lines {
            page.paragraph(Style::Plain, 2, &format!("  {line}"));
        }
    }
}
