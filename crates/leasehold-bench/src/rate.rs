//! What a rate limit grants under contention, compared with what is configured.

use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use crate::client::{Attempt, Client};
use crate::report::{self, Absent, Report, Target, progress};
use crate::systems::{Server, System};
use crate::table::{Table, fine, whole};

/// How long a client pauses after a 503 or a hang-up: short enough to keep hammering.
const BUSY_DELAY: Duration = Duration::from_millis(10);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configured rates, in slots per second.
    #[arg(long, value_delimiter = ',', default_value = "1,5,20,100,1000")]
    rates: Vec<f64>,
    /// How many clients hammer each limit.
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// How long, in seconds.
    #[arg(long, default_value_t = 15.0)]
    seconds: f64,
    /// Measure only Leasehold.
    #[arg(long)]
    alone: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Rates {
    rows: Vec<Row>,
    absent: Vec<Absent>,
}

#[derive(Debug, Serialize)]
struct Row {
    system: System,
    configured_per_second: f64,
    granted_per_second: f64,
    attempts_per_second: f64,
    /// Attempts that got a 503 or no answer.
    failures_per_second: f64,
    ratio: f64,
}

pub(crate) async fn measure(args: &Args) -> anyhow::Result<Rates> {
    let mut rates = Rates { rows: Vec::new(), absent: Vec::new() };
    for system in [System::Leasehold, System::Prefect] {
        if args.alone && system != System::Leasehold {
            continue;
        }
        let Some(server) = report::start(system, &mut rates.absent).await? else { continue };
        for &rate in &args.rates {
            progress(format_args!("{}, {rate} slots per second", system.name()));
            rates.rows.push(hammered(&server, rate, args).await?);
        }
    }
    Ok(rates)
}

/// Uses up the burst first, which does not count. After the first refusal, measures the rate from
/// the first grant to the last.
async fn hammered(server: &Server, rate: f64, args: &Args) -> anyhow::Result<Row> {
    let name = format!("rate-{rate}");
    let mut client = server.client().await?;
    client.create_limit(&name, 1, rate).await?;
    let body: Bytes = json!({"names": [name], "slots": 1, "mode": "rate_limit"}).to_string().into();
    while client.try_rate_limit(&body).await? == Attempt::Granted {}

    let start = Instant::now();
    let end = start + Duration::from_secs_f64(args.seconds);
    let mut tasks = Vec::new();
    for _ in 0..args.clients {
        tasks.push(tokio::spawn(hammer(server.client().await?, body.clone(), end)));
    }
    let mut all = Hammered::default();
    for task in tasks {
        let mine = task.await??;
        all.grants.extend(mine.grants);
        all.attempts += mine.attempts;
        all.failures += mine.failures;
    }
    let elapsed = start.elapsed().as_secs_f64();
    ensure!(
        all.grants.len() > 1,
        "the limit of {rate} slots per second granted {} times in {} s; raise --seconds",
        all.grants.len(),
        args.seconds,
    );
    let granted_per_second = per_second(&mut all.grants);
    Ok(Row {
        system: server.system,
        configured_per_second: rate,
        granted_per_second,
        attempts_per_second: all.attempts as f64 / elapsed,
        failures_per_second: all.failures as f64 / elapsed,
        ratio: granted_per_second / rate,
    })
}

#[derive(Default)]
struct Hammered {
    grants: Vec<Instant>,
    attempts: u64,
    failures: u64,
}

async fn hammer(mut client: Client, body: Bytes, end: Instant) -> anyhow::Result<Hammered> {
    let mut mine = Hammered::default();
    while Instant::now() < end {
        mine.attempts += 1;
        match client.try_rate_limit(&body).await? {
            Attempt::Granted => mine.grants.push(Instant::now()),
            Attempt::Refused => {}
            Attempt::Unavailable => {
                mine.failures += 1;
                tokio::time::sleep(BUSY_DELAY).await;
            }
        }
    }
    Ok(mine)
}

/// The rate between the first grant and the last: there is one interval fewer than there are
/// grants.
fn per_second(grants: &mut [Instant]) -> f64 {
    grants.sort_unstable();
    match (grants.first(), grants.last()) {
        (Some(first), Some(last)) => (grants.len() - 1) as f64 / (*last - *first).as_secs_f64(),
        _ => f64::NAN,
    }
}

impl Report for Rates {
    fn tables(&self) -> Vec<Table> {
        let head = ["system", "configured/s", "granted/s", "ratio", "attempts/s", "503/s"];
        let mut table = Table::new("Rate limits, hammered", &head);
        for row in &self.rows {
            table.row([
                row.system.name().to_owned(),
                row.configured_per_second.to_string(),
                format!("{:.3}", row.granted_per_second),
                format!("{:.4}", row.ratio),
                whole(row.attempts_per_second),
                fine(row.failures_per_second),
            ]);
        }
        for absent in &self.absent {
            table.note(absent.note());
        }
        vec![table]
    }

    fn targets(&self) -> Vec<Target> {
        let ours = self.rows.iter().filter(|row| row.system == System::Leasehold);
        ours.map(|row| {
            let what = format!("granted / configured at {}/s", row.configured_per_second);
            Target::between(what, row.ratio, 0.99, 1.01)
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_counts_intervals_and_not_grants() {
        let start = Instant::now();
        let mut grants: Vec<_> = (0..=10).rev().map(|n| start + Duration::from_secs(n)).collect();
        assert_eq!(per_second(&mut grants), 1.0);
        assert!(per_second(&mut []).is_nan());
    }
}
