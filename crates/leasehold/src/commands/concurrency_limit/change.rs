//! `leasehold concurrency-limit create`, `reset` and `delete`.

use std::process::ExitCode;

use leasehold_client::Error;

use super::{EXIT_CODES, not_found};
use crate::commands::api::Api;
use crate::commands::session::Session;
use crate::commands::{for_each, help};
use crate::exit::{Exit, Failure};
use crate::output::{self, quoted};

/// Create a concurrency limit against a tag, or change how many slots it has.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold concurrency-limit create ocr 3"))]
pub(crate) struct CreateArgs {
    /// The tag
    tag: String,

    /// How many task runs with the tag may run at once
    #[arg(allow_negative_numbers = true)]
    concurrency_limit: u64,
}

/// Free the slots of tags.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold concurrency-limit reset ocr"))]
pub(crate) struct ResetArgs {
    /// The tags
    #[arg(required = true, value_name = "TAG", add = crate::complete::tags())]
    tags: Vec<String>,
}

/// Delete the concurrency limits of tags.
///
/// Asks first on a terminal, unless --no-prompt is given.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold concurrency-limit delete ocr
  leasehold concurrency-limit delete ocr pdf --no-prompt"))]
pub(crate) struct DeleteArgs {
    /// The tags
    #[arg(required = true, value_name = "TAG", add = crate::complete::tags())]
    tags: Vec<String>,
}

pub(super) async fn create(api: &Api, args: &CreateArgs) -> Result<ExitCode, Failure> {
    api.set_tag_limit(&args.tag, args.concurrency_limit).await?;
    let tag = quoted(&args.tag);
    output::line("");
    output::line("Created concurrency limit with properties:");
    output::line(&format!("    tag - {tag}"));
    output::line(&format!("    concurrency_limit - {}", args.concurrency_limit));
    for (what, command) in [("Delete", "delete"), ("Inspect", "inspect")] {
        output::line("");
        output::line(&format!("{what} the concurrency limit:"));
        output::line(&format!("    leasehold concurrency-limit {command} {tag}"));
    }
    output::line("");
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn reset(api: &Api, args: &ResetArgs) -> Result<ExitCode, Failure> {
    for_each(&args.tags, async |tag| {
        api.reset_tag_limit(tag).await.map_err(|error| in_words(error, tag))?;
        Ok(format!("Reset concurrency limit set on the tag: {tag}"))
    })
    .await
}

pub(super) async fn delete(
    api: &Api,
    session: &Session,
    args: &DeleteArgs,
) -> Result<ExitCode, Failure> {
    for_each(&args.tags, async |tag| {
        let question =
            format!("Are you sure you want to delete concurrency limit with tag {}?", quoted(tag));
        if session.asks() && !output::confirm(&question) {
            return Err(Failure::new(Exit::No, "Deletion aborted."));
        }
        api.delete_tag_limit(tag).await.map_err(|error| in_words(error, tag))?;
        Ok(format!("Deleted concurrency limit set on the tag: {tag}"))
    })
    .await
}

fn in_words(error: Error, tag: &str) -> Failure {
    match error {
        Error::NotFound { .. } => not_found(tag),
        error => Failure::from(error),
    }
}
