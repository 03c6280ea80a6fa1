//! `leasehold doctor`: what a program on this machine finds when it uses the server, and what to do
//! about each thing that is wrong.

mod checks;

use std::process::ExitCode;

use serde::Serialize;

use crate::commands::api::Api;
use crate::commands::help;
use crate::commands::session::Session;
use crate::commands::view::{self, FormArg};
use crate::exit::{Exit, Failure};
use crate::output::{Page, Style};

/// Check what a program here finds: address, server, clock, journal, WebSockets, full limits.
///
/// Changes nothing. Each line that is not well says what to do.
#[derive(Debug, clap::Args)]
#[command(after_help = help("    0  all is well, or there are warnings alone
    1  something is wrong
   64  the command line is wrong
   78  a variable or a profile is wrong", "  leasehold doctor
  leasehold doctor --output json"))]
pub(crate) struct Args {
    #[command(flatten)]
    form: FormArg,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Check {
    about: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do next.
    advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Well,
    Warning,
    Wrong,
}

impl Check {
    fn well(about: &'static str, found: impl Into<String>) -> Self {
        Self { about, verdict: Verdict::Well, found: found.into(), advice: None }
    }

    fn warning(about: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { about, verdict: Verdict::Warning, found: found.into(), advice }
    }

    fn wrong(about: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = Some(advice.into());
        Self { about, verdict: Verdict::Wrong, found: found.into(), advice }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<ExitCode, Failure> {
    let api = Api::connect(session)?;
    let checks = checks::all(&api).await;
    view::page(args.form.form(), &checks, |page| print(page, &checks)).print();
    let is_well = checks.iter().all(|check| check.verdict != Verdict::Wrong);
    Ok(if is_well { ExitCode::SUCCESS } else { Exit::No.into() })
}

fn print(page: &mut Page, checks: &[Check]) {
    for check in checks {
        let (mark, style) = match check.verdict {
            Verdict::Well => ("ok", Style::Good),
            Verdict::Warning => ("warning", Style::Warning),
            Verdict::Wrong => ("wrong", Style::Strong),
        };
        page.marked(style, mark, &format!("{}: {}", check.about, check.found));
        if let Some(advice) = &check.advice {
            page.marked(Style::Plain, "", &format!("→ {advice}"));
        }
    }
}
