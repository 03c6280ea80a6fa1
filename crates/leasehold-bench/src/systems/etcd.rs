//! etcd: a key of its own for each client, put under a lease if it is not there, and deleted.
//!
//! Over the JSON gateway, which is in the same process: it costs etcd something at many
//! connections, and nothing of the syncs that it waits for. The lease is granted once for each
//! client, as etcd's own sessions do.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::StatusCode;
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{READY_TIMEOUT, is_well};
use crate::client::Client;
use crate::process::{self, Process};

pub(super) async fn start(folder: &Path, port: u16) -> anyhow::Result<Process> {
    let clients = format!("http://127.0.0.1:{port}");
    let peers = format!("http://127.0.0.1:{}", process::free_port()?);
    let mut command = Command::new(process::find("etcd", "etcd-server")?);
    command
        .args(["--log-level", "error", "--listen-client-urls", &clients])
        .args(["--advertise-client-urls", &clients, "--listen-peer-urls", &peers])
        .args(["--initial-advertise-peer-urls", &peers])
        .args(["--initial-cluster", &format!("default={peers}")])
        .arg("--data-dir")
        .arg(folder.join("data"));
    let mut process = Process::start(command, folder, Signal::SIGKILL)?;
    is_well(&mut process, port, "/health", READY_TIMEOUT).await?;
    Ok(process)
}

/// A holder of a key of its own.
pub(crate) struct Session {
    client: Client,
    put: String,
    delete: String,
}

#[derive(Deserialize)]
struct Granted {
    #[serde(rename = "ID")]
    id: String,
}

/// What is false or zero is left out of the gateway's answers.
#[derive(Deserialize)]
struct Put {
    #[serde(default)]
    succeeded: bool,
}

#[derive(Deserialize)]
struct Deleted {
    deleted: Option<String>,
}

impl Session {
    pub(super) async fn connect(host: &str, index: usize) -> anyhow::Result<Self> {
        let mut client = Client::connect(host).await?;
        let lease: Granted = post(&mut client, "/v3/lease/grant", r#"{"TTL":"300"}"#).await?;
        let key = BASE64_STANDARD.encode(format!("lock-{index}"));
        let put = json!({
            "compare": [{"key": key, "target": "CREATE", "create_revision": "0"}],
            "success": [{"request_put": {"key": key, "lease": lease.id}}],
        });
        let delete = json!({"key": key});
        Ok(Self { client, put: put.to_string(), delete: delete.to_string() })
    }

    pub(super) async fn acquire(&mut self) -> anyhow::Result<()> {
        let put: Put = post(&mut self.client, "/v3/kv/txn", &self.put).await?;
        ensure!(put.succeeded, "the key is held");
        Ok(())
    }

    pub(super) async fn release(&mut self) -> anyhow::Result<()> {
        let deleted: Deleted = post(&mut self.client, "/v3/kv/deleterange", &self.delete).await?;
        ensure!(deleted.deleted.as_deref() == Some("1"), "the key was not held");
        Ok(())
    }
}

async fn post<T: DeserializeOwned>(
    client: &mut Client,
    path: &str,
    body: &str,
) -> anyhow::Result<T> {
    let (status, answer) = client.post(path, body.to_owned()).await?;
    ensure!(status == StatusCode::OK, "{path}: {status}: {answer:?}");
    Ok(serde_json::from_slice(&answer)?)
}
