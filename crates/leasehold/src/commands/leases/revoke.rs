//! `leasehold leases revoke`.

use std::process::ExitCode;

use leasehold_api::leases::RevokeLease;

use super::{EXIT_CODES, held, lease};
use crate::commands::api::Api;
use crate::commands::session::Session;
use crate::commands::who::who;
use crate::commands::{for_each, help, whoami};
use crate::exit::{Exit, Failure};
use crate::output;

/// Take leases away from their holders. Their slots are free at once.
///
/// A holder learns it, with the reason and your name, when it renews next. If its program lives, it
/// is still at work when the next holder begins: make sure that it is dead, or stop it first. Asks
/// first on a terminal, unless --no-prompt is given.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold leases revoke 1ea5e118 --reason 'its host is gone'
  leasehold leases revoke 1ea5e118 8e0299df --no-prompt"))]
pub(crate) struct Args {
    /// Their ids, or the beginnings that `leases ls` shows
    #[arg(required = true, value_name = "LEASE")]
    leases: Vec<String>,

    /// Why, for the holder and the log of events
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,

    /// Who revokes them [default: you, at this machine]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
}

pub(super) async fn run(api: &Api, session: &Session, args: &Args) -> Result<ExitCode, Failure> {
    let why = RevokeLease {
        reason: args.reason.clone(),
        by: Some(args.by.clone().unwrap_or_else(whoami)),
    };
    for_each(&args.leases, async |id| {
        let lease = lease(api, id).await?;
        let holder = who(lease.holder.as_ref(), lease.origin.as_ref());
        let held = held(&lease.limits);
        let question = format!("Take {held} away from {holder}? It may still be at work.");
        if session.asks() && !output::confirm(&question) {
            return Err(Failure::new(Exit::No, "Nothing was revoked."));
        }
        match api.client().revoke(lease.id, &why).await? {
            None => Ok(format!("Revoked lease {}: {holder} held {held}.", lease.id)),
            Some(ended) => Err(Failure::new(Exit::No, ended.detail)),
        }
    })
    .await
}
