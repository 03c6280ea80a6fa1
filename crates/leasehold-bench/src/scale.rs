//! A million live leases: what they cost in memory, in speed and at a restart, and what happens
//! when a hundred thousand more end at once.

use std::time::{Duration, Instant};

use anyhow::{anyhow, ensure};
use serde::Serialize;

use crate::bulk;
use crate::client::{ACQUIRE, acquire_for};
use crate::load::{self, Figure, Rounds};
use crate::report::{Report, Target, progress};
use crate::systems::{Server, leasehold_with};
use crate::table::{Table, fine, whole};

/// Allows leases shorter than Prefect's minute, so that some end during the measurement.
const OPTIONS: &[&str] = &["--lease-seconds-min", "1"];
/// A day: these leases do not end.
const LASTING_SECONDS: f64 = 86_400.0;
/// How many limits have the leases that end at once.
const ENDING_LIMITS: usize = 10;
/// How long requests go on before and after the end of many leases.
const AROUND: Duration = Duration::from_secs(2);
/// How many connections go on while many leases end.
const GOING_ON: usize = 8;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many leases are live.
    #[arg(long, default_value_t = 1_000_000)]
    leases: usize,
    /// On how many limits.
    #[arg(long, default_value_t = 10_000)]
    limits: usize,
    /// How many more end at once.
    #[arg(long, default_value_t = 100_000)]
    ending: usize,
    /// How many connections, each with one request at a time.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    #[command(flatten)]
    rounds: Rounds,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Scale {
    leases: usize,
    limits: usize,
    /// How fast they were created, through the API.
    made_per_second: f64,
    memory_bytes: u64,
    memory_bytes_per_lease: f64,
    empty: Figure,
    loaded: Figure,
    /// From the start of the process to its first answer.
    restart_seconds: f64,
    ending: usize,
    /// From their common deadline until all slots were free.
    back_seconds: f64,
    /// The requests that went on meanwhile.
    meanwhile: Figure,
}

pub(crate) async fn measure(args: &Args) -> anyhow::Result<Scale> {
    ensure!(args.leases > 0 && args.limits > 0, "--leases and --limits must be at least 1");
    let empty = leasehold_with(OPTIONS).await?;
    let server = leasehold_with(OPTIONS).await?;
    empty.prepare().await?;
    server.prepare().await?;
    let (limits, per_limit) = (args.limits, args.leases.div_ceil(args.limits));
    bulk::create_limits(&server, limits, per_limit as u64, name_of).await?;
    let before = server.process.memory_bytes()?;
    progress(format_args!("making {} leases", args.leases));
    let start = Instant::now();
    let body = move |index| acquire_for(&name_of(index % limits), LASTING_SECONDS);
    bulk::post(&server, ACQUIRE, args.leases, body).await?;
    let made_per_second = args.leases as f64 / start.elapsed().as_secs_f64();
    let memory_bytes = server.process.memory_bytes()?;

    let named = [("empty".to_owned(), &empty), ("with them".to_owned(), &server)];
    let figures = load::in_turn(&named, args.connections, &args.rounds).await?;
    let [empty_figure, loaded_figure] =
        figures.try_into().map_err(|_| anyhow!("two servers have two figures"))?;
    drop(empty);
    let (server, restart_seconds) = restarted(server, args).await?;
    let (back_seconds, meanwhile) = end_at_once(&server, args.ending, made_per_second).await?;
    Ok(Scale {
        leases: args.leases,
        limits,
        made_per_second,
        memory_bytes,
        memory_bytes_per_lease: memory_bytes.saturating_sub(before) as f64 / args.leases as f64,
        empty: empty_figure,
        loaded: loaded_figure,
        restart_seconds,
        ending: args.ending,
        back_seconds,
        meanwhile,
    })
}

fn name_of(index: usize) -> String {
    format!("limit-{index}")
}

fn name_of_ending(index: usize) -> String {
    format!("ending-{index}")
}

async fn restarted(server: Server, args: &Args) -> anyhow::Result<(Server, f64)> {
    progress(format_args!("a restart"));
    let (server, restart_seconds) = server.restart(OPTIONS).await?;
    let held = server.client().await?.active_slots(&name_of(0)).await? as usize;
    let expected = args.leases.div_ceil(args.limits);
    ensure!(held == expected, "after the restart {held} leases live of {expected}");
    Ok((server, restart_seconds))
}

/// Creates leases that all end at one moment. Returns how long after it all slots were free, and
/// the figure of other requests around it.
async fn end_at_once(
    server: &Server,
    count: usize,
    made_per_second: f64,
) -> anyhow::Result<(f64, Figure)> {
    bulk::create_limits(server, ENDING_LIMITS, count as u64, name_of_ending).await?;
    // Twice the time that creating them should take.
    let making = Duration::from_secs_f64(2.0 * count as f64 / made_per_second);
    let due = Instant::now() + making + 2 * AROUND;
    progress(format_args!("making {count} leases that end together"));
    let body = move |index| {
        let left = due.saturating_duration_since(Instant::now()).as_secs_f64();
        acquire_for(&name_of_ending(index % ENDING_LIMITS), left)
    };
    bulk::post(server, ACQUIRE, count, body).await?;
    let begin = due - AROUND;
    ensure!(Instant::now() < begin, "the leases took too long to make; choose a smaller --ending");
    tokio::time::sleep_until((begin - load::WARM_UP).into()).await;
    progress(format_args!("they end"));
    let seconds = (2 * AROUND).as_secs_f64();
    let (meanwhile, back) =
        tokio::join!(load::cycles(server, GOING_ON, seconds), all_back(server, due));
    Ok((back?, meanwhile?))
}

/// Waits until no slot of the leases that end is held. Returns the seconds after `due`.
async fn all_back(server: &Server, due: Instant) -> anyhow::Result<f64> {
    let mut client = server.client().await?;
    let held = client.active_slots(&name_of_ending(0)).await?;
    ensure!(held > 0, "leases ended before they were due");
    tokio::time::sleep_until(due.into()).await;
    for index in 0..ENDING_LIMITS {
        while client.active_slots(&name_of_ending(index)).await? > 0 {
            ensure!(due.elapsed() < Duration::from_secs(60), "slots are held a minute too long");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    Ok(due.elapsed().as_secs_f64())
}

impl Scale {
    fn kept(&self) -> f64 {
        self.loaded.cycles_per_second / self.empty.cycles_per_second
    }
}

impl Report for Scale {
    fn tables(&self) -> Vec<Table> {
        let title = format!(
            "Scale: {} leases on {} limits",
            whole(self.leases as f64),
            whole(self.limits as f64)
        );
        let mut table = Table::new(title, &["figure", "measured"]);
        let mut row = |what: &str, figure: String| table.row([what.to_owned(), figure]);
        row("memory of a lease, bytes", whole(self.memory_bytes_per_lease));
        row("memory of the server, MiB", whole(self.memory_bytes as f64 / 1024.0 / 1024.0));
        row("leases made per second", whole(self.made_per_second));
        row("cycles/s, empty server", whole(self.empty.cycles_per_second));
        row("cycles/s, with these leases", whole(self.loaded.cycles_per_second));
        row("restart, s", fine(self.restart_seconds));
        let ending = whole(self.ending as f64);
        row(&format!("{ending} end at once: all slots back, s"), fine(self.back_seconds));
        row("longest request meanwhile, ms", fine(self.meanwhile.max_ms));
        row("p99 meanwhile, ms", fine(self.meanwhile.p99_ms));
        vec![table]
    }

    fn targets(&self) -> Vec<Target> {
        let (leases, ending) = (whole(self.leases as f64), whole(self.ending as f64));
        vec![
            Target::at_least(format!("cycles with {leases} leases, to empty"), self.kept(), 0.8),
            Target::at_most("restart with them, s", self.restart_seconds, 5.0),
            Target::at_most(format!("{ending} ended: slots back, s"), self.back_seconds, 1.0),
            Target::at_most("longest request then, ms", self.meanwhile.max_ms, 100.0),
        ]
    }
}
