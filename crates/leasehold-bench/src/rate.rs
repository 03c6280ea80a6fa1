//! What a rate limit grants under contention, beside what is configured.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;

use crate::client::Client;
use crate::system;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configured rates, in slots per second.
    #[arg(long, value_delimiter = ',', default_value = "5,20")]
    rates: Vec<f64>,
    /// How many clients hammer each limit.
    #[arg(long, default_value_t = 4)]
    clients: usize,
    /// For how long, in seconds.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    configured_per_second: f64,
    granted_per_second: f64,
    attempts_per_second: f64,
    ratio: f64,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let server = system::leasehold().await?;
    let mut rows = Vec::new();
    for &rate in &args.rates {
        rows.push(measure(&server.host, rate, args).await?);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    println!("configured/s   granted/s   attempts/s   granted : configured");
    for row in rows {
        println!(
            "{:>12.1} {:>11.3} {:>12.0} {:>22.4}",
            row.configured_per_second, row.granted_per_second, row.attempts_per_second, row.ratio,
        );
    }
    Ok(())
}

/// The burst comes first and does not count: the rate is measured from the moment on at which
/// the limit refused for the first time, up to the last grant.
async fn measure(host: &str, rate: f64, args: &Args) -> anyhow::Result<Row> {
    let name = format!("rate-{rate}");
    let mut client = Client::connect(host).await?;
    client.create_limit(&name, 1, rate).await?;
    let body: bytes::Bytes =
        json!({"names": [name], "slots": 1, "mode": "rate_limit"}).to_string().into();
    while client.try_rate_limit(&body).await? {}

    let start = Instant::now();
    let end = start + Duration::from_secs(args.seconds);
    let mut tasks = Vec::new();
    for _ in 0..args.clients {
        let mut client = Client::connect(host).await?;
        let body = body.clone();
        tasks.push(tokio::spawn(async move {
            let mut grants = Vec::new();
            let mut attempts = 0_u64;
            while Instant::now() < end {
                attempts += 1;
                if client.try_rate_limit(&body).await? {
                    grants.push(Instant::now());
                }
            }
            anyhow::Ok((grants, attempts))
        }));
    }
    let mut grants = Vec::new();
    let mut attempts = 0;
    for task in tasks {
        let (granted, tried) = task.await??;
        grants.extend(granted);
        attempts += tried;
    }
    grants.sort_unstable();
    // Between the first grant and the last lie as many intervals as grants less one.
    let intervals = grants.len().saturating_sub(1) as f64;
    let span = match (grants.first(), grants.last()) {
        (Some(first), Some(last)) => (*last - *first).as_secs_f64(),
        _ => f64::NAN,
    };
    let granted_per_second = intervals / span;
    Ok(Row {
        configured_per_second: rate,
        granted_per_second,
        attempts_per_second: attempts as f64 / start.elapsed().as_secs_f64(),
        ratio: granted_per_second / rate,
    })
}
