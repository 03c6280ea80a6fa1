//! A real Prefect server, on SQLite, its default.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::is_healthy;
use crate::process::{Missing, Process, python};

const REQUIREMENTS: &str = "crates/leasehold-bench/prefect-server.txt";
/// It migrates its database first.
const PREFECT_READY_TIMEOUT: Duration = Duration::from_secs(180);

pub(super) async fn start(folder: &Path, port: u16) -> anyhow::Result<Process> {
    let mut command = Command::new(server_python()?);
    command
        .args(["-m", "prefect", "server", "start", "--host", "127.0.0.1"])
        .args(["--port", &port.to_string()])
        .env("PREFECT_HOME", folder.join("data"))
        .env("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
        .env("DO_NOT_TRACK", "1")
        .env_remove("PREFECT_API_URL");
    let mut process = Process::start(command, folder, Signal::SIGTERM)?;
    is_healthy(&mut process, port, PREFECT_READY_TIMEOUT).await?;
    Ok(process)
}

/// The interpreter of the environment that has Prefect's server.
pub(crate) fn server_python() -> Result<PathBuf, Missing> {
    python("prefect-server", "Prefect 3.8.8", &format!("-r {REQUIREMENTS}"))
}

/// The interpreter of an environment that has Prefect's client.
pub(crate) fn client_python() -> Result<PathBuf, Missing> {
    // The environment of the client tests, or else the server's, which has the client too.
    python("prefect-3.8.8", "", "").or_else(|_| server_python())
}
