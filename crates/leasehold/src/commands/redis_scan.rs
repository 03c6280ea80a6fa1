//! `leasehold redis scan`: what is in a Redis, and TTLs given or taken by pattern.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use leasehold_redis::{Address, Pace, ScanLine, ScanOptions, ScanProgress, ScanSummary, TypeTotal};

use crate::commands::help;
use crate::commands::redis_flags::{RedisFile, connect, count_parser};
use crate::commands::scan_files::{
    Deadlines, EXIT_CODES, LogFile, failure_of, stop_on_ctrl_c, undo_from,
};
use crate::exit::{Exit, Failure, or_json};
use crate::output::{self, Paint, Style};

/// Scan the keys of a Redis: types, TTLs and sizes; set or take TTLs.
///
/// Writes a line for each key to the log: name, type, TTL, new TTL, size (length of a string,
/// number of members of anything else). The new TTL is None where it was left alone. Takes the
/// flags of TaskTiger's redis_scan.py.
#[derive(Debug, clap::Args)]
#[command(after_help = help(EXIT_CODES, "\
  leasehold redis scan --host localhost
  leasehold redis scan --url redis://localhost/2 --match 't:lock:*' --print
  leasehold redis scan --host localhost --match 't:lock:*' --ttl 300 --dry-run
  leasehold redis scan --host localhost --match 't:lock:*' --ttl 300
  leasehold redis scan --host localhost --undo redis-stats.log"))]
pub(crate) struct Args {
    /// Host of the Redis
    #[arg(long)]
    host: Option<String>,

    /// Port of the Redis
    #[arg(long, default_value_t = 6379)]
    port: u16,

    /// Number of the database
    #[arg(long, default_value_t = 0)]
    db: i64,

    /// Address of the Redis instead of host, port and db; with user, password and TLS
    #[arg(long, env = crate::argv::REDIS, hide_env_values = true)]
    url: Option<String>,

    #[command(flatten)]
    address_file: RedisFile,

    /// Print the lines too
    #[arg(long)]
    print: bool,

    /// Only keys that match this pattern, such as 't:lock:*'; all keys without it
    #[arg(long = "match", value_name = "PATTERN")]
    pattern: Option<String>,

    /// A TTL for keys that have none, such as 300 or 5m; -1 takes TTLs away. Needs --match
    #[arg(long, allow_negative_numbers = true)]
    #[arg(value_parser = crate::duration::parse_key_ttl_or_none)]
    ttl: Option<i64>,

    /// The log
    #[arg(long, default_value = "redis-stats.log")]
    file: PathBuf,

    /// Pause between two SCAN calls
    #[arg(long, default_value = "100ms", value_parser = crate::duration::parse)]
    delay: Duration,

    /// How many keys Redis looks at in one SCAN call
    #[arg(long, default_value_t = 1_000, value_parser = count_parser())]
    count: usize,

    /// Change nothing; only report
    #[arg(long)]
    dry_run: bool,

    /// Put back what this log says was changed
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ttl", "pattern", "dry_run"])]
    undo: Option<PathBuf>,

    /// The summary as one JSON object
    #[arg(long)]
    json: bool,
}

impl Args {
    fn address(&self) -> Result<Address, Failure> {
        // The host that is typed wins over the address in the environment.
        if let Some(host) = &self.host {
            return Address::server(host, self.port, self.db)
                .map_err(|error| Failure::new(Exit::Usage, error.to_string()));
        }
        self.address_file.address("url", self.url.as_deref())?.ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                "which Redis? give --host, --url or --redis-file, or set LEASEHOLD_REDIS",
            )
        })
    }
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let json = args.json;
    or_json(json, scan(args).await)
}

async fn scan(args: Args) -> Result<ExitCode, Failure> {
    if args.ttl.is_some() && args.pattern.is_none() {
        let message =
            "--ttl needs --match, so that not every key gets a TTL; --match '*' if that is meant";
        return Err(Failure::new(Exit::Usage, message));
    }
    let address = args.address()?;
    let redis = connect(&address).await?;
    if let Some(path) = &args.undo {
        return undo_from(&redis, path, args.json).await;
    }
    let options = ScanOptions {
        pattern: args.pattern.clone(),
        ttl: args.ttl,
        pace: Pace { pause: args.delay, count: args.count },
        dry_run: args.dry_run,
    };
    let mut progress = Progress {
        log: LogFile::create(&args.file, Deadlines::Beside)?,
        printed: args.print.then(|| BufWriter::new(io::stdout())),
        stop: stop_on_ctrl_c(),
        started: Instant::now(),
    };
    if !args.json {
        let what = args
            .pattern
            .as_ref()
            .map_or("all keys".to_owned(), |pattern| format!("keys matching {pattern}"));
        output::say(&format!("scanning {what} of {address}"));
    }
    let summary = leasehold_redis::scan(&redis, &options, &mut progress).await;
    output::progress_end();
    let summary = summary.map_err(|error| {
        let so_far = format!("; what was changed is in {}", args.file.display());
        failure_of(error, &args.file, &so_far)
    })?;
    if args.json {
        output::json(&summary);
    } else {
        print(&args, &summary, progress.started.elapsed());
    }
    Ok(ExitCode::from(if summary.interrupted { 130 } else { 0 }))
}

struct Progress {
    log: LogFile,
    printed: Option<BufWriter<io::Stdout>>,
    stop: Arc<AtomicBool>,
    started: Instant,
}

impl ScanProgress for Progress {
    fn key(&mut self, line: &ScanLine, expires_at_ms: Option<i64>) -> io::Result<()> {
        if let Some(printed) = &mut self.printed {
            writeln!(printed, "{}", output::plain(&line.to_string()))?;
        }
        self.log.line(line, expires_at_ms)
    }

    fn batch(&mut self, so_far: &ScanSummary) -> io::Result<bool> {
        self.log.flush()?;
        if let Some(printed) = &mut self.printed {
            printed.flush()?;
        } else {
            let seconds = self.started.elapsed().as_secs();
            output::progress(&format!(
                "{} keys, {} changed, {seconds} s",
                so_far.keys, so_far.changed
            ));
        }
        Ok(!self.stop.load(Ordering::Relaxed))
    }
}

fn print(args: &Args, summary: &ScanSummary, took: Duration) {
    let paint = Paint::detect();
    table("type", &summary.by_type, paint);
    table("prefix", &summary.by_prefix, paint);
    let changed = if args.dry_run { "would be changed" } else { "changed" };
    let took = crate::duration::show(took);
    output::line(&format!(
        "{} keys in {took}, {} {changed}; the log is {}",
        summary.keys,
        summary.changed,
        args.file.display()
    ));
    if summary.interrupted {
        output::line("ended by Ctrl-C before the last key");
    }
    if summary.changed > 0 && !args.dry_run {
        output::line(&format!("undo: leasehold redis scan … --undo {}", args.file.display()));
    }
}

const ROWS_MAX: usize = 20;

fn table(name: &str, totals: &BTreeMap<String, TypeTotal>, paint: Paint) {
    if totals.is_empty() {
        return;
    }
    let head = format!("{:>12}  {:>14}  {name}", "keys", "size");
    paint.line(&[(Style::Strong, &head)]);
    let mut rows: Vec<_> = totals.iter().collect();
    rows.sort_by_key(|(name, total)| (std::cmp::Reverse(total.keys), name.as_str()));
    for (name, total) in rows.iter().take(ROWS_MAX) {
        output::line(&format!("{:>12}  {:>14}  {name}", total.keys, total.size));
    }
    if rows.len() > ROWS_MAX {
        output::line(&format!("{:>12}  {:>14}  in {} more", "", "", rows.len() - ROWS_MAX));
    }
    output::line("");
}
