//! `leasehold waiters`.

use std::process::ExitCode;

use leasehold_api::leases::Waiter;
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::commands::api::Api;
use crate::commands::help;
use crate::commands::session::Session;
use crate::commands::view::{self, FormArg, WatchArg};
use crate::commands::who::who;
use crate::duration;
use crate::exit::{Exit, Failure};
use crate::output::{Page, quoted};
use crate::time::{between, now};

/// List the requests that wait, in the order in which each limit is to grant them.
#[derive(Debug, clap::Args)]
#[command(after_help = help(super::READ_EXIT_CODES, "  leasehold waiters
  leasehold waiters database --watch
  leasehold waiters database gpu --output json"))]
pub(crate) struct Args {
    /// The limits that they wait for; all of them without it
    #[arg(value_name = "LIMIT", add = crate::complete::limits())]
    limits: Vec<String>,

    #[command(flatten)]
    form: FormArg,

    #[command(flatten)]
    watch: WatchArg,
}

/// A request that waits, with the limit in whose queue it is.
#[derive(Debug, Serialize)]
struct Waits {
    limit: String,
    #[serde(flatten)]
    waiter: Waiter,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    let api = Api::connect(session)?;
    args.watch
        .show(async || {
            let waiting = find(&api, &args.limits).await?;
            Ok(view::page(args.form.form(), &waiting, |page| table(page, &waiting)))
        })
        .await
}

async fn find(api: &Api, names: &[String]) -> Result<Vec<Waits>, Failure> {
    // A server that shows no leases shows no waiters, and may have no limit to ask about.
    api.client().get::<IgnoredAny>("/leases?limit=1").await?;
    let all = match names {
        [] => api.limits().await?.into_iter().map(|limit| limit.name).collect(),
        names => names.to_vec(),
    };
    let mut waiting = Vec::new();
    for limit in all {
        match api.waiters(&limit).await {
            Ok(Some(waiters)) => waiting
                .extend(waiters.into_iter().map(|waiter| Waits { limit: limit.clone(), waiter })),
            // The server behind this one grants it, and its clients poll.
            Ok(None) if names.is_empty() => {}
            Ok(None) => return Err(granted_upstream(&limit)),
            Err(error) => return Err(Failure::from(error).within(&limit)),
        }
    }
    Ok(waiting)
}

fn granted_upstream(limit: &str) -> Failure {
    let message = format!(
        "the Prefect server behind this one grants {}, and does not show who waits",
        quoted(limit)
    );
    Failure::new(Exit::No, message)
}

fn table(page: &mut Page, waiting: &[Waits]) {
    if waiting.is_empty() {
        return page.line("Nothing waits.");
    }
    let row = |waits: &Waits| {
        let waiter = &waits.waiter;
        [
            waits.limit.clone(),
            waiter.position.to_string(),
            who(waiter.holder.as_ref(), waiter.origin.as_ref()),
            waiter.slots.to_string(),
            waiter.priority.to_string(),
            duration::show(between(waiter.since, now())),
            waiter.blocked_by.join(", "),
        ]
    };
    let rows: Vec<_> = waiting.iter().map(row).collect();
    let head = ["Limit", "Place", "Holder", "Slots", "Priority", "Waits", "Blocked by"];
    page.table(head, &rows, &[0, 2, 6]);
}
