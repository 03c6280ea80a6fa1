//! What passing a request on costs: the bare HTTP server alone, behind Leasehold, and behind the
//! `proxy_pass` of nginx, in turn and in the same run.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use nix::sys::signal::Signal;
use serde::Serialize;
use tempfile::TempDir;

use crate::client::{Client, succeeded};
use crate::load::{Times, WARM_UP};
use crate::process::{self, Process};
use crate::report::{Report, Target, progress};
use crate::systems::{Server, System, leasehold_with};
use crate::table::{Table, fine, whole};

/// A path that a gateway passes on without reading anything of it.
const PATH: &str = "/api/flow_runs/filter";
/// Each request and each answer has so many bytes.
const BODY_BYTES: usize = 512;
/// How long nginx may take to listen.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
const RATIO_MIN: f64 = 0.8;
const MORE_MS_MAX: f64 = 0.3;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many connections, each with one request at a time.
    #[arg(long, value_delimiter = ',', default_value = "1,32,128")]
    connections: Vec<usize>,
    /// How long each figure is measured, in seconds.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How often; the median counts.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Print JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Gateway {
    rows: Vec<Row>,
}

/// One way to the bare server, at one number of connections.
#[derive(Debug, Serialize)]
struct Row {
    connections: usize,
    way: Way,
    requests_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    Direct,
    Nginx,
    Leasehold,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Direct => "no proxy",
            Self::Nginx => "nginx proxy_pass",
            Self::Leasehold => "Leasehold --upstream",
        }
    }
}

/// nginx in front of the bare server.
struct Nginx {
    _process: Process,
    _folder: TempDir,
    port: u16,
}

pub(crate) async fn measure(args: &Args) -> anyhow::Result<Gateway> {
    let echo = System::Echo.start().await?;
    let upstream = format!("http://127.0.0.1:{}/api", echo.port());
    let leasehold = leasehold_with(&["--upstream", &upstream]).await?;
    let nginx = Nginx::start(&echo).await?;
    let ways =
        [(Way::Direct, echo.port()), (Way::Nginx, nginx.port), (Way::Leasehold, leasehold.port())];
    let mut rows = Vec::new();
    for &connections in &args.connections {
        let mut rounds: Vec<Vec<Row>> = ways.iter().map(|_| Vec::new()).collect();
        for round in 1..=args.rounds {
            for ((way, port), rounds) in ways.iter().zip(&mut rounds) {
                let of = args.rounds;
                progress(format_args!(
                    "{}, {connections} connections, {round} of {of}",
                    way.name()
                ));
                rounds.push(requests(*way, *port, connections, args.seconds).await?);
            }
        }
        for rounds in rounds {
            rows.push(middle(rounds)?);
        }
    }
    Ok(Gateway { rows })
}

async fn requests(way: Way, port: u16, connections: usize, seconds: f64) -> anyhow::Result<Row> {
    let host = format!("127.0.0.1:{port}");
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Client::connect(&host).await?);
    }
    let warm = Instant::now() + WARM_UP;
    let end = warm + Duration::from_secs_f64(seconds);
    let tasks: Vec<_> =
        clients.into_iter().map(|client| tokio::spawn(run(client, warm, end))).collect();
    let (mut all, mut count) = (Times::new()?, 0_u64);
    for task in tasks {
        let (times, mine) = task.await?.with_context(|| way.name())?;
        all.add(&times)?;
        count += mine;
    }
    let requests_per_second = count as f64 / seconds;
    Ok(Row { connections, way, requests_per_second, p50_ms: all.ms(0.50), p99_ms: all.ms(0.99) })
}

async fn run(mut client: Client, warm: Instant, end: Instant) -> anyhow::Result<(Times, u64)> {
    let body = Bytes::from(vec![b'x'; BODY_BYTES]);
    let (mut times, mut count) = (Times::new()?, 0);
    loop {
        let start = Instant::now();
        succeeded(client.post(PATH, body.clone()).await?)?;
        let now = Instant::now();
        if now > end {
            return Ok((times, count));
        }
        if start > warm {
            times.record(now - start)?;
            count += 1;
        }
    }
}

/// The row with the median of the requests in a second.
fn middle(mut rows: Vec<Row>) -> anyhow::Result<Row> {
    rows.sort_by(|a, b| a.requests_per_second.total_cmp(&b.requests_per_second));
    let at = rows.len() / 2;
    anyhow::ensure!(!rows.is_empty(), "--rounds must be at least 1");
    Ok(rows.swap_remove(at))
}

impl Nginx {
    async fn start(echo: &Server) -> anyhow::Result<Self> {
        let program = process::find("nginx", "nginx-light")?;
        let folder = process::data_folder()?;
        let port = process::free_port()?;
        let configuration = folder.path().join("nginx.conf");
        fs::write(&configuration, configured(port, echo.port()))?;
        let mut command = Command::new(program);
        command.arg("-p").arg(folder.path()).arg("-c").arg(&configuration);
        command.args(["-e", "stderr", "-g", "daemon off;"]);
        let mut process = Process::start(command, folder.path(), Signal::SIGTERM)?;
        process::ready(&mut process, READY_TIMEOUT, || async move {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
        })
        .await?;
        Ok(Self { _process: process, _folder: folder, port })
    }
}

/// As nginx is recommended in front of a server of HTTP/1.1 that streams: it keeps connections, and
/// collects neither requests nor answers.
fn configured(port: u16, upstream: u16) -> String {
    format!(
        "worker_processes auto;
pid nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  keepalive_requests 100000000;
  upstream bare {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://bare;
      proxy_http_version 1.1;
      proxy_set_header Connection \"\";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_buffering off;
      proxy_request_buffering off;
    }}
  }}
}}
"
    )
}

impl Gateway {
    fn at(&self, connections: usize, way: Way) -> Option<&Row> {
        self.rows.iter().find(|row| row.connections == connections && row.way == way)
    }

    /// Each row of Leasehold with nginx's.
    fn pairs(&self) -> impl Iterator<Item = (&Row, &Row)> {
        let ours = self.rows.iter().filter(|row| row.way == Way::Leasehold);
        ours.filter_map(|ours| Some((ours, self.at(ours.connections, Way::Nginx)?)))
    }
}

impl Report for Gateway {
    fn tables(&self) -> Vec<Table> {
        let head = ["conn.", "way", "requests/s", "p50 ms", "p99 ms", ": nginx"];
        let mut table = Table::new("Requests that are passed on", &head);
        for row in &self.rows {
            let nginx = self.at(row.connections, Way::Nginx);
            let ratio =
                nginx.map_or(f64::NAN, |it| row.requests_per_second / it.requests_per_second);
            table.row([
                row.connections.to_string(),
                row.way.name().to_owned(),
                whole(row.requests_per_second),
                fine(row.p50_ms),
                fine(row.p99_ms),
                fine(ratio),
            ]);
        }
        table.note(format!("Each request and each answer has {BODY_BYTES} bytes."));
        vec![table]
    }

    fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        for (ours, nginx) in self.pairs() {
            let connections = ours.connections;
            let ratio = ours.requests_per_second / nginx.requests_per_second;
            let what = format!("passed on at {connections}, to nginx's");
            targets.push(Target::at_least(what, ratio, RATIO_MIN));
            if connections == 1 {
                let more = ours.p50_ms - nginx.p50_ms;
                targets.push(Target::at_most("ms more than with nginx", more, MORE_MS_MAX));
            }
        }
        targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throughput_and_latency_are_compared_with_nginx() {
        let row = |way, requests_per_second, p50_ms| Row {
            connections: 1,
            way,
            requests_per_second,
            p50_ms,
            p99_ms: 1.0,
        };
        let rows = vec![
            row(Way::Direct, 10_000.0, 0.1),
            row(Way::Nginx, 5_000.0, 0.2),
            row(Way::Leasehold, 4_500.0, 0.325),
        ];
        let targets = serde_json::to_value(Gateway { rows }.targets()).unwrap();
        assert_eq!(targets[0]["figure"], 0.9);
        assert_eq!(targets[1]["figure"], 0.125);
        assert!(targets[0]["is_met"] == true && targets[1]["is_met"] == true);
    }
}
