//! `leasehold leases ls` and `inspect`.

use std::process::ExitCode;

use leasehold_api::leases::{FindLeases, Lease};

use super::{EXIT_CODES, held, lease};
use crate::commands::api::Api;
use crate::commands::help;
use crate::commands::view::{self, FormArg, WatchArg};
use crate::commands::who::{from_where, who};
use crate::duration;
use crate::exit::Failure;
use crate::output::Page;
use crate::time::{ago, shown, until};

/// List leases, oldest first: who holds what, since when, and until when.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold leases ls
  leasehold leases ls database --watch
  leasehold leases ls --holder web-1:4242 --output json"))]
pub(crate) struct LsArgs {
    /// The limits whose leases to list; all of them without it
    #[arg(value_name = "LIMIT", add = crate::complete::limits())]
    limits: Vec<String>,

    /// The id of the holder
    #[arg(long, value_name = "ID")]
    holder: Option<String>,

    /// The kind of the holder, such as process or task_run
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,

    #[command(flatten)]
    form: FormArg,

    #[command(flatten)]
    watch: WatchArg,
}

/// Show all that is known of leases.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold leases inspect 1ea5e118
  leasehold leases inspect 1ea5e118-cae8-8ad5-8201-b960238d9bbf --output json"))]
pub(crate) struct InspectArgs {
    /// Their ids, or the beginnings that `leases ls` shows
    #[arg(required = true, value_name = "LEASE")]
    leases: Vec<String>,

    #[command(flatten)]
    form: FormArg,

    #[command(flatten)]
    watch: WatchArg,
}

pub(super) async fn ls(api: &Api, args: &LsArgs) -> Result<ExitCode, Failure> {
    args.watch
        .show(async || {
            let leases = find(api, args).await?;
            Ok(view::page(args.form.form(), &leases, |page| table(page, &leases)))
        })
        .await
}

async fn find(api: &Api, args: &LsArgs) -> Result<Vec<Lease>, Failure> {
    let filter = |limit: Option<&String>| FindLeases {
        limit_name: limit.cloned(),
        holder_kind: args.kind.clone(),
        holder_id: args.holder.clone(),
        offset: 0,
        limit: None,
    };
    if args.limits.is_empty() {
        return Ok(api.client().leases(&filter(None)).await?);
    }
    let mut leases = Vec::new();
    for limit in &args.limits {
        let found = api.client().leases(&filter(Some(limit))).await;
        leases.extend(found.map_err(|error| Failure::from(error).within(limit))?);
    }
    leases.sort_by_key(|lease: &Lease| (lease.created, lease.id));
    leases.dedup_by_key(|lease| lease.id);
    Ok(leases)
}

fn table(page: &mut Page, leases: &[Lease]) {
    if leases.is_empty() {
        return page.line("No leases found.");
    }
    let ids: Vec<_> = leases.iter().map(|lease| lease.id.to_string()).collect();
    let digits = digits(&ids);
    let row = |(lease, id): (&Lease, &String)| {
        [
            id[..digits].to_owned(),
            held(&lease.limits),
            who(lease.holder.as_ref(), lease.origin.as_ref()),
            ago(lease.created),
            lease
                .deadline
                .map_or("no deadline".to_owned(), |at| format!("in {}", duration::show(until(at)))),
        ]
    };
    let rows: Vec<_> = leases.iter().zip(&ids).map(row).collect();
    page.table(["Lease", "Holds", "Holder", "Since", "Ends"], &rows, &[1, 2]);
}

/// How many digits tell these ids apart.
fn digits(ids: &[String]) -> usize {
    let mut sorted: Vec<_> = ids.iter().collect();
    sorted.sort();
    let common = |pair: &[&String]| {
        let bytes = pair[0].bytes().zip(pair[1].bytes());
        bytes.take_while(|(a, b)| a == b).count() + 1
    };
    sorted.windows(2).map(common).max().unwrap_or_default().clamp(8, 36)
}

pub(super) async fn inspect(api: &Api, args: &InspectArgs) -> Result<ExitCode, Failure> {
    args.watch
        .show(async || {
            let mut leases = Vec::new();
            for id in &args.leases {
                leases.push(lease(api, id).await?);
            }
            Ok(match &leases[..] {
                [lease] => view::page(args.form.form(), lease, |page| details(page, lease)),
                _ => view::page(args.form.form(), &leases, |page| {
                    leases.iter().for_each(|lease| details(page, lease));
                }),
            })
        })
        .await
}

fn details(page: &mut Page, lease: &Lease) {
    page.labelled("Lease", &lease.id.to_string());
    page.labelled("Holds", &held(&lease.limits));
    page.labelled("Holder", &who(lease.holder.as_ref(), lease.origin.as_ref()));
    for (name, value) in lease.holder.iter().flat_map(|holder| &holder.labels) {
        page.labelled("", &format!("{name}: {value}"));
    }
    if let Some(place) = from_where(lease.origin.as_ref()) {
        page.labelled("From", &place);
    }
    page.labelled("Since", &format!("{} ({})", shown(lease.created), ago(lease.created)));
    let ends = lease.deadline.map_or(
        "no deadline: it ends when its holder releases it, or on evidence".to_owned(),
        |at| format!("{} (in {}) unless renewed", shown(at), duration::show(until(at))),
    );
    page.labelled("Ends", &ends);
    if let Some(token) = lease.fencing_token {
        page.labelled("Token", &token.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_as_short_as_they_differ() {
        let ids = |texts: [&str; 2]| {
            texts.map(|text| format!("{text}{}", &"0".repeat(36)[text.len()..])).to_vec()
        };
        assert_eq!(digits(&ids(["1ea5e118", "1ea5e117"])), 8);
        assert_eq!(digits(&ids(["1ea5e118-c", "1ea5e118-d"])), 10);
        assert_eq!(digits(&[]), 8);
    }
}
