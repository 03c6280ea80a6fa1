//! `leasehold gcl ls` and `inspect`.

use std::path::PathBuf;
use std::process::ExitCode;

use leasehold_client::Limit;

use super::{EXIT_CODES, not_found};
use crate::commands::api::Api;
use crate::commands::help;
use crate::commands::view::{self, FormArg, WatchArg};
use crate::exit::{Exit, Failure};
use crate::output::{self, Page, quoted};
use crate::time::{ago, shown};

/// List all global concurrency limits.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold gcl ls
  leasehold gcl ls --watch
  leasehold gcl ls --output json | jq -r '.[].name'"))]
pub(crate) struct LsArgs {
    #[command(flatten)]
    form: FormArg,

    #[command(flatten)]
    watch: WatchArg,
}

/// Inspect global concurrency limits.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold gcl inspect database
  leasehold gcl inspect database gpu --output yaml
  leasehold gcl inspect database --output json --file database.json"))]
pub(crate) struct InspectArgs {
    /// Their names or ids
    #[arg(required = true, value_name = "NAME")]
    #[arg(add = crate::complete::limits())]
    names: Vec<String>,

    #[command(flatten)]
    form: FormArg,

    #[command(flatten)]
    watch: WatchArg,

    /// A file to write the limit to; needs --output
    #[arg(long, short, value_name = "FILE", conflicts_with = "watch")]
    file: Option<PathBuf>,
}

pub(super) async fn ls(api: &Api, args: &LsArgs) -> Result<ExitCode, Failure> {
    args.watch
        .show(async || {
            let limits = api.limits().await?;
            Ok(view::page(args.form.form(), &limits, |page| table(page, &limits)))
        })
        .await
}

fn table(page: &mut Page, limits: &[Limit]) {
    if limits.is_empty() {
        return page.line("No global concurrency limits found.");
    }
    let row = |limit: &Limit| {
        [
            limit.name.clone(),
            truth(limit.active).to_owned(),
            limit.limit.to_string(),
            limit.active_slots.to_string(),
            number(limit.slot_decay_per_second),
            limit.updated.map(ago).unwrap_or_default(),
        ]
    };
    let rows: Vec<_> = limits.iter().map(row).collect();
    let head = ["Name", "Active", "Limit", "Active Slots", "Slot Decay", "Updated"];
    page.table(head, &rows, &[0]);
}

pub(super) async fn inspect(api: &Api, args: &InspectArgs) -> Result<ExitCode, Failure> {
    if args.file.is_some() && args.form.output.is_none() {
        let message = "The --file/-f option requires the --output option to be set.";
        return Err(Failure::new(Exit::No, message));
    }
    let look = async || {
        let mut limits = Vec::new();
        for name in &args.names {
            limits.push(api.limit(name).await?.ok_or_else(|| not_found(name))?);
        }
        Ok(match &limits[..] {
            // As with the original, one limit is an object.
            [limit] => view::page(args.form.form(), limit, |page| details(page, limit)),
            _ => view::page(args.form.form(), &limits, |page| {
                limits.iter().for_each(|limit| details(page, limit));
            }),
        })
    };
    let Some(file) = &args.file else { return args.watch.show(look).await };
    let page = look().await?;
    std::fs::write(file, page.text()).map_err(|error| {
        Failure::new(Exit::CannotCreate, format!("failed to write {}: {error}", file.display()))
    })?;
    let names: Vec<_> = args.names.iter().map(|name| quoted(name)).collect();
    output::success(&format!(
        "Global concurrency limit {} written to {}",
        names.join(", "),
        file.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// In the notation of the original, so that what searches it for `limit=5` finds it.
fn details(page: &mut Page, limit: &Limit) {
    page.line("GlobalConcurrencyLimit(");
    for line in [
        format!("id='{}',", limit.id),
        format!("name={},", quoted(&limit.name)),
        format!("active={},", truth(limit.active)),
        format!("limit={},", limit.limit),
        format!("active_slots={},", limit.active_slots),
        format!("slot_decay_per_second={},", number(limit.slot_decay_per_second)),
        format!("created='{}',", limit.created.map(shown).unwrap_or_default()),
        format!("updated='{}'", limit.updated.map(shown).unwrap_or_default()),
    ] {
        page.line(&format!("    {line}"));
    }
    page.line(")");
}

fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

/// A number with a fraction, as Python shows it.
fn number(value: f64) -> String {
    format!("{value:?}")
}
