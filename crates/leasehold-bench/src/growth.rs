//! How the cost of a request grows with limits and waiters that it does not touch.

use std::time::Duration;

use serde::Serialize;

use crate::bulk;
use crate::handoff::{PATIENT, Quantiles, Queue};
use crate::load::{self, Figure, Rounds};
use crate::report::{Report, Target, progress};
use crate::systems::{Server, System, leasehold_with};
use crate::table::{Table, fine, whole};

/// How long each client holds the slot that is handed along a queue.
const HOLD: Duration = Duration::from_millis(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many limits there are besides the one that is used.
    #[arg(long, value_delimiter = ',', default_value = "10,1000,100000")]
    limits: Vec<usize>,
    /// How many requests wait for another limit, held open.
    #[arg(long, value_delimiter = ',', default_value = "1,100,10000")]
    waiters: Vec<usize>,
    /// How many connections, each with one request at a time.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    #[command(flatten)]
    rounds: Rounds,
    /// How often a slot changes hands along each queue.
    #[arg(long, default_value_t = 200)]
    handoffs: usize,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Growth {
    connections: usize,
    limits: Vec<Row>,
    waiters: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    count: usize,
    #[serde(flatten)]
    figure: Figure,
    /// The hand-offs along the queue of waiters.
    handoff: Option<Quantiles>,
}

pub(crate) async fn measure(args: &Args) -> anyhow::Result<Growth> {
    let mut servers = Vec::new();
    for &count in &args.limits {
        let server = System::Leasehold.start().await?;
        server.prepare().await?;
        bulk::create_limits(&server, count, 10, |index| format!("other-{index}")).await?;
        servers.push((count, server));
    }
    let limits = rows_of(&servers, "limits", args).await?;
    drop(servers);

    let (mut servers, mut queues) = (Vec::new(), Vec::new());
    for &count in &args.waiters {
        let server = leasehold_with(PATIENT).await?;
        server.prepare().await?;
        progress(format_args!("{count} come to wait"));
        queues.push(Queue::form(&server, count, HOLD).await?);
        servers.push((count, server));
    }
    let mut waiters = rows_of(&servers, "waiters", args).await?;
    for (row, queue) in waiters.iter_mut().zip(queues) {
        progress(format_args!("hand-offs along a queue of {}", row.count));
        row.handoff = Some(queue.hand_along(args.handoffs).await?.from_release);
    }
    Ok(Growth { connections: args.connections, limits, waiters })
}

async fn rows_of(
    servers: &[(usize, Server)],
    beside: &str,
    args: &Args,
) -> anyhow::Result<Vec<Row>> {
    let named: Vec<_> = servers
        .iter()
        .map(|(count, server)| (format!("beside {count} {beside}"), server))
        .collect();
    let figures = load::in_turn(&named, args.connections, &args.rounds).await?;
    let counts = servers.iter().map(|(count, _)| *count);
    Ok(counts.zip(figures).map(|(count, figure)| Row { count, figure, handoff: None }).collect())
}

/// The ratio of the cycles with the most limits or waiters to those with the fewest.
fn kept(rows: &[Row]) -> Option<(usize, f64)> {
    let (fewest, most) = (rows.first()?, rows.last()?);
    Some((most.count, most.figure.cycles_per_second / fewest.figure.cycles_per_second))
}

impl Report for Growth {
    fn tables(&self) -> Vec<Table> {
        let title = format!("How cost grows, {} connections", self.connections);
        let head = ["beside", "count", "cycles/s", "p50 ms", "p99 ms", "hand-off p50 ms", "p99 ms"];
        let mut table = Table::new(title, &head);
        let limits = self.limits.iter().map(|row| ("limits", row));
        for (beside, row) in limits.chain(self.waiters.iter().map(|row| ("waiters", row))) {
            let handoff = |time: fn(&Quantiles) -> f64| {
                row.handoff.as_ref().map_or(String::new(), |times| fine(time(times)))
            };
            table.row([
                beside.to_owned(),
                whole(row.count as f64),
                whole(row.figure.cycles_per_second),
                fine(row.figure.p50_ms),
                fine(row.figure.p99_ms),
                handoff(|times| times.p50_ms),
                handoff(|times| times.p99_ms),
            ]);
        }
        table.note(
            "The cycles are on a limit of their own; the waiters wait for another, and the \
             hand-offs go along their line.",
        );
        vec![table]
    }

    fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        for (rows, what) in [(&self.limits, "limits"), (&self.waiters, "waiters")] {
            if let Some((most, ratio)) = kept(rows) {
                let what = format!("cycles beside {} {what}, to few", whole(most as f64));
                targets.push(Target::at_least(what, ratio, 0.8));
            }
        }
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::COLUMNS_MAX;

    #[test]
    fn growth_compares_the_most_with_the_fewest() {
        let row = |count, cycles_per_second| Row {
            count,
            figure: Figure {
                cycles_per_second,
                p50_ms: 1.0,
                p99_ms: 2.0,
                max_ms: 3.0,
                failures: 0,
            },
            handoff: Some(Quantiles { p50_ms: 0.5, p99_ms: 1.0, max_ms: 2.0 }),
        };
        let rows = || vec![row(10, 1_000_000.0), row(1_000, 200.0), row(100_000, 900_000.0)];
        assert_eq!(kept(&rows()), Some((100_000, 0.9)));
        let growth = Growth { connections: 32, limits: rows(), waiters: rows() };
        let text = growth.tables()[0].text();
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS_MAX), "{text}");
    }
}
