//! `leasehold export`.

use std::process::ExitCode;

use super::carry_out::there;
use super::file::{Entry, File, TAG};
use super::plan::is_managed;
use crate::commands::api::Api;
use crate::commands::help;
use crate::commands::view::{Form, FormArg};
use crate::exit::Failure;
use crate::output::Page;

/// Print a server's limits as a file for `leasehold apply`.
#[derive(Debug, clap::Args)]
#[command(after_help = help("    0  done
   64  the command line is wrong
   69  the server cannot be reached
   77  the server refused the credentials
   78  a variable or a profile is wrong", "  leasehold export > limits.yaml
  leasehold export --output json"))]
pub(crate) struct Args {
    #[command(flatten)]
    form: FormArg,
}

pub(super) async fn run(api: &Api, args: &Args) -> Result<ExitCode, Failure> {
    let limits = there(api).await?;
    let limits = limits.into_iter().filter(|(name, _)| is_managed(name)).map(|(name, there)| {
        let tag = name.strip_prefix(TAG).map(str::to_owned);
        let is_global = tag.is_none();
        Entry {
            name: is_global.then_some(name),
            tag,
            limit: there.limit,
            slot_decay_per_second: there.slot_decay_per_second,
            // The limit of a tag is switched off by another API, which a file does not know.
            active: there.active || !is_global,
            comment: None,
        }
    });
    let file = File { limits: limits.collect() };
    let mut page = Page::new();
    match args.form.form() {
        Form::Json => page.json(&file),
        Form::Table | Form::Yaml => page.yaml(&file),
    }
    page.print();
    Ok(ExitCode::SUCCESS)
}
