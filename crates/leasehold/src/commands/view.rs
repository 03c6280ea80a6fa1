//! How a command shows what it read: as a table, JSON or YAML, once or again and again.

use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::duration;
use crate::exit::{Exit, Failure};
use crate::output::{self, Page};

/// Which form an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

#[derive(Debug, clap::Args)]
pub(crate) struct FormArg {
    /// The form of the answer: table, json or yaml
    #[arg(long, short, value_enum, ignore_case = true)]
    #[arg(hide_possible_values = true, value_name = "FORM")]
    pub(crate) output: Option<Form>,
}

impl FormArg {
    pub(crate) fn form(&self) -> Form {
        self.output.unwrap_or(Form::Table)
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct WatchArg {
    /// Show it again every two seconds, or as often as this says, until Ctrl-C
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "2s", value_parser = duration::parse_positive)]
    watch: Option<Duration>,
}

/// A page with a value, in the form that was asked for.
pub(crate) fn page(form: Form, value: &impl Serialize, table: impl FnOnce(&mut Page)) -> Page {
    let mut page = Page::new();
    match form {
        Form::Table => table(&mut page),
        Form::Json => page.json(value),
        Form::Yaml => page.yaml(value),
    }
    page
}

impl WatchArg {
    /// Prints what `look` answers; with `--watch` again and again. A look that fails then is said,
    /// and the next one may succeed.
    pub(crate) async fn show(
        &self,
        mut look: impl AsyncFnMut() -> Result<Page, Failure>,
    ) -> Result<ExitCode, Failure> {
        let page = look().await?;
        let Some(interval) = self.watch else {
            page.print();
            return Ok(ExitCode::SUCCESS);
        };
        page.redraw();
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                _ = tokio::signal::ctrl_c() => return Ok(Exit::Interrupted.into()),
            }
            match look().await {
                Ok(page) => page.redraw(),
                // What was seen last stays on the terminal, above what went wrong since.
                Err(failure) => output::say(&failure.to_string()),
            }
        }
    }
}
