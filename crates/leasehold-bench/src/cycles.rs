//! Cycles of acquire and release per second, of every system in the same run.

use std::time::Duration;

use serde::Serialize;

use crate::disk::{self, Sync};
use crate::load::{self, Figure, Rounds, Times};
use crate::process;
use crate::report::{self, Absent, Report, Target};
use crate::systems::{Durable, System};
use crate::table::{Table, fine, whole};

/// How long syncs are measured for each number of connections.
const SYNC_TIME: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many connections, each with one request at a time.
    #[arg(long, value_delimiter = ',', default_value = "1,32,128")]
    connections: Vec<usize>,
    #[command(flatten)]
    rounds: Rounds,
    /// Measure only Leasehold and the bare server.
    #[arg(long)]
    alone: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Cycles {
    sync: Sync,
    rows: Vec<Row>,
    absent: Vec<Absent>,
}

/// One system at one number of connections.
#[derive(Debug, Serialize)]
struct Row {
    connections: usize,
    system: System,
    durable: Durable,
    #[serde(flatten)]
    figure: Figure,
    /// The ratio of its cycles to the bare server's.
    to_echo: f64,
}

pub(crate) async fn measure(args: &Args) -> anyhow::Result<Cycles> {
    let folder = process::data_folder()?;
    let mut syncs = Times::new()?;
    let mut absent = Vec::new();
    let mut rows = Vec::new();
    let is_wanted = |system: &System| {
        !args.alone
            || matches!(system, System::Echo | System::Leasehold | System::LeaseholdPostgres)
    };
    // Systems that are never idle are measured after the others, by themselves.
    for is_quiet in [true, false] {
        let mut servers = Vec::new();
        for system in System::ALL.into_iter().filter(|system| system.is_quiet() == is_quiet) {
            if is_wanted(&system)
                && let Some(server) = report::start(system, &mut absent).await?
            {
                server.prepare().await?;
                servers.push(server);
            }
        }
        for &connections in &with_fewer(&args.connections, is_quiet) {
            let named: Vec<_> =
                servers.iter().map(|server| (server.system.name().to_owned(), server)).collect();
            let figures = load::in_turn(&named, connections, &args.rounds).await?;
            let systems = servers.iter().map(|server| server.system);
            rows.extend(systems.zip(figures).map(|(system, figure)| Row {
                connections,
                system,
                durable: system.durable(),
                figure,
                to_echo: f64::NAN,
            }));
            if is_quiet {
                syncs.add(&disk::measure(folder.path(), SYNC_TIME)?)?;
            }
        }
    }
    rows.sort_by_key(|row| row.connections);
    compare_to_echo(&mut rows);
    Ok(Cycles { sync: Sync::from(&syncs), rows, absent })
}

/// The numbers of connections, capped at what Prefect's server can serve if it is measured.
fn with_fewer(connections: &[usize], is_quiet: bool) -> Vec<usize> {
    let most = System::Prefect.connections_max().filter(|_| !is_quiet).unwrap_or(usize::MAX);
    let mut fewer: Vec<_> = connections.iter().map(|&count| count.min(most)).collect();
    fewer.dedup();
    fewer
}

fn compare_to_echo(rows: &mut [Row]) {
    let echo: Vec<_> = rows
        .iter()
        .filter(|row| row.system == System::Echo)
        .map(|row| (row.connections, row.figure.cycles_per_second))
        .collect();
    for row in rows {
        if let Some((_, echo)) = echo.iter().find(|(count, _)| *count == row.connections) {
            row.to_echo = row.figure.cycles_per_second / echo;
        }
    }
}

impl Cycles {
    fn at(&self, connections: usize, system: System) -> Option<&Row> {
        self.rows.iter().find(|row| row.connections == connections && row.system == system)
    }

    fn leasehold(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.system == System::Leasehold)
    }
}

impl Report for Cycles {
    fn tables(&self) -> Vec<Table> {
        let head = ["conn.", "system", "durable", "cycles/s", "p50 ms", "p99 ms", ": echo"];
        let mut table = Table::new("Cycles of acquire and release", &head);
        for row in &self.rows {
            let durable = match row.durable {
                Durable::Yes => "yes",
                Durable::No => "no",
                Durable::Half => "half",
            };
            table.row([
                row.connections.to_string(),
                row.system.name().to_owned(),
                durable.to_owned(),
                whole(row.figure.cycles_per_second),
                fine(row.figure.p50_ms),
                fine(row.figure.p99_ms),
                fine(row.to_echo),
            ]);
        }
        table.note(format!(
            "An append of 4 KiB and its fdatasync take {} ms (p99 {} ms).",
            fine(self.sync.p50_ms),
            fine(self.sync.p99_ms),
        ));
        for row in self.rows.iter().filter(|row| row.figure.failures > 0) {
            table.note(format!(
                "{} at {} connections refused {} requests (503, or hung up), which count nowhere.",
                row.system.name(),
                row.connections,
                row.figure.failures,
            ));
        }
        for absent in &self.absent {
            table.note(absent.note());
        }
        vec![table]
    }

    fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        for row in self.leasehold() {
            let connections = row.connections;
            if connections == 1 {
                let syncs = row.figure.p50_ms / self.sync.p50_ms;
                targets.push(Target::at_most("a request at 1 connection, in syncs", syncs, 1.5));
            } else {
                let what = format!("cycles at {connections} connections, to echo's");
                targets.push(Target::at_least(what, row.to_echo, 0.8));
            }
        }
        for peer in [System::RedisSemaphoreDurable, System::Etcd] {
            for row in self.leasehold() {
                if let Some(theirs) = self.at(row.connections, peer) {
                    let what =
                        format!("cycles at {}, to those of {}", row.connections, peer.name());
                    let ratio = row.figure.cycles_per_second / theirs.figure.cycles_per_second;
                    targets.push(Target::at_least(what, ratio, 1.0));
                }
            }
        }
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::COLUMNS_MAX;

    fn row(connections: usize, system: System, cycles_per_second: f64) -> Row {
        let figure =
            Figure { cycles_per_second, p50_ms: 0.5, p99_ms: 1.0, max_ms: 2.0, failures: 0 };
        Row { connections, system, durable: system.durable(), figure, to_echo: f64::NAN }
    }

    #[test]
    fn every_row_is_compared_to_the_bare_server_at_its_connections() {
        let mut rows: Vec<_> = System::ALL.map(|system| row(128, system, 1_234_567.0)).into();
        rows.push(row(1, System::Echo, 2_000.0));
        rows.push(row(1, System::Leasehold, 500.0));
        compare_to_echo(&mut rows);
        let sync = Sync { p50_ms: 0.25, p99_ms: 0.5 };
        let cycles = Cycles { sync, rows, absent: Vec::new() };
        assert_eq!(cycles.at(1, System::Leasehold).unwrap().to_echo, 0.25);
        assert_eq!(cycles.at(128, System::Leasehold).unwrap().to_echo, 1.0);

        let text = cycles.tables()[0].text();
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS_MAX), "{text}");
        let targets = serde_json::to_value(cycles.targets()).unwrap();
        assert_eq!(targets[1]["what"], "a request at 1 connection, in syncs");
        assert_eq!(targets[1]["figure"], 2.0);
        assert_eq!(targets[1]["is_met"], false);
        assert_eq!(targets.as_array().unwrap().len(), 4, "and one for each durable peer at 128");
    }

    #[test]
    fn connections_are_capped_for_prefects_server() {
        assert_eq!(with_fewer(&[1, 32, 128], true), [1, 32, 128]);
        assert_eq!(with_fewer(&[1, 32, 128], false), [1, 4]);
    }
}
