//! Everything at once, for a given time: good clients and all attackers, while the server is
//! killed, restarted and frozen. The good clients notice little of it. They lose no lease, no
//! client gets a slot that is held, and their requests take at most twice as long as without
//! attackers. The server's memory stays within a bound.

mod attackers;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use hyper::StatusCode;
use nix::sys::signal::Signal;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::attackers::Attackers;
use crate::client::{ACQUIRE, Client, RELEASE, acquire_body_of};
use crate::load::Times;
use crate::report::{Report, Target, progress};
use crate::systems::{Server, leasehold_with};
use crate::table::{Table, fine, whole};

/// A limit with room for all clients, and one whose slots the holders have.
const FREE: &str = "free";
const FULL: &str = "full";
/// How many clients of each kind there are.
const WORKERS: usize = 8;
const HOLDERS: usize = 8;
const RIVALS: usize = 4;
/// The pause between two cycles of a worker.
const PAUSE: Duration = Duration::from_millis(25);
/// How long a holder's lease lasts, how often it is renewed, and how long the server is frozen:
/// longer than the lease.
const TTL_SECONDS: u64 = 10;
const RENEWAL: Duration = Duration::from_secs(2);
const FREEZE: Duration = Duration::from_secs(12);
/// How long its times do not count after the server was away.
const RECOVERY: Duration = Duration::from_secs(3);
/// How many times the memory of the first half the server may use in the second half.
const GROWTH_MAX: f64 = 1.25;
const OPTIONS: &[&str] = &["--lease-seconds-min", "1", "--park-seconds", "0"];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long everything goes on at once.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    /// How many times as long as without attackers the requests of good clients may take, at the
    /// 99th percentile.
    #[arg(long, default_value_t = 2.0)]
    p99_times_max: f64,
    /// How much memory the server may use, in MiB.
    #[arg(long, default_value_t = 512.0)]
    memory_mib_max: f64,
    /// The fraction of all attackers that runs.
    #[arg(long, default_value_t = 1.0)]
    attackers: f64,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Soak {
    minutes: f64,
    alone_p99_ms: f64,
    together_p99_ms: f64,
    p99_times_max: f64,
    requests: u64,
    failures: u64,
    /// Leases that were lost, and slots that were granted beyond the limit.
    lost: u64,
    over_admitted: u64,
    kills: u64,
    freezes: u64,
    first_half_mib: f64,
    second_half_mib: f64,
    memory_mib_max: f64,
    panics: u64,
    attacks: String,
}

/// What all clients share.
#[derive(Default)]
struct Shared {
    /// The server is killed or frozen, or was a moment ago.
    is_away: AtomicBool,
    requests: AtomicU64,
    failures: AtomicU64,
    lost: AtomicU64,
    over_admitted: AtomicU64,
    is_over: AtomicBool,
    are_rivals_gone: AtomicBool,
    /// How many holders have their slot.
    held: AtomicU64,
}

pub(crate) async fn measure(args: &Args) -> anyhow::Result<Soak> {
    let mut server = leasehold_with(OPTIONS).await?;
    let mut operator = server.client().await?;
    operator.create_limit(FREE, 1_000_000, 0.0).await?;
    operator.create_limit(FULL, HOLDERS as u64, 0.0).await?;
    let duration = Duration::from_secs_f64(args.minutes * 60.0);

    let alone = (duration / 10).clamp(Duration::from_secs(5), Duration::from_secs(60));
    progress(format_args!("good clients alone, {} s", alone.as_secs()));
    let shared = Arc::<Shared>::default();
    let clients = Clients::start(&server.host(), &shared);
    sleep(alone).await;
    let alone = clients.finish(&shared).await?;

    progress(format_args!("everything at once, {} min", args.minutes));
    let shared = Arc::<Shared>::default();
    let clients = Clients::start(&server.host(), &shared);
    sleep(Duration::from_secs(1)).await;
    let attackers = Attackers::start(&server.host(), FULL, args.attackers);
    let seen = disturb(&mut server, duration, &shared).await?;
    let attacks = attackers.summary();
    drop(attackers);
    let together = clients.finish(&shared).await?;
    let (first, second) = seen.memory.split_at(seen.memory.len() / 2);
    let log = fs::read_to_string(server.process.log())?;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok(Soak {
        minutes: args.minutes,
        alone_p99_ms: alone.ms(0.99),
        together_p99_ms: together.ms(0.99),
        p99_times_max: args.p99_times_max,
        requests: count(&shared.requests),
        failures: count(&shared.failures),
        lost: count(&shared.lost),
        over_admitted: count(&shared.over_admitted),
        kills: seen.kills,
        freezes: seen.freezes,
        first_half_mib: peak_mib(first),
        second_half_mib: peak_mib(second),
        memory_mib_max: args.memory_mib_max,
        panics: log.matches("panicked").count() as u64,
        attacks,
    })
}

/// What was done to the server, and its memory in each second.
#[derive(Default)]
struct Seen {
    kills: u64,
    freezes: u64,
    memory: Vec<u64>,
}

/// Kills and freezes the server in turn, and reads its memory each second.
async fn disturb(server: &mut Server, duration: Duration, shared: &Shared) -> anyhow::Result<Seen> {
    let period = (duration / 8).clamp(Duration::from_secs(12), Duration::from_secs(300));
    let (start, mut seen) = (Instant::now(), Seen::default());
    let mut next = start + period;
    while start.elapsed() < duration {
        sleep(Duration::from_secs(1)).await;
        server.process.ensure_running()?;
        seen.memory.push(server.process.memory_bytes()?);
        if Instant::now() < next {
            continue;
        }
        shared.is_away.store(true, Ordering::SeqCst);
        if seen.kills > seen.freezes {
            server.process.signal(Signal::SIGSTOP)?;
            sleep(FREEZE).await;
            server.process.signal(Signal::SIGCONT)?;
            seen.freezes += 1;
        } else {
            server.crash(OPTIONS).await?;
            seen.kills += 1;
        }
        sleep(RECOVERY).await;
        shared.is_away.store(false, Ordering::SeqCst);
        next = Instant::now() + period;
    }
    Ok(seen)
}

/// The good clients.
struct Clients {
    workers: JoinSet<anyhow::Result<Times>>,
    holders: JoinSet<anyhow::Result<()>>,
    rivals: JoinSet<anyhow::Result<()>>,
}

impl Clients {
    fn start(host: &str, shared: &Arc<Shared>) -> Self {
        let (mut workers, mut holders, mut rivals) =
            (JoinSet::new(), JoinSet::new(), JoinSet::new());
        let user = || User { host: host.to_owned(), client: None, shared: shared.clone() };
        for number in 0..WORKERS {
            workers.spawn(user().work(number));
        }
        for _ in 0..HOLDERS {
            holders.spawn(user().hold());
        }
        for number in 0..RIVALS {
            rivals.spawn(user().rival(number));
        }
        Self { workers, holders, rivals }
    }

    /// Ends all of them, the rivals before the holders whose slots they want. Returns how long the
    /// workers' requests took.
    async fn finish(mut self, shared: &Shared) -> anyhow::Result<Times> {
        shared.is_over.store(true, Ordering::SeqCst);
        let mut times = Times::new()?;
        while let Some(worker) = self.workers.join_next().await {
            times.add(&worker??)?;
        }
        while let Some(rival) = self.rivals.join_next().await {
            rival??;
        }
        shared.are_rivals_gone.store(true, Ordering::SeqCst);
        while let Some(holder) = self.holders.join_next().await {
            holder??;
        }
        Ok(times)
    }
}

/// A good client, with one connection.
struct User {
    host: String,
    client: Option<Client>,
    shared: Arc<Shared>,
}

impl User {
    /// Takes, renews and releases a lease, again and again.
    async fn work(mut self, number: usize) -> anyhow::Result<Times> {
        let mut times = Times::new()?;
        let body = acquire_body_of(number, FREE);
        while !self.shared.is_over.load(Ordering::SeqCst) {
            sleep(PAUSE).await;
            let Some(lease) = self.ask(ACQUIRE, body.clone(), Some(&mut times)).await? else {
                continue;
            };
            let id = lease["lease_id"].as_str().context("a lease has an id")?.to_owned();
            let renewal = Bytes::from_static(br#"{"ttl_seconds":60}"#);
            self.ask(&format!("/api/leases/{id}/renew"), renewal, Some(&mut times)).await?;
            let release = json!({"lease_id": id}).to_string();
            self.ask(RELEASE, release.into(), Some(&mut times)).await?;
        }
        Ok(times)
    }

    /// Takes a slot of the full limit and keeps it until the end.
    async fn hold(mut self) -> anyhow::Result<()> {
        let body = json!({"limits": [{"name": FULL}], "ttl_seconds": TTL_SECONDS}).to_string();
        let lease = self.ask("/api/leases", body.into(), None).await?;
        let id = lease.as_ref().and_then(|lease| lease["id"].as_str());
        let id = id.context("the holders find the limit free")?.to_owned();
        let path = format!("/api/leases/{id}/renew");
        self.shared.held.fetch_add(1, Ordering::SeqCst);
        let mut due = Instant::now();
        while !self.shared.are_rivals_gone.load(Ordering::SeqCst) {
            // A renewal that took long does not cause more of them.
            due = (due + RENEWAL).max(Instant::now());
            tokio::time::sleep_until(due.into()).await;
            let renewal = json!({"ttl_seconds": TTL_SECONDS}).to_string();
            // While the server is away, the holder asks again and again.
            while self.ask(&path, renewal.clone().into(), None).await?.is_none() {
                if self.shared.lost.load(Ordering::SeqCst) > 0 {
                    return Ok(());
                }
            }
        }
        self.ask(RELEASE, json!({"lease_id": id}).to_string().into(), None).await?;
        Ok(())
    }

    /// Asks for a slot of the full limit, and must not get one.
    async fn rival(mut self, number: usize) -> anyhow::Result<()> {
        let body = acquire_body_of(WORKERS + number, FULL);
        while !self.shared.is_over.load(Ordering::SeqCst) {
            sleep(PAUSE).await;
            if self.shared.held.load(Ordering::SeqCst) == HOLDERS as u64
                && self.ask(ACQUIRE, body.clone(), None).await?.is_some()
            {
                self.shared.over_admitted.fetch_add(1, Ordering::SeqCst);
            }
        }
        Ok(())
    }

    /// Sends a request. Returns `None` if it was not granted. An unexpected answer counts as a
    /// failure unless the server is away, and a lease that is gone counts as lost.
    async fn ask(
        &mut self,
        path: &str,
        body: Bytes,
        times: Option<&mut Times>,
    ) -> anyhow::Result<Option<Value>> {
        let shared = self.shared.clone();
        let was_away = shared.is_away.load(Ordering::SeqCst);
        let start = Instant::now();
        let answer = self.post(path, body).await;
        let took = start.elapsed();
        let counts = !was_away && !shared.is_away.load(Ordering::SeqCst);
        match answer {
            Ok((status, answer)) if status.is_success() => {
                if counts {
                    shared.requests.fetch_add(1, Ordering::Relaxed);
                    times.map_or(Ok(()), |times| times.record(took))?;
                }
                Ok(Some(serde_json::from_slice(&answer).unwrap_or_default()))
            }
            Ok((StatusCode::LOCKED, _)) => Ok(None),
            Ok((StatusCode::GONE | StatusCode::NOT_FOUND, answer)) => {
                shared.lost.fetch_add(1, Ordering::SeqCst);
                eprintln!("{path}, after {took:?}: {}", String::from_utf8_lossy(&answer));
                Ok(None)
            }
            failed => {
                self.client = None;
                if counts {
                    shared.failures.fetch_add(1, Ordering::Relaxed);
                    eprintln!("{path}: {failed:?}");
                }
                sleep(PAUSE).await;
                Ok(None)
            }
        }
    }

    async fn post(&mut self, path: &str, body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
        let client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(&self.host).await?,
        };
        self.client.insert(client).post(path, body).await
    }
}

fn peak_mib(memory: &[u64]) -> f64 {
    memory.iter().max().map_or(f64::NAN, |bytes| *bytes as f64 / f64::from(1 << 20))
}

impl Report for Soak {
    fn tables(&self) -> Vec<Table> {
        let title = format!("{} minutes of everything at once", self.minutes);
        let mut table = Table::new(title, &["of clients that behave", ""]);
        for (what, count) in [
            ("requests answered", self.requests),
            ("kills of the server", self.kills),
            ("freezes of the server", self.freezes),
        ] {
            table.row([what.to_owned(), whole(count as f64)]);
        }
        table.row(["p99 alone, ms".to_owned(), fine(self.alone_p99_ms)]);
        table.row(["p99 beside all attacks, ms".to_owned(), fine(self.together_p99_ms)]);
        table.note(format!("Attacks made: {}.", self.attacks));
        vec![table]
    }

    fn targets(&self) -> Vec<Target> {
        let slower = self.together_p99_ms / self.alone_p99_ms;
        let memory = self.first_half_mib.max(self.second_half_mib);
        let growth = self.second_half_mib / self.first_half_mib;
        let none = |what, count: u64| Target::at_most(what, count as f64, 0.0);
        vec![
            Target::at_most("p99 beside all attacks, to alone", slower, self.p99_times_max),
            Target::at_most("memory, MiB", memory, self.memory_mib_max),
            Target::at_most("memory, second half to first", growth, GROWTH_MAX),
            none("leases lost", self.lost),
            none("slots granted beyond a limit", self.over_admitted),
            none("requests that failed", self.failures),
            none("panics in the server's log", self.panics),
        ]
    }
}
