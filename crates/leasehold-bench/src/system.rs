//! Servers under test: started here, each in its own process, and killed at the end.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A server that runs. Killed when dropped.
pub(crate) struct Server {
    pub(crate) host: String,
    _process: Child,
    _data: Option<TempDir>,
}

/// Leasehold with a new, empty journal.
pub(crate) async fn leasehold() -> anyhow::Result<Server> {
    // Not in /tmp, which may be memory: a commit has to cost what it costs.
    let data = tempfile::tempdir_in(std::env::current_dir()?)?;
    let mut command = Command::new(beside_us("leasehold")?);
    command.args(["server", "start", "--port", "0", "--data-dir"]).arg(data.path());
    start(command, Some(data)).await
}

/// The bare HTTP server.
pub(crate) async fn echo() -> anyhow::Result<Server> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("echo");
    start(command, None).await
}

async fn start(mut command: Command, data: Option<TempDir>) -> anyhow::Result<Server> {
    let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let stdout = process.stdout.take().context("the server has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, rest)) = line.split_once("http://") {
            let host = rest.split('/').next().unwrap_or(rest).to_owned();
            // Read on, so that it can go on writing.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(Server { host, _process: process, _data: data });
        }
    }
    bail!("{:?} ended without saying where it listens", command.as_std().get_program())
}

fn beside_us(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("{} is not there; build it with cargo build --release -p leasehold", path.display());
    }
    Ok(path)
}
