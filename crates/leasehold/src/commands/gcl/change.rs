//! `leasehold gcl create`, `update`, `enable` and `disable`.

use std::process::ExitCode;

use leasehold_client::{Error, LimitChanges};

use super::{EXIT_CODES, not_found};
use crate::args::not_negative;
use crate::commands::api::{Api, NewLimit};
use crate::commands::{for_each, help};
use crate::exit::{Exit, Failure};
use crate::output::quoted;

/// Create global concurrency limits.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold gcl create database --limit 10
  leasehold gcl create api --limit 100 --slot-decay-per-second 5
  leasehold gcl create gpu-1 gpu-2 --limit 1 --disable"))]
pub(crate) struct CreateArgs {
    /// Their names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    /// How many slots each has
    #[arg(long, short, value_name = "COUNT", allow_negative_numbers = true)]
    limit: u64,

    /// Create inactive limits
    #[arg(long, overrides_with = "no_disable")]
    disable: bool,

    #[arg(long, hide = true)]
    no_disable: bool,

    /// How many slots are taken to begin with
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, default_value_t = 0)]
    active_slots: u64,

    /// How many slots come back by themselves each second: for a rate limit
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true, default_value_t = 0.0)]
    #[arg(value_parser = not_negative)]
    slot_decay_per_second: f64,
}

/// Update global concurrency limits.
///
/// What is not given stays. --active-slots alone resets a limit: the leases above that number are
/// revoked, oldest first.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold gcl update database --limit 20
  leasehold gcl update database --active-slots 0
  leasehold gcl update api --slot-decay-per-second 0.5
  leasehold gcl update database gpu --disable"))]
pub(crate) struct UpdateArgs {
    /// Their names or ids
    #[arg(required = true, value_name = "NAME")]
    #[arg(add = crate::complete::limits())]
    names: Vec<String>,

    /// Enable the limits
    #[arg(long, overrides_with = "no_enable")]
    enable: bool,

    #[arg(long, hide = true)]
    no_enable: bool,

    /// Disable the limits: they grant everything
    #[arg(long, overrides_with = "no_disable")]
    disable: bool,

    #[arg(long, hide = true)]
    no_disable: bool,

    /// How many slots each has
    #[arg(long, short, value_name = "COUNT", allow_negative_numbers = true)]
    limit: Option<u64>,

    /// How many slots are taken
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    active_slots: Option<u64>,

    /// How many slots come back by themselves each second
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    #[arg(value_parser = not_negative)]
    slot_decay_per_second: Option<f64>,
}

/// Enable global concurrency limits.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold gcl enable database"))]
pub(crate) struct EnableArgs {
    /// Their names or ids
    #[arg(required = true, value_name = "NAME")]
    #[arg(add = crate::complete::limits())]
    names: Vec<String>,
}

/// Disable global concurrency limits: they grant everything until they are enabled.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold gcl disable database gpu"))]
pub(crate) struct DisableArgs {
    /// Their names or ids
    #[arg(required = true, value_name = "NAME")]
    #[arg(add = crate::complete::limits())]
    names: Vec<String>,
}

pub(super) async fn create(api: &Api, args: &CreateArgs) -> Result<ExitCode, Failure> {
    for_each(&args.names, async |name| {
        let new = NewLimit {
            name: name.to_owned(),
            limit: args.limit,
            active: !args.disable,
            active_slots: args.active_slots,
            slot_decay_per_second: args.slot_decay_per_second,
        };
        let created = api.create_limit(&new).await.map_err(|error| match error {
            Error::Conflict { .. } => Failure::new(
                Exit::No,
                format!(
                    "Global concurrency limit {} already exists. Please try creating with a \
                     different name.",
                    quoted(name)
                ),
            ),
            error => Failure::from(error).within("Error creating global concurrency limit"),
        })?;
        Ok(format!(
            "Created global concurrency limit with name {} and ID '{}'. Run `leasehold gcl \
             inspect {name}` to view details.",
            quoted(name),
            created.id
        ))
    })
    .await
}

pub(super) async fn update(api: &Api, args: &UpdateArgs) -> Result<ExitCode, Failure> {
    if args.enable && args.disable {
        let message = "Cannot enable and disable a global concurrency limit at the same time.";
        return Err(Failure::new(Exit::No, message));
    }
    let change = LimitChanges {
        name: None,
        active: (args.enable || args.disable).then_some(args.enable),
        limit: args.limit,
        active_slots: args.active_slots,
        slot_decay_per_second: args.slot_decay_per_second,
    };
    if change == LimitChanges::default() {
        return Err(Failure::new(Exit::No, "No update arguments provided."));
    }
    for_each(&args.names, async |name| {
        changed(api, name, &change).await?;
        Ok(format!("Updated global concurrency limit with name {}.", quoted(name)))
    })
    .await
}

async fn changed(api: &Api, name: &str, change: &LimitChanges) -> Result<(), Failure> {
    api.change_limit(name, change).await.map_err(|error| match error {
        Error::NotFound { .. } => not_found(name),
        error => Failure::from(error).within("Error updating global concurrency limit"),
    })
}

pub(super) async fn enable(api: &Api, args: &EnableArgs) -> Result<ExitCode, Failure> {
    for_each(&args.names, async |name| {
        switch(api, name, true).await?;
        Ok(format!("Enabled global concurrency limit with name {}.", quoted(name)))
    })
    .await
}

pub(super) async fn disable(api: &Api, args: &DisableArgs) -> Result<ExitCode, Failure> {
    for_each(&args.names, async |name| {
        switch(api, name, false).await?;
        Ok(format!("Disabled global concurrency limit with name {}.", quoted(name)))
    })
    .await
}

async fn switch(api: &Api, name: &str, active: bool) -> Result<(), Failure> {
    let limit = api.limit(name).await?.ok_or_else(|| not_found(name))?;
    if limit.active == active {
        let how = if active { "enabled" } else { "disabled" };
        let message =
            format!("Global concurrency limit with name {} is already {how}.", quoted(name));
        return Err(Failure::new(Exit::No, message));
    }
    changed(api, name, &LimitChanges { active: Some(active), ..LimitChanges::default() }).await
}
