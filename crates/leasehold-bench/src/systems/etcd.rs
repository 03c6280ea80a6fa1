//! etcd: each client puts a key of its own under a lease if the key does not exist, and deletes it.
//!
//! Each client gets one lease, as with etcd's own sessions. The few messages are written here by
//! hand: a library with all of them would need a compiler for Protocol Buffers.

mod grpc;
mod message;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;

use self::grpc::Connection;
use self::message::Message;
use super::{READY_TIMEOUT, is_well};
use crate::process::{self, Process};

const LEASE_GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
const TXN: &str = "/etcdserverpb.KV/Txn";
const DELETE_RANGE: &str = "/etcdserverpb.KV/DeleteRange";
const TTL_SECONDS: u64 = 300;
/// `Compare.CompareTarget.CREATE`: the revision at which a key was created, 0 if it does not exist.
const CREATE: u64 = 1;
/// The field that is read from each answer: the lease's id, whether the comparison succeeded, how
/// many keys were deleted.
const TELLING: u64 = 2;

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
    connection: Connection,
    put: Message,
    delete: Message,
}

impl Session {
    pub(super) async fn connect(host: &str, index: usize) -> anyhow::Result<Self> {
        let mut connection = Connection::open(host).await?;
        let grant = Message::default().number(1, TTL_SECONDS);
        let granted = connection.call(LEASE_GRANT, &grant).await?;
        let lease = message::number(&granted, TELLING)?.context("the lease has no id")?;
        let key = format!("lock-{index}").into_bytes();
        // Equal (0, which is not written), the target, the key, its revision.
        let is_not_there = Message::default().number(2, CREATE).bytes(3, &key).number(5, 0);
        let put = Message::default().bytes(1, &key).number(3, lease);
        let put = Message::default().message(2, &put);
        let put = Message::default().message(1, &is_not_there).message(2, &put);
        Ok(Self { connection, put, delete: Message::default().bytes(1, &key) })
    }

    pub(super) async fn acquire(&mut self) -> anyhow::Result<()> {
        let answer = self.connection.call(TXN, &self.put).await?;
        ensure!(message::number(&answer, TELLING)? == Some(1), "the key is held");
        Ok(())
    }

    pub(super) async fn release(&mut self) -> anyhow::Result<()> {
        let answer = self.connection.call(DELETE_RANGE, &self.delete).await?;
        ensure!(message::number(&answer, TELLING)? == Some(1), "the key was not held");
        Ok(())
    }
}
