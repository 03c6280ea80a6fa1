//! Cycles of acquire and release per second, beside the bare HTTP server.

use std::time::{Duration, Instant};

use anyhow::Context;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::client::{Client, acquire_body};
use crate::system::{self, Server};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many connections, each with one request under way.
    #[arg(long, value_delimiter = ',', default_value = "1,32,128")]
    connections: Vec<usize>,
    /// For how long each figure is measured, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often; the middle figure counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// One system at one number of connections.
#[derive(Clone, Debug, Serialize)]
struct Figure {
    cycles_per_second: f64,
    /// Of a single request.
    latency_p50_ms: f64,
    latency_p99_ms: f64,
}

#[derive(Debug, Serialize)]
struct Row {
    connections: usize,
    leasehold: Figure,
    echo: Figure,
    /// Cycles of Leasehold for each of the bare server's.
    ratio: f64,
    /// Leasehold's p99 for each of the bare server's.
    p99_ratio: f64,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let leasehold = system::leasehold().await?;
    let echo = system::echo().await?;
    Client::connect(&leasehold.host).await?.create_limit("bench", 1_000_000, 0.0).await?;
    let mut rows = Vec::new();
    for &connections in &args.connections {
        let mut figures = (Vec::new(), Vec::new());
        // In turn, so that whatever else the machine does meets both.
        for _ in 0..args.rounds {
            figures.0.push(measure(&leasehold, connections, args.seconds).await?);
            figures.1.push(measure(&echo, connections, args.seconds).await?);
        }
        let (leasehold, echo) = (middle(figures.0)?, middle(figures.1)?);
        rows.push(Row {
            connections,
            ratio: leasehold.cycles_per_second / echo.cycles_per_second,
            p99_ratio: leasehold.latency_p99_ms / echo.latency_p99_ms,
            leasehold,
            echo,
        });
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print(&rows);
    }
    Ok(())
}

async fn measure(server: &Server, connections: usize, seconds: u64) -> anyhow::Result<Figure> {
    let body = acquire_body("bench");
    let warm_up = Instant::now() + Duration::from_millis(500);
    let end = warm_up + Duration::from_secs(seconds);
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let mut client = Client::connect(&server.host).await?;
        let body = body.clone();
        tasks.push(tokio::spawn(async move {
            let mut micros = Histogram::<u64>::new(3)?;
            let mut cycles = 0_u64;
            loop {
                let start = Instant::now();
                let lease = client.acquire(&body).await?;
                let acquired = Instant::now();
                client.release(&lease).await?;
                let released = Instant::now();
                if released > end {
                    return anyhow::Ok((micros, cycles));
                }
                if start > warm_up {
                    micros.record((acquired - start).as_micros() as u64)?;
                    micros.record((released - acquired).as_micros() as u64)?;
                    cycles += 1;
                }
            }
        }));
    }
    let mut all = Histogram::<u64>::new(3)?;
    let mut cycles = 0;
    for task in tasks {
        let (micros, done) = task.await??;
        all.add(micros)?;
        cycles += done;
    }
    Ok(Figure {
        cycles_per_second: cycles as f64 / seconds as f64,
        latency_p50_ms: all.value_at_quantile(0.50) as f64 / 1e3,
        latency_p99_ms: all.value_at_quantile(0.99) as f64 / 1e3,
    })
}

fn middle(mut figures: Vec<Figure>) -> anyhow::Result<Figure> {
    figures.sort_by(|a, b| a.cycles_per_second.total_cmp(&b.cycles_per_second));
    figures.get(figures.len() / 2).cloned().context("--rounds must be at least 1")
}

fn print(rows: &[Row]) {
    println!("connections  system      cycles/s   p50 ms   p99 ms   cycles ratio   p99 ratio");
    for row in rows {
        let Row { connections, leasehold, echo, ratio, p99_ratio } = row;
        println!(
            "{connections:>11}  leasehold {:>10.0} {:>8.3} {:>8.3} {ratio:>14.2} {p99_ratio:>11.2}",
            leasehold.cycles_per_second, leasehold.latency_p50_ms, leasehold.latency_p99_ms,
        );
        println!(
            "{:>11}  echo      {:>10.0} {:>8.3} {:>8.3}",
            "", echo.cycles_per_second, echo.latency_p50_ms, echo.latency_p99_ms,
        );
    }
}
