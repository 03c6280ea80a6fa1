//! `leasehold migrate prefect advance`, `rollback` and `drop-phantoms`.

use std::process::ExitCode;

use leasehold_api::migration::{MigrationPhase, MoveLimits, MoveOutcome, MovedLimit, Moves};

use super::EXIT_CODES;
use super::status::{look, no_upstream, phase};
use crate::commands::api::Api;
use crate::commands::help;
use crate::commands::session::Session;
use crate::commands::view::{self, FormArg};
use crate::commands::who::{counted, slots};
use crate::exit::{Exit, Failure};
use crate::output::{self, Page, Style};

/// Take limits over from the Prefect server: upstream, draining, leasehold.
///
/// Their acquires are held for a moment; nobody else notices. What Prefect still counts is held
/// here until it is given back there. Limits that are asked for together move together.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold migrate prefect advance database --dry-run
  leasehold migrate prefect advance database --watch
  leasehold migrate prefect advance"))]
pub(crate) struct AdvanceArgs {
    #[command(flatten)]
    moving: Moving,
}

/// Give limits back to the Prefect server: leasehold, returning, upstream.
///
/// Prefect's count gets what is held here, then Prefect grants again. Leases that are held here go
/// on here.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold migrate prefect rollback database
  leasehold migrate prefect rollback --watch"))]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    moving: Moving,
}

#[derive(Debug, clap::Args)]
struct Moving {
    /// The limits; without it all that can move
    #[arg(value_name = "LIMIT", add = crate::complete::limits())]
    limits: Vec<String>,

    /// Move no limit but these, even if they are asked for together with others
    #[arg(long, requires = "limits")]
    alone: bool,

    /// Say what would happen, and change nothing
    #[arg(long)]
    dry_run: bool,

    /// Wait until they have arrived, and show how they get on
    #[arg(long, conflicts_with = "dry_run")]
    watch: bool,

    #[command(flatten)]
    form: FormArg,
}

/// Drop slots that Prefect counts and nobody holds.
///
/// A slot is a phantom if no lease has explained it for longer than the longest lease seen.
/// Asks first on a terminal, unless --no-prompt is given. With --force, each slot that no lease
/// explains is dropped, however young: a holder that was not seen then loses its place, and there
/// may be more holders than slots.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "  leasehold migrate prefect drop-phantoms --dry-run
  leasehold migrate prefect drop-phantoms database --no-prompt"))]
pub(crate) struct DropArgs {
    /// The limits; all of them without it
    #[arg(value_name = "LIMIT", add = crate::complete::limits())]
    limits: Vec<String>,

    /// Drop each slot that no lease explains
    #[arg(long)]
    force: bool,

    /// Say what would be dropped, and change nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    form: FormArg,
}

pub(super) async fn advance(session: &Session, args: AdvanceArgs) -> Result<ExitCode, Failure> {
    go(session, args.moving, "advance", MigrationPhase::Leasehold).await
}

pub(super) async fn roll_back(session: &Session, args: RollbackArgs) -> Result<ExitCode, Failure> {
    go(session, args.moving, "rollback", MigrationPhase::Upstream).await
}

async fn go(
    session: &Session,
    moving: Moving,
    way: &str,
    end: MigrationPhase,
) -> Result<ExitCode, Failure> {
    let api = Api::connect(session)?;
    let wanted = MoveLimits {
        limits: (!moving.limits.is_empty()).then_some(moving.limits),
        alone: moving.alone,
        force: false,
        dry_run: moving.dry_run,
    };
    let moves = send(&api, way, &wanted).await?;
    show(&moving.form, &moves, moving.dry_run);
    let exit = exit(&moves, moving.dry_run);
    let moved: Vec<_> = moves.limits.into_iter().filter(|limit| !is_refused(limit)).collect();
    if moving.watch && !moved.is_empty() {
        let names: Vec<_> = moved.into_iter().map(|limit| limit.name).collect();
        return arrive(&api, &names, end, exit).await;
    }
    Ok(exit)
}

async fn send(api: &Api, way: &str, wanted: &MoveLimits) -> Result<Moves, Failure> {
    let path = format!("/leasehold/migration/{way}");
    api.client().post(&path, wanted).await.map_err(|error| no_upstream(api, error))
}

pub(super) async fn drop(session: &Session, args: DropArgs) -> Result<ExitCode, Failure> {
    let api = Api::connect(session)?;
    let mut wanted = MoveLimits {
        limits: (!args.limits.is_empty()).then_some(args.limits),
        alone: true,
        force: args.force,
        dry_run: true,
    };
    if args.dry_run || session.asks() {
        let moves = send(&api, "drop-phantoms", &wanted).await?;
        if args.dry_run {
            show(&args.form, &moves, true);
            return Ok(exit(&moves, true));
        }
        let count: u64 = moves.limits.iter().map(|limit| limit.dropped).sum();
        show(&args.form, &moves, true);
        if count == 0 {
            return Ok(exit(&moves, false));
        }
        if !output::confirm(&format!("Drop {}?", slots(count))) {
            return Err(Failure::new(Exit::No, "Nothing was dropped."));
        }
    }
    if args.force {
        output::say("forced: a holder that was not seen loses its place, and may still be at work");
    }
    wanted.dry_run = false;
    let moves = send(&api, "drop-phantoms", &wanted).await?;
    show(&args.form, &moves, false);
    Ok(exit(&moves, false))
}

fn is_refused(limit: &MovedLimit) -> bool {
    limit.outcome == MoveOutcome::Refused
}

fn exit(moves: &Moves, is_dry_run: bool) -> ExitCode {
    let is_moved = |limit: &MovedLimit| limit.outcome == MoveOutcome::Moved;
    if is_dry_run && moves.limits.iter().any(is_moved) {
        Exit::Pending.into()
    } else if moves.limits.iter().any(is_refused) {
        Exit::No.into()
    } else {
        ExitCode::SUCCESS
    }
}

fn show(form: &FormArg, moves: &Moves, is_dry_run: bool) {
    view::page(form.form(), moves, |page| {
        for limit in &moves.limits {
            words(page, limit, is_dry_run);
        }
        if moves.limits.is_empty() {
            page.line("There is nothing to do.");
        }
    })
    .print();
}

fn words(page: &mut Page, limit: &MovedLimit, is_dry_run: bool) {
    let (mark, style) = match (limit.outcome, is_dry_run) {
        (MoveOutcome::Moved, false) => ("done", Style::Good),
        (MoveOutcome::Moved, true) => ("would", Style::Good),
        (MoveOutcome::Unchanged, _) => ("same", Style::Plain),
        (MoveOutcome::Refused, _) => ("stays", Style::Warning),
    };
    let path = if limit.before == limit.now {
        phase(limit.now).to_owned()
    } else {
        format!("{} → {}", phase(limit.before), phase(limit.now))
    };
    let dropped = match limit.dropped {
        0 => String::new(),
        dropped => format!(", {} dropped", slots(dropped)),
    };
    let why = limit.message.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    page.marked(style, mark, &format!("{}: {path}{dropped}{why}", limit.name));
}

/// Waits until limits are in their last phase.
async fn arrive(
    api: &Api,
    names: &[String],
    end: MigrationPhase,
    exit: ExitCode,
) -> Result<ExitCode, Failure> {
    loop {
        let migration = look(api, names).await?;
        let on_the_way: Vec<_> =
            migration.limits.iter().filter(|limit| limit.phase != end).collect();
        let Some(first) = on_the_way.first() else {
            output::progress_end();
            let count = counted(names.len() as u64, "limit");
            output::line(&format!("{count} arrived: {}", phase(end)));
            return Ok(exit);
        };
        let left = match first.phase {
            MigrationPhase::Returning => format!("{} held here", slots(first.held_here)),
            _ => format!("{} held upstream", slots(first.foreign)),
        };
        output::progress(&format!("{} on the way; {}: {left}", on_the_way.len(), first.name));
        tokio::select! {
            () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
            _ = tokio::signal::ctrl_c() => {
                output::progress_end();
                return Ok(Exit::Interrupted.into());
            }
        }
    }
}
