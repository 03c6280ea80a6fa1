//! `leasehold status`.

use std::process::ExitCode;

use leasehold_api::migration::{Migration, MigrationPhase};
use leasehold_client::{Error, Limit};
use serde::Serialize;

use crate::commands::api::Api;
use crate::commands::help;
use crate::commands::identity::{Identity, Kind, identify};
use crate::commands::leases::any;
use crate::commands::session::Session;
use crate::commands::view::{self, FormArg, WatchArg};
use crate::exit::Failure;
use crate::output::{Page, Style};

/// Show what a server does: how many limits, leases and waiters there are, and what is full.
#[derive(Debug, clap::Args)]
#[command(after_help = help(super::READ_EXIT_CODES, "  leasehold status
  leasehold status --watch
  leasehold status --output json"))]
pub(crate) struct Args {
    #[command(flatten)]
    form: FormArg,

    #[command(flatten)]
    watch: WatchArg,
}

#[derive(Debug, Serialize)]
struct Status {
    url: String,
    server: Identity,
    limits: usize,
    /// How many leases there are; `null` at a server that does not show them.
    leases: Option<usize>,
    /// Limits without a free slot, those with most waiters first.
    full: Vec<Full>,
    migration: Option<Phases>,
}

/// A limit without a free slot.
#[derive(Debug, Serialize)]
struct Full {
    name: String,
    limit: u64,
    active_slots: u64,
    waiters: Option<usize>,
}

/// How many limits are in each phase of a migration.
#[derive(Debug, Serialize)]
struct Phases {
    upstream_url: String,
    is_reachable: bool,
    upstream: usize,
    draining: usize,
    leasehold: usize,
    returning: usize,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    let api = Api::connect(session)?;
    args.watch
        .show(async || {
            let status = look(&api).await?;
            Ok(view::page(args.form.form(), &status, |page| print(page, &status)))
        })
        .await
}

async fn look(api: &Api) -> Result<Status, Failure> {
    let client = api.client();
    let server = identify(client).await?;
    let is_ours = server.kind == Kind::Leasehold;
    let limits = api.limits().await?;
    let leases = if is_ours { Some(client.leases(&any()).await?.len()) } else { None };
    let mut full = Vec::new();
    for limit in limits.iter().filter(|limit| is_full(limit)) {
        let waiters = api.waiters(&limit.name).await?.map(|waiters| waiters.len());
        let Limit { name, limit, active_slots, .. } = limit.clone();
        full.push(Full { name, limit, active_slots, waiters });
    }
    full.sort_by(|a, b| b.waiters.cmp(&a.waiters).then_with(|| a.name.cmp(&b.name)));
    let migration = migration(api).await?.map(phases);
    let url = client.url().to_owned();
    Ok(Status { url, server, limits: limits.len(), leases, full, migration })
}

/// Whether a limit grants nothing now, and is no rate limit that was just used.
pub(super) fn is_full(limit: &Limit) -> bool {
    limit.active && limit.active_slots >= limit.limit
}

/// Where the migration stands, if this server is in front of another one.
pub(super) async fn migration(api: &Api) -> Result<Option<Migration>, Failure> {
    match api.client().get("/leasehold/migration").await {
        Ok(migration) => Ok(Some(migration)),
        Err(Error::NotServed { .. } | Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn phases(migration: Migration) -> Phases {
    let count = |phase| migration.limits.iter().filter(|limit| limit.phase == phase).count();
    Phases {
        upstream: count(MigrationPhase::Upstream),
        draining: count(MigrationPhase::Draining),
        leasehold: count(MigrationPhase::Leasehold),
        returning: count(MigrationPhase::Returning),
        upstream_url: migration.upstream,
        is_reachable: migration.is_reachable,
    }
}

fn print(page: &mut Page, status: &Status) {
    page.labelled("Server", &format!("{} at {}", status.server, status.url));
    let full = status.full.len() as u64;
    let full = if full == 0 { "none full".to_owned() } else { format!("{full} full") };
    page.labelled("Limits", &format!("{}, {full}", status.limits));
    match status.leases {
        Some(leases) => page.labelled("Leases", &leases.to_string()),
        None => page.labelled("Leases", "this server does not show them"),
    }
    if let Some(phases) = &status.migration {
        let reached = if phases.is_reachable { "" } else { ", which does not answer" };
        let Phases { upstream, draining, leasehold, returning, .. } = phases;
        page.labelled("Upstream", &format!("{}{reached}", phases.upstream_url));
        page.labelled(
            "Migration",
            &format!(
                "{upstream} upstream, {draining} draining, {leasehold} here, {returning} returning"
            ),
        );
    }
    if status.full.is_empty() {
        return;
    }
    page.line("");
    let row = |full: &Full| {
        let waiting = full.waiters.map_or("unknown".to_owned(), |waiters| waiters.to_string());
        [full.name.clone(), format!("{}/{}", full.active_slots, full.limit), waiting]
    };
    let rows: Vec<_> = status.full.iter().map(row).collect();
    page.table(["Full", "Taken", "Waiting"], &rows, &[0]);
    page.line("");
    let first = &status.full[0];
    let advice =
        format!("`leasehold why {}` says who holds it, and what would free it.", first.name);
    page.paragraph(Style::Plain, 0, &advice);
}
