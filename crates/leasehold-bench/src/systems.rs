//! The systems that are measured: how each is started, and how a client of it takes and releases a
//! slot.

mod etcd;
mod own;
mod postgres;
mod prefect;
mod redis;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};
use tempfile::TempDir;

use crate::client::Client;
use crate::process::{self, Process};

pub(crate) use own::leasehold_with;
pub(crate) use prefect::{
    client_python as prefect_client_python, server_python as prefect_server_python,
};

/// Whether the state behind a system's answers survives a crash of its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durable {
    Yes,
    No,
    /// Counts survive, leases do not: that is how slots are lost.
    Half,
}

/// One of the systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Echo,
    Leasehold,
    LeaseholdPostgres,
    RedisSemaphore,
    RedisSemaphoreDurable,
    RedisLock,
    Etcd,
    PostgresAdvisory,
    PostgresRow,
    Prefect,
}

impl System {
    pub(crate) const ALL: [Self; 10] = [
        Self::Echo,
        Self::Leasehold,
        Self::LeaseholdPostgres,
        Self::RedisSemaphore,
        Self::RedisSemaphoreDurable,
        Self::RedisLock,
        Self::Etcd,
        Self::PostgresAdvisory,
        Self::PostgresRow,
        Self::Prefect,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "axum echo",
            Self::Leasehold => "Leasehold",
            Self::LeaseholdPostgres => "Leasehold on PostgreSQL",
            Self::RedisSemaphore => "Redis semaphore",
            Self::RedisSemaphoreDurable => "Redis semaphore, fsync",
            Self::RedisLock => "redis-py lock",
            Self::Etcd => "etcd",
            Self::PostgresAdvisory => "PostgreSQL, advisory",
            Self::PostgresRow => "PostgreSQL, row",
            Self::Prefect => "Prefect server",
        }
    }

    pub(crate) fn durable(self) -> Durable {
        match self {
            Self::Leasehold
            | Self::LeaseholdPostgres
            | Self::RedisSemaphoreDurable
            | Self::Etcd
            | Self::PostgresRow => Durable::Yes,
            Self::Echo | Self::RedisSemaphore | Self::RedisLock | Self::PostgresAdvisory => {
                Durable::No
            }
            Self::Prefect => Durable::Half,
        }
    }

    /// How many clients it can serve. Prefect's server answers 503 from eight on (defect D25).
    pub(crate) fn connections_max(self) -> Option<usize> {
        (self == Self::Prefect).then_some(4)
    }

    /// Whether it is idle without requests, so that it may run while another system is measured.
    pub(crate) fn is_quiet(self) -> bool {
        self != Self::Prefect
    }

    /// Starts it on a free port with an empty data folder. Fails with [`process::Missing`] if
    /// it is not installed.
    pub(crate) async fn start(self) -> anyhow::Result<Server> {
        let folder = process::data_folder()?;
        let port = process::free_port()?;
        let mut database = None;
        let process = match self {
            Self::Echo => own::start_echo(folder.path(), port).await?,
            Self::Leasehold => own::start_leasehold(folder.path(), port, &[]).await?,
            Self::LeaseholdPostgres => {
                let database_port = process::free_port()?;
                database = Some(postgres::start(folder.path(), database_port).await?);
                let address = postgres::address(database_port);
                let node = folder.path().join("node");
                std::fs::create_dir(&node)?;
                own::start_leasehold(&node, port, &["--journal", &address]).await?
            }
            Self::RedisSemaphore | Self::RedisLock => {
                redis::start(folder.path(), port, redis::Persistence::None).await?
            }
            Self::RedisSemaphoreDurable => {
                redis::start(folder.path(), port, redis::Persistence::EveryWrite).await?
            }
            Self::Etcd => etcd::start(folder.path(), port).await?,
            Self::PostgresAdvisory | Self::PostgresRow => {
                postgres::start(folder.path(), port).await?
            }
            Self::Prefect => prefect::start(folder.path(), port).await?,
        };
        Ok(Server { system: self, process, database, port, folder: Arc::new(folder) })
    }
}

impl Serialize for System {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A running system. Dropping it stops it and deletes its data.
pub(crate) struct Server {
    pub(crate) system: System,
    pub(crate) process: Process,
    /// What the process keeps its data in. Stopped after it.
    #[expect(dead_code, reason = "it is held until the process has ended")]
    database: Option<Process>,
    port: u16,
    // Dropped after the process, which may write to it until it has ended.
    folder: Arc<TempDir>,
}

impl Server {
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A connection to a server that speaks HTTP.
    pub(crate) async fn client(&self) -> anyhow::Result<Client> {
        Client::connect(&self.host()).await
    }

    /// Creates what the sessions need.
    pub(crate) async fn prepare(&self) -> anyhow::Result<()> {
        match self.system {
            System::Leasehold | System::LeaseholdPostgres | System::Prefect => {
                self.client().await?.create_limit(own::LIMIT, own::SLOTS, 0.0).await
            }
            System::PostgresRow => postgres::create_table(self.port).await,
            System::Echo
            | System::RedisSemaphore
            | System::RedisSemaphoreDurable
            | System::RedisLock
            | System::Etcd
            | System::PostgresAdvisory => Ok(()),
        }
    }

    /// A client of it, on a connection of its own.
    pub(crate) async fn session(&self, index: usize) -> anyhow::Result<Session> {
        Ok(match self.system {
            System::Echo | System::Leasehold | System::LeaseholdPostgres | System::Prefect => {
                Session::Http(own::Session::new(self.client().await?))
            }
            System::RedisSemaphore | System::RedisSemaphoreDurable => {
                Session::Semaphore(redis::Semaphore::connect(self.port, index).await?)
            }
            System::RedisLock => Session::Lock(redis::Lock::connect(self.port, index).await?),
            System::Etcd => Session::Etcd(etcd::Session::connect(&self.host(), index).await?),
            System::PostgresAdvisory => Session::Postgres(
                postgres::Session::connect(self.port, index, postgres::Kind::Advisory).await?,
            ),
            System::PostgresRow => Session::Postgres(
                postgres::Session::connect(self.port, index, postgres::Kind::Row).await?,
            ),
        })
    }
}

/// A client that can hold one slot at a time.
pub(crate) enum Session {
    Http(own::Session),
    Semaphore(redis::Semaphore),
    Lock(redis::Lock),
    Etcd(etcd::Session),
    Postgres(postgres::Session),
}

impl Session {
    pub(crate) async fn acquire(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Http(session) => session.acquire().await,
            Self::Semaphore(session) => session.acquire().await,
            Self::Lock(session) => session.acquire().await,
            Self::Etcd(session) => session.acquire().await,
            Self::Postgres(session) => session.acquire().await,
        }
    }

    pub(crate) async fn release(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Http(session) => session.release().await,
            Self::Semaphore(session) => session.release().await,
            Self::Lock(session) => session.release().await,
            Self::Etcd(session) => session.release().await,
            Self::Postgres(session) => session.release().await,
        }
    }
}

/// How long a server may take to be ready, unless it is known to be slow.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Waits until a server accepts connections.
async fn accepts(process: &mut Process, port: u16) -> anyhow::Result<()> {
    process::ready(process, READY_TIMEOUT, || async move {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()
    })
    .await
}

/// Waits until the health check of a server with Prefect's API succeeds.
async fn is_healthy(process: &mut Process, port: u16, within: Duration) -> anyhow::Result<()> {
    is_well(process, port, "/api/health", within).await
}

/// Waits until a server answers `path` with success.
async fn is_well(
    process: &mut Process,
    port: u16,
    path: &str,
    within: Duration,
) -> anyhow::Result<()> {
    let host = format!("127.0.0.1:{port}");
    process::ready(process, within, || async {
        let Ok(mut client) = Client::connect(&host).await else { return false };
        client.get(path).await.is_ok_and(|(status, _)| status.is_success())
    })
    .await
}
