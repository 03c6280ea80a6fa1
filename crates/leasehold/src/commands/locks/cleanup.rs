//! `leasehold redis locks cleanup`: a TTL for the dead old keys, and back.

use std::path::PathBuf;
use std::process::ExitCode;

use leasehold_redis::{CleanupOptions, CleanupReport};

use super::Where;
use crate::commands::help;
use crate::commands::scan_files::{
    Deadlines, EXIT_CODES, LogFile, failure_of, stop_on_ctrl_c, undo_from,
};
use crate::exit::{Failure, or_json};
use crate::output;

/// Give the dead old locks a TTL, or put them back as they were.
///
/// Old locks have no TTL, so that dead ones stay in Redis for ever. A live lock is left alone. What
/// is changed is in the log before it is changed; --undo puts it back from there.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "\
  leasehold redis locks cleanup --redis redis://localhost --dry-run
  leasehold redis locks cleanup --redis redis://localhost --ttl 10m --file cleanup.log
  leasehold redis locks cleanup --redis redis://localhost --undo cleanup.log"))]
pub(crate) struct Args {
    #[command(flatten)]
    place: Where,

    /// How long the keys stay, which is the time to undo it
    #[arg(long, default_value = "5m", value_parser = crate::duration::parse_key_ttl)]
    ttl: u32,

    /// The log
    #[arg(long, default_value = "leasehold-cleanup.log", value_name = "FILE")]
    file: PathBuf,

    /// Live locks too. When the key of a held lock expires, the lock protects nothing
    #[arg(long)]
    force: bool,

    /// Change nothing; only report
    #[arg(long)]
    dry_run: bool,

    /// Put back what this log says was changed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["force", "dry_run", "file", "ttl"])]
    undo: Option<PathBuf>,

    /// One JSON object at the end
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let json = args.json;
    or_json(json, clean(args).await)
}

async fn clean(args: Args) -> Result<ExitCode, Failure> {
    let place = args.place.connect().await?;
    if let Some(path) = &args.undo {
        return undo_from(&place.redis, path, args.json).await;
    }
    if args.force {
        output::say("forced: when the key of a held lock expires, the lock protects nothing");
    }
    let options = CleanupOptions {
        ttl_seconds: args.ttl,
        force: args.force,
        dry_run: args.dry_run,
        pace: place.pace,
    };
    let stop = stop_on_ctrl_c();
    let mut log = LogFile::create(&args.file, Deadlines::None)?;
    let report =
        leasehold_redis::cleanup(&place.redis, &place.keys, &options, &mut log, |so_far| {
            output::progress(&format!(
                "{} keys given a TTL, {} alive",
                so_far.changed, so_far.alive
            ));
            !stop.load(std::sync::atomic::Ordering::Relaxed)
        })
        .await;
    output::progress_end();
    let report = report.map_err(|error| {
        let so_far = format!("; what was changed is in {}", args.file.display());
        failure_of(error, &args.file, &so_far)
    })?;
    print(&args, &report);
    Ok(ExitCode::from(if report.interrupted { 130 } else { 0 }))
}

fn print(args: &Args, report: &CleanupReport) {
    if args.json {
        output::json(report);
        return;
    }
    let would = if args.dry_run { "would get" } else { "got" };
    output::line(&format!("{} dead old keys {would} a TTL of {} s", report.changed, args.ttl));
    for (count, what) in [
        (report.alive, "left alone: their locks are held"),
        (report.had_ttl, "left alone: they have a TTL already"),
        (report.foreign, "left alone: they are no strings"),
    ] {
        if count > 0 {
            output::line(&format!("{count} {what}"));
        }
    }
    if report.interrupted {
        output::line("ended before the last key");
    }
    if report.changed > 0 && !args.dry_run {
        output::line(&format!(
            "undo within {} s: leasehold redis locks cleanup --undo {}",
            args.ttl,
            args.file.display()
        ));
    }
}
