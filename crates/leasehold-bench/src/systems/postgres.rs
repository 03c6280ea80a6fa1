//! PostgreSQL: advisory locks, which are only in memory, and locks that are rows, which are
//! durable.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;
use nix::unistd::{User, geteuid};
use tokio_postgres::{Client, NoTls, Statement};

use super::READY_TIMEOUT;
use crate::process::{self, Missing, Process};

/// Enough for the most connections that are measured, and for our own.
const CONNECTIONS_MAX: &str = "max_connections=300";

pub(super) async fn start(folder: &Path, port: u16) -> anyhow::Result<Process> {
    let initdb = process::find("initdb", "postgresql")?;
    let server = process::find("postgres", "postgresql")?;
    let user = another_user()?;
    if let Some(user) = &user {
        chown(folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    }
    let data = folder.join("data");
    let mut command = Command::new(initdb);
    command.args(["--username", "bench", "--auth", "trust", "--pgdata"]).arg(&data);
    let output = run_as(&mut command, user.as_ref()).current_dir(folder).output()?;
    if !output.status.success() {
        bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let mut command = Command::new(server);
    command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"]);
    command.args(["-c", CONNECTIONS_MAX, "-D"]).arg(&data).arg("-k").arg(folder);
    run_as(&mut command, user.as_ref()).current_dir(folder);
    // An immediate shutdown: PostgreSQL ends its children too, without waiting for their clients.
    let mut process = Process::start(command, folder, Signal::SIGQUIT)?;
    process::ready(&mut process, READY_TIMEOUT, || async move { connect(port).await.is_ok() })
        .await?;
    Ok(process)
}

/// The user that runs PostgreSQL if we are root: it refuses to run as root.
fn another_user() -> anyhow::Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name)? {
            return Ok(Some(user));
        }
    }
    Err(Missing::new("a user other than root", "run this as one").into())
}

fn run_as<'a>(command: &'a mut Command, user: Option<&User>) -> &'a mut Command {
    if let Some(user) = user {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

async fn connect(port: u16) -> anyhow::Result<Client> {
    let address = format!("host=127.0.0.1 port={port} user=bench dbname=postgres");
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The address of its database, for a server that keeps its journal there.
pub(super) fn address(port: u16) -> String {
    format!("postgres://bench@127.0.0.1:{port}/postgres?sslmode=disable")
}

/// Creates the table of the locks that are rows.
pub(super) async fn create_table(port: u16) -> anyhow::Result<()> {
    let table = "CREATE TABLE lock (id bigint PRIMARY KEY, deadline timestamptz NOT NULL)";
    connect(port).await?.batch_execute(table).await.context("the table cannot be made")
}

/// The kind of a lock.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Advisory,
    Row,
}

/// A holder of a lock of its own.
pub(crate) struct Session {
    client: Client,
    kind: Kind,
    acquire: Statement,
    release: Statement,
    id: i64,
}

impl Session {
    pub(super) async fn connect(port: u16, index: usize, kind: Kind) -> anyhow::Result<Self> {
        let client = connect(port).await?;
        let (acquire, release) = match kind {
            Kind::Advisory => ("SELECT pg_try_advisory_lock($1)", "SELECT pg_advisory_unlock($1)"),
            Kind::Row => (
                "INSERT INTO lock VALUES ($1, now() + interval '300 s') ON CONFLICT DO NOTHING",
                "DELETE FROM lock WHERE id = $1",
            ),
        };
        let acquire = client.prepare(acquire).await?;
        let release = client.prepare(release).await?;
        Ok(Self { client, kind, acquire, release, id: i64::try_from(index)? })
    }

    pub(super) async fn acquire(&mut self) -> anyhow::Result<()> {
        ensure!(self.run(&self.acquire).await?, "the lock is held");
        Ok(())
    }

    pub(super) async fn release(&mut self) -> anyhow::Result<()> {
        ensure!(self.run(&self.release).await?, "the lock was not held");
        Ok(())
    }

    async fn run(&self, statement: &Statement) -> anyhow::Result<bool> {
        Ok(match self.kind {
            Kind::Advisory => self.client.query_one(statement, &[&self.id]).await?.try_get(0)?,
            Kind::Row => self.client.execute(statement, &[&self.id]).await? == 1,
        })
    }
}
