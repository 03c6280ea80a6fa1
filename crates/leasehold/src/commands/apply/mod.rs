//! `leasehold apply`, `diff` and `export`: limits as files.

mod carry_out;
mod export;
mod file;
mod plan;
mod read;

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

pub(crate) use self::export::Args as ExportArgs;
use self::plan::{Action, Step};
use crate::commands::api::Api;
use crate::commands::help;
use crate::commands::session::Session;
use crate::commands::view::{self, Form, FormArg};
use crate::exit::{Exit, Failure};
use crate::output::{self, Page, Style};

const EXIT_CODES: &str = "    0  the server has what the files say
    1  something could not be done, or is held and stays
    2  with --dry-run, and with diff: there is something to do
   64  the command line is wrong
   65  a file is wrong
   69  the server cannot be reached
   74  a file cannot be read
   77  the server refused the credentials
   78  a variable or a profile is wrong";

/// Bring a server's limits to what files say.
///
/// Shows a plan, then carries it out. What a file does not name stays, unless --prune is given. No
/// lease is revoked and no held slot freed: a limit that is held is not deleted. Applied again, it
/// changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold apply -f limits.yaml
  leasehold apply -f limits.yaml --prune --dry-run
  leasehold apply -f limits/ -f more.yaml --no-prompt
  leasehold export | leasehold apply -f -
  leasehold apply --schema > limits.schema.json

A file:
  limits:
    - name: database
      limit: 10
      comment: as many as the pool has connections
    - name: api
      limit: 100
      slot_decay_per_second: 5
    - tag: ocr
      limit: 3"))]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    files: Files,

    /// Show the plan, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Print the JSON Schema of the files, for editors
    #[arg(long, exclusive = true)]
    schema: bool,

    #[command(flatten)]
    form: FormArg,
}

/// Show what `leasehold apply` would do.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold diff -f limits.yaml
  leasehold diff -f limits/ --prune --output json"))]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    files: Files,

    #[command(flatten)]
    form: FormArg,
}

#[derive(Debug, clap::Args)]
struct Files {
    /// A file in YAML or JSON, a folder with such files, or - for the standard input
    #[arg(long = "file", short, value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Delete the limits that no file names, unless they are held
    #[arg(long)]
    prune: bool,
}

pub(crate) async fn apply(session: &Session, args: ApplyArgs) -> Result<ExitCode, Failure> {
    if args.schema {
        let mut page = Page::new();
        page.json(&file::schema());
        page.print();
        return Ok(ExitCode::SUCCESS);
    }
    go(session, &args.files, args.form.form(), args.dry_run).await
}

pub(crate) async fn diff(session: &Session, args: DiffArgs) -> Result<ExitCode, Failure> {
    go(session, &args.files, args.form.form(), true).await
}

pub(crate) async fn export(session: &Session, args: ExportArgs) -> Result<ExitCode, Failure> {
    export::run(&Api::connect(session)?, &args).await
}

/// What was, or is to be, done.
#[derive(Debug, Serialize)]
struct Outcome<'a> {
    is_dry_run: bool,
    steps: &'a [Step],
}

async fn go(
    session: &Session,
    files: &Files,
    form: Form,
    is_dry_run: bool,
) -> Result<ExitCode, Failure> {
    let wanted = read::all(&files.files)?;
    let api = Api::connect(session)?;
    let there = carry_out::there(&api).await?;
    let mut steps = plan::plan(&wanted, &there, files.prune);
    if form == Form::Table {
        print_plan(&steps);
    }
    let to_do = steps.iter().filter(|step| step.is_to_do()).count();
    if !is_dry_run && to_do > 0 {
        ask(session, files, &steps)?;
        carry_out::all(&api, &mut steps).await;
    }
    if form == Form::Table {
        print_outcome(&steps, is_dry_run);
    } else {
        view::page(form, &Outcome { is_dry_run, steps: &steps }, |_| {}).print();
    }
    let is_undone = steps.iter().any(|step| step.failure.is_some() || step.is_kept());
    Ok(match (is_dry_run, to_do, is_undone) {
        (true, 1.., _) => Exit::Pending.into(),
        (_, _, true) => Exit::No.into(),
        _ => ExitCode::SUCCESS,
    })
}

/// Asks before something is deleted.
fn ask(session: &Session, files: &Files, steps: &[Step]) -> Result<(), Failure> {
    let deleted = steps.iter().filter(|step| matches!(step.action, Action::Delete)).count();
    let question = match deleted {
        0 => return Ok(()),
        1 => "Delete one limit?".to_owned(),
        _ => format!("Delete {deleted} limits?"),
    };
    if !session.asks() {
        return Ok(());
    }
    if files.files.iter().any(|file| file.as_os_str() == "-") {
        let message = "the file came by the standard input, so nobody can be asked before limits \
                       are deleted; give --no-prompt";
        return Err(Failure::new(Exit::Usage, message));
    }
    if !output::confirm(&question) {
        return Err(Failure::new(Exit::No, "Nothing was changed."));
    }
    Ok(())
}

fn print_plan(steps: &[Step]) {
    let mut page = Page::new();
    for step in steps {
        let (mark, style) = match step.action {
            Action::Create(_) => ("create", Style::Good),
            Action::Change(_) => ("change", Style::Warning),
            Action::Delete => ("delete", Style::Strong),
            Action::Keep(_) => ("keep", Style::Warning),
            Action::None => continue,
        };
        page.marked(style, mark, &format!("{}: {}", step.title(), step.words()));
    }
    page.print();
}

fn print_outcome(steps: &[Step], is_dry_run: bool) {
    let mut page = Page::new();
    for step in steps {
        if let Some(failure) = &step.failure {
            page.marked(Style::Strong, "failed", &format!("{}: {failure}", step.title()));
        }
    }
    let count = |fits: fn(&Action) -> bool| {
        steps.iter().filter(|step| step.failure.is_none() && fits(&step.action)).count()
    };
    let created = count(|action| matches!(action, Action::Create(_)));
    let changed = count(|action| matches!(action, Action::Change(_)));
    let deleted = count(|action| matches!(action, Action::Delete));
    let same = count(|action| matches!(action, Action::None));
    let kept = count(|action| matches!(action, Action::Keep(_)));
    let kept = if kept == 0 { String::new() } else { format!(", {kept} kept because held") };
    page.line(&match is_dry_run {
        true => format!(
            "{created} to create, {changed} to change, {deleted} to delete, {same} as they should \
             be{kept}"
        ),
        false => format!(
            "{created} created, {changed} changed, {deleted} deleted, {same} as they should be{kept}"
        ),
    });
    page.print();
}
