//! `leasehold gcl delete`.

use std::process::ExitCode;

use leasehold_client::Error;

use super::{EXIT_CODES, not_found};
use crate::commands::api::Api;
use crate::commands::session::Session;
use crate::commands::{for_each, help};
use crate::exit::{Exit, Failure};
use crate::output::{self, quoted};

/// Delete global concurrency limits.
///
/// Asks first on a terminal, unless --no-prompt is given. Leases lose their slots on a deleted
/// limit, and keep what they hold on others.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold gcl delete database
  leasehold gcl delete gpu-1 gpu-2 --no-prompt"))]
pub(crate) struct Args {
    /// Their names or ids
    #[arg(required = true, value_name = "NAME")]
    #[arg(add = crate::complete::limits())]
    names: Vec<String>,
}

pub(super) async fn run(api: &Api, session: &Session, args: &Args) -> Result<ExitCode, Failure> {
    for_each(&args.names, async |name| {
        let limit = api.limit(name).await?.ok_or_else(|| not_found(name))?;
        let question = format!(
            "Are you sure you want to delete global concurrency limit with name {}?",
            quoted(&limit.name)
        );
        if session.asks() && !output::confirm(&question) {
            return Err(Failure::new(Exit::No, "Deletion aborted."));
        }
        api.delete_limit(name).await.map_err(|error| match error {
            Error::NotFound { .. } => not_found(name),
            error => Failure::from(error),
        })?;
        Ok(format!("Deleted global concurrency limit with name {}.", quoted(name)))
    })
    .await
}
