//! `leasehold leases`: who holds slots, and ending a lease by hand.

mod list;
mod revoke;

use std::process::ExitCode;

use clap::Subcommand;
use leasehold_api::leases::{FindLeases, HeldLimit, Lease};
use leasehold_client::Error;
use uuid::Uuid;

use crate::commands::api::Api;
use crate::commands::session::Session;
use crate::exit::{Exit, Failure};

const EXIT_CODES: &str = "    0  done
    1  there is no such lease or limit, or not every lease could be revoked
   64  the command line is wrong
   69  the server cannot be reached, or is no Leasehold
   77  the server refused the credentials
   78  a variable or a profile is wrong
  130  ended by Ctrl-C";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Ls(list::LsArgs),
    Inspect(list::InspectArgs),
    Revoke(revoke::Args),
}

pub(crate) async fn run(session: &Session, command: Command) -> Result<ExitCode, Failure> {
    let api = Api::connect(session)?;
    match command {
        Command::Ls(args) => list::ls(&api, &args).await,
        Command::Inspect(args) => list::inspect(&api, &args).await,
        Command::Revoke(args) => revoke::run(&api, session, &args).await,
    }
}

/// Fewer characters of an id name no lease.
const PREFIX_MIN: usize = 4;

/// A lease by its id, or by the beginning of it that lists show.
async fn lease(api: &Api, id: &str) -> Result<Lease, Failure> {
    if let Ok(id) = id.parse::<Uuid>() {
        return api.client().lease(id).await.map_err(|error| match error {
            Error::Ended(ended) => Failure::new(Exit::No, ended.detail),
            error => Failure::from(error),
        });
    }
    let begun = id.to_lowercase();
    let is_hex = |c: char| c.is_ascii_hexdigit() || c == '-';
    if begun.len() < PREFIX_MIN || !begun.chars().all(is_hex) {
        let message =
            format!("{id:?} is no id of a lease, nor the first {PREFIX_MIN} of its digits");
        return Err(Failure::new(Exit::No, message));
    }
    let mut found: Vec<_> = api.client().leases(&any()).await?;
    found.retain(|lease| lease.id.to_string().starts_with(&begun));
    match (found.pop(), found.len()) {
        (Some(lease), 0) => Ok(lease),
        (None, _) => Err(Failure::new(
            Exit::No,
            format!("no live lease begins with {id}; `leasehold leases ls` shows them"),
        )),
        (Some(_), others) => Err(Failure::new(
            Exit::No,
            format!("{} leases begin with {id}: give more of the id", others + 1),
        )),
    }
}

/// All leases.
pub(super) fn any() -> FindLeases {
    FindLeases { limit_name: None, holder_kind: None, holder_id: None, offset: 0, limit: None }
}

/// What a lease holds: `database, gpu ×2`.
fn held(limits: &[HeldLimit]) -> String {
    let each = limits.iter().map(|limit| match limit.slots {
        1 => limit.name.clone(),
        slots => format!("{} ×{slots}", limit.name),
    });
    let each: Vec<_> = each.collect();
    if each.is_empty() { "nothing".to_owned() } else { each.join(", ") }
}
