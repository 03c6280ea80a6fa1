//! A closed loop: each connection takes a slot and releases it, again and again.

use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::client::Unavailable;
use crate::report::progress;
use crate::systems::{Server, Session};

/// How long requests run before they count.
pub(crate) const WARM_UP: Duration = Duration::from_millis(500);

/// How long to measure, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Rounds {
    /// How long each figure is measured, in seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How often; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// The figures of a number of connections.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) cycles_per_second: f64,
    /// The time of a single request.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// Requests that got a 503 or no answer. No other figure includes them.
    pub(crate) failures: u64,
}

/// The times of requests.
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new(3)?))
    }

    pub(crate) fn record(&mut self, time: Duration) -> anyhow::Result<()> {
        Ok(self.0.record(time.as_nanos() as u64)?)
    }

    pub(crate) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    pub(crate) fn ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e6
    }
}

/// Measures cycles on each of the named servers in turn, so that other load on the machine affects
/// all of them. Returns the median figure of each.
pub(crate) async fn in_turn(
    servers: &[(String, &Server)],
    connections: usize,
    args: &Rounds,
) -> anyhow::Result<Vec<Figure>> {
    let mut figures: Vec<Vec<Figure>> = servers.iter().map(|_| Vec::new()).collect();
    for round in 1..=args.rounds {
        for ((name, server), figures) in servers.iter().zip(&mut figures) {
            progress(format_args!("{name}, {connections} connections, {round} of {}", args.rounds));
            figures.push(cycles(server, connections, args.seconds).await?);
        }
    }
    figures.into_iter().map(middle).collect()
}

/// Runs cycles on some connections for some seconds.
pub(crate) async fn cycles(
    server: &Server,
    connections: usize,
    seconds: f64,
) -> anyhow::Result<Figure> {
    let mut sessions = Vec::with_capacity(connections);
    for index in 0..connections {
        sessions.push(server.session(index).await?);
    }
    let warm = Instant::now() + WARM_UP;
    let end = warm + Duration::from_secs_f64(seconds);
    let tasks: Vec<_> =
        sessions.into_iter().map(|session| tokio::spawn(run(session, warm, end))).collect();
    let mut all = Run::new()?;
    for task in tasks {
        let mine = task.await?.with_context(|| server.system.name())?;
        all.times.add(&mine.times)?;
        all.cycles += mine.cycles;
        all.failures += mine.failures;
    }
    Ok(Figure {
        cycles_per_second: all.cycles as f64 / seconds,
        p50_ms: all.times.ms(0.50),
        p99_ms: all.times.ms(0.99),
        max_ms: all.times.ms(1.0),
        failures: all.failures,
    })
}

/// The results of one connection.
struct Run {
    times: Times,
    cycles: u64,
    failures: u64,
}

impl Run {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { times: Times::new()?, cycles: 0, failures: 0 })
    }
}

/// Runs cycles, and counts those that begin after `warm` and end before `end`.
async fn run(mut session: Session, warm: Instant, end: Instant) -> anyhow::Result<Run> {
    let mut run = Run::new()?;
    loop {
        let start = Instant::now();
        let cycle = cycle(&mut session, start).await;
        let now = Instant::now();
        if now > end {
            return Ok(run);
        }
        match cycle {
            Ok((acquire, release)) if start > warm => {
                run.times.record(acquire)?;
                run.times.record(release)?;
                run.cycles += 1;
            }
            Ok(_) => {}
            Err(error) if error.is::<Unavailable>() => run.failures += u64::from(start > warm),
            Err(error) => return Err(error),
        }
    }
}

/// Runs one cycle. Returns how long each of its requests took.
async fn cycle(session: &mut Session, start: Instant) -> anyhow::Result<(Duration, Duration)> {
    session.acquire().await?;
    let acquired = Instant::now();
    session.release().await?;
    Ok((acquired - start, acquired.elapsed()))
}

/// The median of several figures.
fn middle(mut figures: Vec<Figure>) -> anyhow::Result<Figure> {
    figures.sort_by(|a, b| a.cycles_per_second.total_cmp(&b.cycles_per_second));
    figures.get(figures.len() / 2).cloned().context("--rounds must be at least 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_figure_counts_and_none_is_an_error() {
        let figure = |cycles_per_second| Figure {
            cycles_per_second,
            p50_ms: 1.0,
            p99_ms: 2.0,
            max_ms: 3.0,
            failures: 0,
        };
        let found = middle(vec![figure(900.0), figure(100.0), figure(500.0)]).unwrap();
        assert_eq!(found.cycles_per_second, 500.0);
        assert_eq!(middle(vec![]).unwrap_err().to_string(), "--rounds must be at least 1");
    }

    #[test]
    fn times_are_in_milliseconds() {
        let mut times = Times::new().unwrap();
        for ms in 1..=100 {
            times.record(Duration::from_millis(ms)).unwrap();
        }
        assert!((times.ms(0.50) - 50.0).abs() < 0.1);
        assert!((times.ms(0.99) - 99.0).abs() < 0.1);
    }
}
