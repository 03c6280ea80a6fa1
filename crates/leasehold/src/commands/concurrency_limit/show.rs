//! `leasehold concurrency-limit ls` and `inspect`.

use std::cmp::Reverse;
use std::process::ExitCode;

use super::{EXIT_CODES, not_found};
use crate::commands::api::{Api, TagLimit};
use crate::commands::help;
use crate::commands::view::{self, FormArg, WatchArg};
use crate::exit::Failure;
use crate::output::{Page, Style};
use crate::time::ago;

/// View all concurrency limits of tags, those that were changed last first.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold concurrency-limit ls
  leasehold concurrency-limit ls --limit 15 --offset 15
  leasehold concurrency-limit ls --output json"))]
pub(crate) struct LsArgs {
    /// How many to list at most; all of them without it
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,

    /// How many to skip
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    offset: usize,

    #[command(flatten)]
    form: FormArg,

    #[command(flatten)]
    watch: WatchArg,
}

/// View details about the concurrency limits of tags.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold concurrency-limit inspect ocr
  leasehold concurrency-limit inspect ocr --output json"))]
pub(crate) struct InspectArgs {
    /// The tags
    #[arg(required = true, value_name = "TAG", add = crate::complete::tags())]
    tags: Vec<String>,

    #[command(flatten)]
    form: FormArg,

    #[command(flatten)]
    watch: WatchArg,
}

pub(super) async fn ls(api: &Api, args: &LsArgs) -> Result<ExitCode, Failure> {
    args.watch
        .show(async || {
            let limits = api.tag_limits().await?;
            let wanted = args.limit.unwrap_or(usize::MAX);
            let mut limits: Vec<_> = limits.into_iter().skip(args.offset).take(wanted).collect();
            limits.sort_by_key(|limit| Reverse(limit.updated));
            Ok(view::page(args.form.form(), &limits, |page| table(page, &limits)))
        })
        .await
}

fn table(page: &mut Page, limits: &[TagLimit]) {
    if limits.is_empty() {
        return page.line("No concurrency limits found.");
    }
    let row = |limit: &TagLimit| {
        [
            limit.tag.clone(),
            limit.id.to_string(),
            limit.concurrency_limit.to_string(),
            limit.active_slots.len().to_string(),
            ago(limit.updated),
        ]
    };
    let rows: Vec<_> = limits.iter().map(row).collect();
    page.table(["Tag", "ID", "Limit", "Active", "Updated"], &rows, &[0]);
}

pub(super) async fn inspect(api: &Api, args: &InspectArgs) -> Result<ExitCode, Failure> {
    args.watch
        .show(async || {
            let mut limits = Vec::new();
            for tag in &args.tags {
                limits.push(api.tag_limit(tag).await?.ok_or_else(|| not_found(tag))?);
            }
            Ok(match &limits[..] {
                // As with the original, one limit is an object.
                [limit] => view::page(args.form.form(), limit, |page| details(page, limit)),
                _ => view::page(args.form.form(), &limits, |page| {
                    limits.iter().for_each(|limit| details(page, limit));
                }),
            })
        })
        .await
}

fn details(page: &mut Page, limit: &TagLimit) {
    page.labelled("Tag", &limit.tag);
    page.labelled("ID", &limit.id.to_string());
    page.labelled("Concurrency Limit", &limit.concurrency_limit.to_string());
    page.labelled("Created", &ago(limit.created));
    page.labelled("Updated", &ago(limit.updated));
    let mut runs: Vec<_> = limit.active_slots.iter().map(ToString::to_string).collect();
    runs.sort();
    let label = format!("Active Task Run IDs ({})", runs.len());
    page.styled(&[(Style::Strong, &label)]);
    for run in runs {
        page.line(&format!("  {run}"));
    }
}
