//! Locks and semaphores on Redis: pairs of acquire and release of leasehold-redis, compared with
//! those of redis-py and TaskTiger on the same server.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use leasehold_redis::{Keys, Lock, Mechanism, Redis, Semaphore};
use serde::Serialize;
use tokio::process::Command;

use crate::process::python;
use crate::report::{Report, Target, progress};
use crate::systems::System;
use crate::table::{Table, fine, whole};

const PROGRAM: &str = include_str!("../programs/redis_locks.py");

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each is measured, in seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct LockPairs {
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    what: &'static str,
    pairs_per_second: f64,
    /// The ratio to the peer above it; 1 for the peer itself.
    ratio: f64,
}

pub(crate) async fn measure(args: &Args) -> anyhow::Result<LockPairs> {
    let server = System::RedisLock.start().await?;
    let redis = Redis::connect(&format!("redis://{}", server.host()).parse()?).await?;
    let length = Duration::from_secs_f64(args.seconds);
    let peer = |what, venv, packages| peer(server.port(), args.seconds, what, venv, packages);
    let mut found = LockPairs { rows: Vec::new() };

    let theirs = peer("redis-py", "tasktiger-0.26", "tasktiger==0.26.3 redis").await?;
    found.row("redis-py, Lock", theirs, theirs);
    for (what, mechanism, tasks) in [
        ("token lock", Mechanism::Token, 1),
        ("token lock, 32 at a time", Mechanism::Token, 32),
        ("dual lock, which has no peer", Mechanism::Dual, 1),
    ] {
        found.row(what, locks(&redis, mechanism, tasks, length).await?, theirs);
    }
    let theirs = peer("old", "tasktiger-0.12", "tasktiger==0.12 'redis<4'").await?;
    found.row("TaskTiger 0.12, Lock", theirs, theirs);
    found.row("old lock", locks(&redis, Mechanism::Old, 1, length).await?, theirs);
    let theirs = peer("semaphore", "tasktiger-0.26", "tasktiger==0.26.3 redis").await?;
    found.row("TaskTiger 0.26, Semaphore", theirs, theirs);
    let semaphore = Semaphore::new(&redis, &Keys::default(), "bench", "ours", 5);
    let pairs = pairs(length, || async {
        let granted = semaphore.try_acquire().await?;
        let (guard, _) = granted.ok().context("the semaphore is full")?;
        Ok(guard.release().await?)
    });
    found.row("semaphore", f64::from(pairs.await?) / args.seconds, theirs);
    Ok(found)
}

/// Pairs per second of `tasks` tasks, each with a lock of its own.
async fn locks(
    redis: &Redis,
    mechanism: Mechanism,
    tasks: usize,
    length: Duration,
) -> anyhow::Result<f64> {
    progress(format_args!("{mechanism} locks, {tasks} at a time"));
    let mut running = Vec::new();
    for task in 0..tasks {
        let lock = Lock::new(redis, format!("bench{task}"), mechanism);
        running.push(tokio::spawn(async move {
            pairs(length, || async {
                let guard = lock.try_acquire().await?.context("the lock is held")?;
                Ok(guard.release().await?)
            })
            .await
        }));
    }
    let mut sum = 0;
    for task in running {
        sum += task.await??;
    }
    Ok(f64::from(sum) / length.as_secs_f64())
}

/// How often `pair` runs within `length`.
async fn pairs<F: Future<Output = anyhow::Result<()>>>(
    length: Duration,
    pair: impl Fn() -> F,
) -> anyhow::Result<u32> {
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < length {
        pair().await?;
        count += 1;
    }
    Ok(count)
}

/// Pairs per second of a real peer, in a process of its own.
async fn peer(
    port: u16,
    seconds: f64,
    what: &str,
    venv: &str,
    packages: &str,
) -> anyhow::Result<f64> {
    progress(format_args!("{what} of {venv}"));
    let output = Command::new(python(venv, venv, packages)?)
        .args(["-c", PROGRAM, what, &port.to_string(), &seconds.to_string()])
        .kill_on_drop(true)
        .output()
        .await?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what} of {venv} ended with {}:\n{log}", output.status);
    let text = String::from_utf8(output.stdout)?;
    text.trim().parse().with_context(|| format!("no figure: {text:?}"))
}

impl LockPairs {
    fn row(&mut self, what: &'static str, pairs_per_second: f64, peer: f64) {
        self.rows.push(Row { what, pairs_per_second, ratio: pairs_per_second / peer });
    }
}

impl Report for LockPairs {
    fn tables(&self) -> Vec<Table> {
        let head = ["lock", "pairs/s", ": peer"];
        let mut table = Table::new("Locks on Redis, acquire and release", &head);
        for row in &self.rows {
            table.row([row.what.to_owned(), whole(row.pairs_per_second), fine(row.ratio)]);
        }
        vec![table]
    }

    fn targets(&self) -> Vec<Target> {
        Vec::new()
    }
}
