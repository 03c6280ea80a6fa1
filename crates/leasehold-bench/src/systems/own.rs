//! Leasehold and the bare HTTP server: the same client drives both, byte for byte.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{READY_TIMEOUT, Server, System, accepts, is_healthy};
use crate::client::{Client, Lease, acquire_body};
use crate::process::{self, Process};

/// The limit of all cycles.
pub(crate) const LIMIT: &str = "bench";
/// More than are ever held: a cycle must not wait.
pub(crate) const SLOTS: u64 = 1_000_000;

pub(super) async fn start_echo(folder: &Path, port: u16) -> anyhow::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["echo", "--port", &port.to_string()]);
    let mut process = Process::start(command, folder, Signal::SIGKILL)?;
    accepts(&mut process, port).await?;
    Ok(process)
}

pub(super) async fn start_leasehold(
    folder: &Path,
    port: u16,
    options: &[&str],
) -> anyhow::Result<Process> {
    let mut command = Command::new(process::beside_us("leasehold")?);
    command
        .args(["server", "start", "--port", &port.to_string(), "--log-level", "warn"])
        .args(options)
        .arg("--data-dir")
        .arg(folder.join("data"));
    for (name, _) in std::env::vars_os() {
        if ["LEASEHOLD_", "PREFECT_"]
            .iter()
            .any(|prefix| name.to_string_lossy().starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    let mut process = Process::start(command, folder, Signal::SIGTERM)?;
    is_healthy(&mut process, port, READY_TIMEOUT).await?;
    Ok(process)
}

/// Starts Leasehold with these options.
pub(crate) async fn leasehold_with(options: &[&str]) -> anyhow::Result<Server> {
    on_folder(Arc::new(process::data_folder()?), options).await
}

impl Server {
    /// Stops this Leasehold and starts it again on the same data. Returns how many seconds it took
    /// to start.
    pub(crate) async fn restart(self, options: &[&str]) -> anyhow::Result<(Self, f64)> {
        let Self { process, folder, .. } = self;
        drop(process);
        let start = Instant::now();
        let server = on_folder(folder, options).await?;
        Ok((server, start.elapsed().as_secs_f64()))
    }

    /// Kills this Leasehold and starts it again, on the same data and the same port.
    pub(crate) async fn crash(&mut self, options: &[&str]) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process = start_leasehold(self.folder(), self.port, options).await?;
        Ok(())
    }
}

async fn on_folder(folder: Arc<TempDir>, options: &[&str]) -> anyhow::Result<Server> {
    let port = process::free_port()?;
    let process = start_leasehold(folder.path(), port, options).await?;
    Ok(Server { system: System::Leasehold, process, database: None, port, folder })
}

/// A client that takes a slot of the one limit and releases its lease.
pub(crate) struct Session {
    client: Client,
    body: Bytes,
    lease: Option<Lease>,
}

impl Session {
    pub(super) fn new(client: Client) -> Self {
        Self { client, body: acquire_body(LIMIT), lease: None }
    }

    pub(super) async fn acquire(&mut self) -> anyhow::Result<()> {
        self.lease = Some(self.client.acquire(&self.body).await?);
        Ok(())
    }

    pub(super) async fn release(&mut self) -> anyhow::Result<()> {
        match self.lease.take() {
            Some(lease) => self.client.release(&lease).await,
            None => Ok(()),
        }
    }
}
